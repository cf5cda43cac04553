#include "base/json.h"

#include "catch.h"

using namespace strix;

TEST_CASE("numbers that the parser would mishandle are refused, and the others are exact") {
  for (const char* text : {"1e99999", "1e-99999999", "0e42", "0.0e-300", "[1,0.00000000000000000000000]"})
    REQUIRE_FALSE(json::Document::parse(text).ok());
  for (const char* text : {"0", "0.0", "0e1", "0.000", "1e300", "0.00000000000000000000000001"})
    REQUIRE(json::Document::parse(text).ok());
  REQUIRE(json::Document::parse("\"0e42\"").ok());
  REQUIRE(json::Document::parse("0.30000000000000004")->root().number() == 0.30000000000000004);
}
