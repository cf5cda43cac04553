// Every row of the built-in capability table, whatever rows it has: that it is reached, and what it does.
#include <fmt/format.h>

#include "catch.h"
#include "golden_file.h"
#include "planner/engine_settings.h"
#include "table_case.h"

using namespace strix;
using namespace strix::planner;

namespace {

const CapabilityTable& table = built_in_capabilities();

// What is found of one row, among what else the case may give rise to.
const CombinationFinding* about(const std::vector<CombinationFinding>& findings, const CapabilityRow& row) {
  for (const CombinationFinding& finding : findings)
    if (finding.message.find(row.reason + " (" + row.found.source) != std::string::npos) return &finding;
  return nullptr;
}

std::vector<std::string> names_of(const CapabilityRow& row) {
  return row.names.empty() ? std::vector<std::string>{""} : row.names;
}

void check_row(const CapabilityRow& row, const std::string& name) {
  test::TableCase made = test::case_for(row, name);
  EngineSetup setup = setup_of(made.spec, made.tier(), made.models["tier"], table);
  REQUIRE(table.find(row.subject, test::sample(name), setup) == &row);
  auto found = test::findings_of(made, table);
  const CombinationFinding* told = about(found, row);
  made.tier().accept_unverified = true;
  bool accepted = about(test::findings_of(made, table), row) == nullptr;
  switch (row.verdict) {
    case CapabilityVerdict::Works:
      CHECK(told == nullptr);
      break;
    case CapabilityVerdict::Degraded:
      REQUIRE(told);
      CHECK(told->code == FindingCode::CombinationDegraded);
      CHECK(told->severity == Severity::Warning);
      break;
    case CapabilityVerdict::NeedsEager:
      REQUIRE(told);
      CHECK(told->code == FindingCode::NeedsEager);
      CHECK(told->severity == Severity::Error);
      CHECK(told->path == "spec.tiers[tier].enforceEager");
      made.tier().enforce_eager = true;
      CHECK(about(test::findings_of(made, table), row) == nullptr);
      break;
    case CapabilityVerdict::Refused:
      REQUIRE(told);
      CHECK(told->code == FindingCode::CombinationRefused);
      CHECK(told->severity == Severity::Error);
      CHECK(told->message.find(row.instead) != std::string::npos);
      CHECK_FALSE(accepted);  // acceptUnverified is for what nobody knows
      break;
  }
  bool refused = !combination_errors(made.spec, made.models, table).empty();
  if (row.verdict == CapabilityVerdict::Refused) CHECK(refused);
}

std::string sentences(CapabilityVerdict verdict) {
  std::string text;
  for (const CapabilityRow& row : table.combinations()) {
    if (row.verdict != verdict) continue;
    for (const CombinationFinding& finding : test::findings_of(test::case_for(row, names_of(row)[0]), table))
      if (finding.message.find(row.reason) != std::string::npos)
        text += fmt::format("* `{}`: {}\n", finding.path, finding.message);
  }
  return text;
}

}  // namespace

TEST_CASE("every row of the table on combinations is reached by what it covers, and does what it says") {
  REQUIRE(table.combinations().size() > 20);
  for (size_t i = 0; i < table.combinations().size(); ++i) {
    const CapabilityRow& row = table.combinations()[i];
    for (const std::string& name : names_of(row)) {
      CAPTURE(i, name, row.reason);
      check_row(row, name);
    }
  }
}

TEST_CASE("every row of the table's settings is reached by what it covers") {
  REQUIRE_FALSE(table.all_settings().empty());
  for (const SettingRow& row : table.all_settings()) {
    CAPTURE(row.topic);
    test::TableCase made = test::case_for(row.where);
    EngineSetup setup = setup_of(made.spec, made.tier(), made.models["tier"], table);
    auto found = table.settings(setup);
    CHECK(std::find(found.begin(), found.end(), &row) != found.end());
    PlanInput input;
    input.spec = made.spec;
    input.models = made.models;
    const Effective told = plan(input).tiers.at(0).effective;
    for (const auto& [name, value] : row.environment)
      CHECK(std::any_of(told.environment.begin(), told.environment.end(),
                        [&](const api::EnvVar& v) { return v.name == name && v.value == value; }));
    auto given = std::search(told.arguments.begin(), told.arguments.end(), row.arguments.begin(),
                             row.arguments.end());
    CHECK((row.arguments.empty() || given != told.arguments.end()));
  }
}

TEST_CASE("every row of the table's images gives a version") {
  for (const ImageRow& row : table.images()) {
    CAPTURE(row.image.text());
    auto version = table.version_of(row.engine, ImageName(test::sample(row.image.text())));
    REQUIRE(version);
    CHECK(*version == *EngineVersion::parse(row.version.empty() ? "1.2.3" : row.version));
  }
}

TEST_CASE("what every row says to people reads as a document") {
  test::check_golden(
      "combinations.md",
      "# What the built-in capability table says, in the words of validate and of the status\n\n"
      "## Refused\n\n" +
          sentences(CapabilityVerdict::Refused) + "\n## With enforceEager only\n\n" +
          sentences(CapabilityVerdict::NeedsEager) + "\n## At a price\n\n" +
          sentences(CapabilityVerdict::Degraded));
}
