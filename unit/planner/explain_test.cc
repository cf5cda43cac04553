#include "planner/explain.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/yaml.h"
#include "cases.h"
#include "catch.h"
#include "planner/memory_map.h"
#include "planner/words.h"
#include "source_dir.h"

using namespace strix;
using namespace strix::planner;

namespace {

void check_golden(const std::string& name, const std::string& text) {
  std::string path = fake::source_dir() + "/unit/golden/planner/" + name;
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream stored;
  stored << file.rdbuf();
  INFO(name << ": UPDATE_GOLDEN=1 rewrites it");
  CHECK(stored.str() == text);
}

Plan four() {
  return plan(test::four_tiers(test::kernel_bytes, 124 * gib, true));
}

std::string text_of(json::Value value) {
  json::Writer writer;
  writer.value(value);
  return writer.take();
}

}  // namespace

TEST_CASE("golden: a plan as YAML, and JSON is the same document") {
  Plan planned = four();
  check_golden("four_tiers.yaml", explain_yaml(planned));
  auto from_yaml = yaml::parse(explain_yaml(planned));
  REQUIRE(from_yaml);
  CHECK(text_of(from_yaml->root()) == explain_json(planned));
  CHECK(text_of(from_yaml->root()["nodes"].at(0)["bounds"].at(0)["limit"]) == "0.95");
}

TEST_CASE("golden: a plan as a picture") {
  check_golden("four_tiers.svg", explain_svg(four()));
}

TEST_CASE("names cannot break out of the picture") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, true);
  input.spec.nodes[0].name = "<script>&\"";
  std::string svg = explain_svg(plan(input));
  CHECK(svg.find("<script>") == std::string::npos);
  CHECK(svg.find("&lt;script&gt;&amp;&quot;") != std::string::npos);
}

TEST_CASE("colour adds escapes and nothing else, and width bounds sentences and bar") {
  Plan planned = four();
  std::string plain = explain_table(planned, {.width = 100, .colour = false});
  std::string coloured = explain_table(planned, {.width = 100, .colour = true}), stripped;
  for (size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] != '\x1b') {
      stripped += coloured[i];
      continue;
    }
    i = coloured.find('m', i);
  }
  CHECK(coloured.size() > plain.size());
  CHECK(stripped == plain);
  CHECK(plain.find('\x1b') == std::string::npos);
  std::istringstream lines(explain_table(planned, {.width = 60, .colour = false}));
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    bool sentence = line.starts_with("error") || line.starts_with("warning") || line.starts_with("    ");
    bool bar = line.starts_with("[");
    CHECK((!sentence || line.size() <= 60));
    CHECK((!bar || line.size() == 60));
  }
}

TEST_CASE("a map's pieces add up to the pool, and its bar is full") {
  Plan planned = four();
  std::vector<Piece> pieces = memory_map(planned, planned.nodes[0]);
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += piece.bytes;
  CHECK(sum == test::kernel_bytes);
  for (int cells : {1, 2, 60, 98, 200, 1000})
    CHECK(memory_bar(pieces, cells).size() == static_cast<size_t>(cells));
  CHECK(memory_bar(pieces, 0).empty());
  CHECK(memory_bar({}, 80).empty());
  std::vector<Piece> halves{
      {PieceKind::Weights, 0, gib}, {PieceKind::Cache, 1, gib}, {PieceKind::Free, -1, 2 * gib}};
  CHECK(memory_bar(halves, 8) == "AAbb....");
}

TEST_CASE("a plan of nothing is explained too") {
  Plan nothing = plan(PlanInput{});
  CHECK(explain_table(nothing, {}).find("It fits.") != std::string::npos);
  CHECK(json::Document::parse(explain_json(nothing)).ok());
  CHECK(yaml::parse(explain_yaml(nothing)).ok());
}

TEST_CASE("amounts are to the nearest tenth, and nothing is ever 0 short") {
  CHECK(gib_number(0) == "0.0");
  CHECK(gib_number(gib * 4551 / 100) == "45.5");
  CHECK(gib_number(-gib * 4551 / 100) == "-45.5");
  CHECK(gib_text(50 * mib) == "50 MiB");
  CHECK(gib_text(gib / 2) == "0.5 GiB");
  CHECK(short_text(1) == "1 MiB short");
  CHECK(short_text(2 * gib) == "2.0 GiB short");
}
