#include "base/yaml.h"

#include <random>

#include "catch.h"

using namespace strix;

namespace {

std::string as_json(const std::string& text) {
  auto document = yaml::parse(text);
  INFO((document.ok() ? "" : document.error().text));
  REQUIRE(document.ok());
  return document->root().dump();
}

std::string refusal(const std::string& text, yaml::Limits limits = {}) {
  auto documents = yaml::parse_all(text, limits);
  REQUIRE_FALSE(documents.ok());
  REQUIRE(documents.error().kind == ErrorKind::Invalid);
  return documents.error().text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

// What sigs.k8s.io/yaml v1.6.0 makes of the same texts.
TEST_CASE("scalars mean what they mean to kubectl") {
  const std::pair<const char*, const char*> cases[] = {
      {"Off", "false"},
      {"on", "true"},
      {"y", "true"},
      {"N", "false"},
      {"'Off'", "\"Off\""},
      {"yes", "true"},
      {"oN", "\"oN\""},
      {"~", "null"},
      {"Null", "null"},
      {"\"\"", "\"\""},
      {"", "null"},
      {"0.35", "0.35"},
      {"010", "8"},
      {"08", "8"},
      {"0x1F", "31"},
      {"0b101", "5"},
      {"0o17", "15"},
      {"1_000", "1000"},
      {"+5", "5"},
      {"-0x10", "-16"},
      {"1e3", "1000"},
      {".5", "0.5"},
      {"5.", "5"},
      {"1.2.3", "\"1.2.3\""},
      {"12Gi", "\"12Gi\""},
      {"2026-02-09", "\"2026-02-09\""},
      {"-", "[null]"},
      {"0x", "\"0x\""},
      {"!!str 5", "\"5\""},
      {"! 5", "\"5\""},
      {"!!int '5'", "5"},
      {"9223372036854775807", "9223372036854775807"},
      {"1:30", "\"1:30\""},
      {"|\n  a\n  b\n", "\"a\\nb\\n\""},
      {">-\n  a\n  b\n", "\"a b\""},
      {"1e999", "\"1e999\""},
      {"_1", "\"_1\""},
      {"-.5", "-0.5"},
  };
  for (const auto& [text, json] : cases) {
    INFO(text);
    REQUIRE(as_json(text) == json);
  }
}

TEST_CASE("collections, keys of other types, and documents") {
  REQUIRE(as_json("a: {b: [1, two, {c: }]}\n") == R"({"a":{"b":[1,"two",{"c":null}]}})");
  REQUIRE(as_json("on: 1\n8080: 2\n1.5: 3\n'on': 4\n") == R"({"true":1,"8080":2,"1.5":3,"on":4})");
  REQUIRE(as_json("") == "null");
  REQUIRE(as_json("# only a comment\n") == "null");
  auto documents = yaml::parse_all("a: 1\n---\n- b\n---\n# nothing\n--- c\n...\n");
  REQUIRE(documents.ok());
  std::string all;
  for (const auto& document : *documents) all += document.root().dump() + " ";
  REQUIRE(all == "{\"a\":1} [\"b\"] null \"c\" ");
  REQUIRE(yaml::parse("a: 1\n---\nb: 2\n").error().text == "2 documents, one is expected");
}

TEST_CASE("aliases and merges are followed") {
  REQUIRE(as_json("a: &x {b: 1}\nc: *x\n") == R"({"a":{"b":1},"c":{"b":1}})");
  REQUIRE(as_json("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n") ==
          R"({"a":{"b":1,"c":2},"d":{"b":1,"c":3}})");
  REQUIRE(as_json("- &x {a: 1}\n- &y {a: 2, b: 3}\n- <<: [*x, *y]\n") ==
          R"([{"a":1},{"a":2,"b":3},{"a":1,"b":3}])");
  REQUIRE(as_json("x: &x {a: 1, b: 2}\nz: {a: 3, <<: *x, b: 4}\n") ==
          R"({"x":{"a":1,"b":2},"z":{"a":1,"b":4}})");
  REQUIRE(refusal("a: &x [*x]\n") == "line 1, column 8: an alias to what it stands in");
  REQUIRE(has(refusal("a: *x\n"), "line 1"));
  REQUIRE(refusal("a: {<<: 7}\n") == "line 1, column 9: a merge of what is no map");
}

TEST_CASE("aliases do not multiply without bound") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    std::string before = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    bomb += name + ": &" + name + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ", " : "") + before;
    bomb += "]\n";
  }
  REQUIRE(has(refusal(bomb), "more than 200000 values"));
  std::string merges = "a0: &a0 {x: 1}\n";
  for (int i = 1; i < 30; ++i) {
    std::string before = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    merges += name + ": &" + name + " {<<: [" + before + ", " + before + "]}\n";
  }
  REQUIRE(has(refusal(merges), "more than 200000 values"));
}

