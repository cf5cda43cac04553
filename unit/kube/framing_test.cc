#include "kube/framing.h"

#include <random>
#include <vector>

#include "catch.h"

using strix::ErrorKind;
using strix::kube::Framing;

namespace {

struct Lines {
  std::vector<std::string> seen;
  std::function<bool(std::string_view)> visit = [this](std::string_view line) {
    seen.emplace_back(line);
    return true;
  };
};

}  // namespace

TEST_CASE("a stream cut into any slices gives the same lines") {
  std::mt19937 generator(7);
  std::string stream;
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    expected.push_back(std::string(1 + generator() % 300, static_cast<char>('a' + i % 26)));
    stream += expected.back() + "\n";
  }
  for (size_t slice_max : {1u, 2u, 7u, 100u, 16384u}) {
    Framing framing;
    Lines lines;
    std::string_view rest = stream;
    while (!rest.empty()) {
      size_t size = std::min<size_t>(rest.size(), 1 + generator() % slice_max);
      REQUIRE(framing.feed(rest.substr(0, size), lines.visit).ok());
      rest.remove_prefix(size);
    }
    CHECK(lines.seen == expected);
    CHECK(framing.pending_bytes() == 0);
  }
}

TEST_CASE("empty lines are left out") {
  Framing framing;
  Lines lines;
  REQUIRE(framing.feed("\n\n{}\n\n[]\n", lines.visit).ok());
  CHECK(lines.seen == std::vector<std::string>{"{}", "[]"});
}

TEST_CASE("a line that has not ended is pending and not handed over") {
  Framing framing;
  Lines lines;
  REQUIRE(framing.feed("{\"a\":1}\n{\"b\"", lines.visit).ok());
  CHECK(lines.seen.size() == 1);
  CHECK(framing.pending_bytes() == 4);
}

TEST_CASE("a line of exactly the bound passes and one byte more is an error, in one slice or in many") {
  for (size_t slice : {1u, 64u}) {
    for (size_t length : {10u, 11u}) {
      Framing framing(10);
      Lines lines;
      std::string stream = std::string(length, 'x') + "\n";
      bool ok = true;
      for (size_t i = 0; i < stream.size() && ok; i += slice)
        ok = framing.feed(std::string_view(stream).substr(i, slice), lines.visit).ok();
      CHECK(ok == (length == 10));
      CHECK(lines.seen.size() == (length == 10 ? 1u : 0u));
    }
  }
}

TEST_CASE("after an error or after the visitor had enough nothing is handed over any more") {
  Framing framing(4);
  Lines lines;
  CHECK(framing.feed("12345\nab\n", lines.visit).error().kind == ErrorKind::Invalid);
  CHECK(framing.feed("ab\n", lines.visit).ok());
  CHECK(lines.seen.empty());

  Framing other;
  int calls = 0;
  REQUIRE(other.feed("a\nb\nc\n", [&](std::string_view) { return ++calls < 2; }).ok());
  REQUIRE(other.feed("d\n", [&](std::string_view) { return ++calls < 2; }).ok());
  CHECK(calls == 2);
}

TEST_CASE("the time for a long line grows with its length and not with its square") {
  Framing framing;
  Lines lines;
  // 8 MiB in half a million slices: looking at them again each time would be 2 TiB.
  std::string slice(16, 'x');
  for (int i = 0; i < 512 * 1024; ++i) REQUIRE(framing.feed(slice, lines.visit).ok());
  REQUIRE(framing.feed("\n", lines.visit).ok());
  REQUIRE(lines.seen.size() == 1);
  CHECK(lines.seen[0].size() == 8u << 20);
}
