#include "api/text.h"

#include "catch.h"

using namespace strix::api;

TEST_CASE("quoted makes any bytes short and printable") {
  CHECK(quoted("coder") == "'coder'");
  CHECK(quoted("") == "''");
  CHECK(quoted("a\nb\x1b[31m") == "'a?b?[31m'");
  CHECK(quoted("\xc3\xbc") ==
        "'?"
        "?'");
  CHECK(quoted(std::string(200, 'x')) == "'" + std::string(48, 'x') + "...'");
}

TEST_CASE("clipped leaves a text that is fine as it is") {
  CHECK(clipped("", 10).empty());
  CHECK(clipped("two\nlines\tand a tab", 100) == "two\nlines\tand a tab");
  CHECK(clipped("gr\xc3\xbc\xc3\x9f", 7) == "gr\xc3\xbc\xc3\x9f");
  CHECK(clipped("\xe6\xa8\xa1\xe5\x9e\x8b \xf0\x9f\x90\x8c", 100) ==
        "\xe6\xa8\xa1\xe5\x9e\x8b \xf0\x9f\x90\x8c");
}

TEST_CASE("clipped replaces what the API server would refuse") {
  CHECK(clipped(std::string_view("a\0b", 3), 10) == "a?b");
  CHECK(clipped("bad \xff\xfe end", 20) ==
        "bad ?"
        "? end");
  CHECK(clipped("cut \xe6\xa8", 20) ==
        "cut ?"
        "?");  // a character that lacks its end
  CHECK(clipped("\xc0\xaf", 20) ==
        "?"
        "?");                                                     // overlong
  CHECK(clipped("\xed\xa0\x80", 20) == std::string(3, '?'));      // a surrogate
  CHECK(clipped("\xf4\x90\x80\x80", 20) == std::string(4, '?'));  // above U+10FFFF
  CHECK(clipped("\x80", 20) == "?");
}

TEST_CASE("clipped cuts between characters and says so") {
  CHECK(clipped("0123456789", 8) == "01234...");
  for (size_t bytes_max = 3; bytes_max < 12; ++bytes_max) {
    std::string text = clipped("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", bytes_max);
    CAPTURE(bytes_max, text);
    CHECK(text.size() <= bytes_max);
    CHECK(clipped(text, bytes_max) == text);
  }
}