TEST_CASE("what is too large, too deep or not text is refused") {
  REQUIRE(has(refusal(std::string(200, '[')), "nested deeper than 60 levels"));
  REQUIRE(has(refusal(std::string(100000, '[')), "line 1"));
  REQUIRE(refusal("a: 1", {.bytes_max = 3}) == "4 bytes, at most 3");
  REQUIRE(refusal("[1, 2, 3]", {.nodes_max = 3}) == "line 1, column 8: more than 3 values");
  REQUIRE(refusal("---\n---\n---\n", {.documents_max = 2}) == "more than 2 documents");
  REQUIRE(refusal(std::string("a: 1\nb: \0", 9)) == "line 2: a control character");
  REQUIRE(refusal("a: \x04 b: 1") == "line 1: a control character");
  REQUIRE(refusal("a: \xff\xfe") == "not UTF-8, or too large");
}

TEST_CASE("errors tell line and column, and quote no values") {
  REQUIRE(refusal("a: 1\nb:\n  c: 1\n  c: 2\n") == "line 4, column 3: \"c\" is there twice");
  REQUIRE(refusal("a: 1\n\"a\": 2\n") == "line 2, column 1: \"a\" is there twice");
  REQUIRE(refusal("yes: 1\non: 2\n") == "line 2, column 1: \"true\" is there twice");
  REQUIRE(refusal("a: 1\nsuspend\n") == "line 2, column 1: a key without a colon");
  REQUIRE(as_json("{a, b: }") == R"({"a":null,"b":null})");
  REQUIRE(as_json("a:\nb:\n") == R"({"a":null,"b":null})");
  REQUIRE(refusal("{[1]: 2}") == "line 1, column 2: a key that is no text");
  REQUIRE(refusal("~: 2") == "line 1, column 1: a key that is no text");
  REQUIRE(refusal("a: .nan") == "line 1, column 4: a number that JSON does not have");
  REQUIRE(refusal("a: !!int secret") == "line 1, column 4: not of its tag !!int");
  REQUIRE(refusal("a: !!binary c2VjcmV0") == "line 1, column 4: !!binary is not supported");
  std::string broken = refusal("a: 1\n b: secret\n");
  REQUIRE(has(broken, "line 2, column 3: not readable as YAML"));
  for (const char* open : {"a: \"secret", "a: \"secret\n", "a: 'secret\n\n", "a: [\"b\"\n"})
    REQUIRE(has(refusal(open), "not readable as YAML"));
  REQUIRE(as_json("a: \"b\"\nc: |+\n  d\n\n") == "{\"a\":\"b\",\"c\":\"d\\n\\n\"}");
  REQUIRE(as_json("\"b\" # \"\n") == "\"b\"");
  REQUIRE_FALSE(has(refusal("a: \"secret\\q\""), "q"));
  REQUIRE_FALSE(has(refusal("a: *secret"), "secret"));
}

TEST_CASE("a path leads to its line and column") {
  auto document = yaml::parse(
      "metadata:\n  labels: {a.b/c: d}\nspec:\n  tiers:\n  - name: x\n    port: 1\n  - name: z\n    memory:\n"
      "      gpuFraction: 2\n  \"dotted.name\": 3\n");
  REQUIRE(document.ok());
  auto at = [&](std::string_view path) {
    yaml::Location location = document->locate(path);
    return std::to_string(location.line) + ":" + std::to_string(location.column);
  };
  REQUIRE(at("") == "1:1");
  REQUIRE(at("spec") == "3:1");
  REQUIRE(at("spec.tiers[0].port") == "6:5");
  REQUIRE(at("spec.tiers[1]") == "7:5");
  REQUIRE(at("spec.tiers[1].memory.gpuFraction") == "9:7");
  REQUIRE(at("metadata.labels[\"a.b/c\"]") == "2:12");
  REQUIRE(at("metadata.labels.a.b/c") == "2:12");
  REQUIRE(at("spec.dotted.name") == "10:3");
  REQUIRE(at("spec.tiers[1].contextLength") == "7:5");  // the last on the way that is there
  REQUIRE(at("spec.tiers[7].port") == "4:3");
  REQUIRE(at("spec.tiers[z].memory") == "8:5");
  REQUIRE(at("nothing") == "1:1");
}

TEST_CASE("random changes of a text never do more than be refused") {
  std::mt19937_64 random(20261124);
  const std::string seed =
      "a: &x {b: [1, 'two', \"3\"]}\nc: |\n  text\n  more\nd:\n- *x\n- <<: *x\n  e: Off\n--- 5\n";
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seed;
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      static constexpr std::string_view likely = "&*:-[]{}|>'\"!#,?%@ \n\t";
      size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.insert(at, 1, likely[random() % likely.size()]);
      } else {
        text[at] = random() % 2 ? likely[random() % likely.size()] : static_cast<char>(random());
      }
    }
    if (auto documents = yaml::parse_all(text); documents.ok()) {
      ++accepted;
      for (const auto& document : *documents) document.locate("d[1].e");
    }
  }
  REQUIRE(accepted > 100);
}
