#include "base/base64.h"

#include "catch.h"

using namespace strix;

TEST_CASE("base64 is that of RFC 4648, and what is encoded reads back the same") {
  for (const auto& [bytes, text] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"foob", "Zm9vYg=="},
                                                        {"fooba", "Zm9vYmE="},
                                                        {"foobar", "Zm9vYmFy"},
                                                        {"\xff\xfe\xfd", "//79"}}) {
    REQUIRE(base64_encode(bytes) == text);
    REQUIRE(base64_decode(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  REQUIRE(base64_decode(base64_encode(all)) == all);
}

TEST_CASE("what is not base64 is told from what is, and folded lines are read") {
  for (const char* text : {"Zg", "Zg=", "Z", "Zm9v=", "Zg=a", "Zm8*", "===="}) {
    CAPTURE(std::string(text));
    REQUIRE_FALSE(base64_decode(text).has_value());
  }
  REQUIRE(base64_decode("Zm9v\nYm Fy\r\n") == "foobar");
}
