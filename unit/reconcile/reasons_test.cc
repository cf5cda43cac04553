#include <fstream>
#include <set>
#include <sstream>

#include "catch.h"
#include "engines/failure_table.h"
#include "source_dir.h"

using namespace strix;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(fake::source_dir() + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What stands between backticks in the first cells of the tables under `heading`.
std::multiset<std::string> explained(const std::string& readme, const std::string& heading) {
  std::multiset<std::string> words;
  size_t begin = readme.find(heading), end = readme.find("\n## ", begin + 1);
  REQUIRE(begin != std::string::npos);
  std::istringstream section(readme.substr(begin, end - begin));
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with("| `")) continue;
    std::string cell = line.substr(0, line.find('|', 1));
    for (size_t at = cell.find('`'); at != std::string::npos; at = cell.find('`', at)) {
      size_t close = cell.find('`', at + 1);
      words.insert(cell.substr(at + 1, close - at - 1));
      at = close + 1;
    }
  }
  return words;
}

// The values of the constants in api/names.h whose names begin so.
void add_constants(const std::string& prefix, std::set<std::string>& words) {
  std::istringstream names(text_of("operator/api/names.h"));
  for (std::string line; std::getline(names, line);) {
    if (line.find("string_view " + prefix) == std::string::npos) continue;
    size_t open = line.find('"');
    words.insert(line.substr(open + 1, line.find('"', open + 1) - open - 1));
  }
}

}  // namespace

TEST_CASE("the README says of each reason and failure class what to do, and of nothing else") {
  std::set<std::string> known;
  add_constants("reason_", known);
  add_constants("failure_", known);
  REQUIRE(known.size() > 40);
  for (const auto& row : engines::failure_rows()) known.insert(std::string(row.failure_class));
  auto told = explained(text_of("README.md"), "## What a status says, and what to do");
  for (const auto& word : known) {
    INFO(word);
    CHECK(told.count(word) == 1);
  }
  for (const auto& word : told) {
    INFO(word);
    CHECK(known.contains(word));
  }
}
