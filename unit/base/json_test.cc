#include "base/json.h"

#include "catch.h"

using namespace strix;

TEST_CASE("numbers that the parser would mishandle are refused, and the others are exact") {
  for (const char* text : {"1e99999", "1e-99999999", "0e42", "0.0e-300", "[1,0.00000000000000000000000]",
                           "0.00000000000000000000000.1", "0.1e-345"})
    REQUIRE_FALSE(json::Document::parse(text).ok());
  REQUIRE_FALSE(json::Document::parse("0." + std::string(350, '0') + "1").ok());
  for (const char* text : {"0", "0.0", "0e1", "0.000", "1e300", "0.00000000000000000000000001",
                           "4.9406564584124654e-324", "1.7976931348623157e308", "9223372036854775807"})
    REQUIRE(json::Document::parse(text).ok());
  // The parser rounds after 20 digits, and 2^64 - 1 rounded up is 0.
  for (const char* text :
       {"184467440737095516155", "0.000184467440737095516155", "[1844674407370.95516159e3]"})
    REQUIRE_FALSE(json::Document::parse(text).ok());
  for (const char* text : {"18446744073709551615", "184467440737095516154", "184467440737095516145"})
    REQUIRE(json::Document::parse(text).ok());
  REQUIRE(json::Document::parse("\"0e42\"").ok());
  REQUIRE(json::Document::parse("0.30000000000000004")->root().number() == 0.30000000000000004);
}
