#include "base/yaml_writer.h"

#include "base/yaml.h"
#include "catch.h"

using namespace strix;

TEST_CASE("what is written as YAML is read back as the same JSON") {
  for (const char* text :
       {R"({"a":{"b":[1,2,{"c":"x: y","d":[]}],"e":{}},"n":null})", R"([{"a":1},[1,[2]],"off"])",
        R"("text\n")",
        R"({"off":"off","010":"010","":"","a b":true,"inference.strix.dev/x":"1.5","- x":[[]]})", "[]",
        "{}"}) {
    CAPTURE(text);
    auto document = json::Document::parse(text);
    REQUIRE(document);
    std::string written = yaml::write(document->root());
    CAPTURE(written);
    auto read = yaml::parse(written);
    REQUIRE(read);
    CHECK(read->root().canonical() == document->root().canonical());
  }
}

TEST_CASE("YAML is written in block style") {
  auto document = json::Document::parse(R"({"a":{"b":[{"c":"d","e":1}]},"f":[]})");
  REQUIRE(document);
  CHECK(yaml::write(document->root()) == "a:\n  b:\n  - c: \"d\"\n    e: 1\nf: []\n");
}
