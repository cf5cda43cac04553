#include "tuning/history.h"

#include "catch.h"

using namespace strix;
using namespace strix::tuning;

namespace {

constexpr int64_t hour = 3'600'000, day = 24 * hour, week = 7 * day;

Interval interval(int64_t number, int64_t kv_tokens = 0) {
  Interval interval;
  interval.number = number;
  interval.readings = 20;
  interval.kv_told = true;
  interval.kv_tokens_most = kv_tokens;
  return interval;
}

}  // namespace

TEST_CASE("maxima and sums of a window, and in how many intervals something happened") {
  History history(day);
  Interval one = interval(1000, 700);
  one.preemptions = 4;
  one.requests = 10;
  one.prompt_tokens_over = 1000;
  one.prompt_tokens_most = 2000;
  one.kv_used_milli_most = 345;
  Interval two = interval(1001, 300);
  two.preemptions = 1;
  two.refused = 2;
  two.requests = 5;
  two.short_of_kv = true;
  two.prompt_tokens_over = 500;
  two.prompt_tokens_most = 1000;
  history.fold(one);
  history.fold(two);
  history.fold(interval(1002));
  Seen seen = history.seen();
  CHECK(seen.observed_millis == 3 * interval_millis);
  CHECK(seen.kv_intervals == 3);
  CHECK(seen.kv_tokens_most == 700);
  CHECK(seen.kv_used_milli_most == 345);
  CHECK(seen.requests == 15);
  CHECK(seen.preemptions == 5);
  CHECK(seen.preempting_intervals == 2);
  CHECK(seen.refusing_intervals == 1);
  CHECK(seen.short_intervals == 1);
  CHECK(seen.prompt_tokens_over == 1000);
  CHECK(seen.prompt_tokens_most == 2000);
}

TEST_CASE("what is older than the window is forgotten, and no window needs more than 96 buckets") {
  auto window = GENERATE(as<int64_t>{}, hour, 6 * hour, day, 3 * day, week);
  History history(window);
  int64_t intervals = window / interval_millis;
  history.fold(interval(5000, 9999));
  for (int64_t i = 1; i <= 4 * intervals; ++i) {
    history.fold(interval(5000 + i, 10));
    REQUIRE(history.buckets() <= History::buckets_most);
  }
  Seen seen = history.seen();
  CHECK(seen.kv_tokens_most == 10);
  CHECK(seen.observed_millis <= window);
  CHECK(seen.observed_millis >=
        window - 2 * window / static_cast<int64_t>(History::buckets_most) - interval_millis);
}

TEST_CASE("hours in which nobody asked are not observed") {
  History history(day);
  history.fold(interval(100));
  history.fold(interval(200));
  CHECK(history.seen().observed_millis == 2 * interval_millis);
  CHECK(history.buckets() == 2);
}

TEST_CASE("an interval that comes late is folded in, and one from before the window is not") {
  History history(day);
  history.fold(interval(1000));
  history.fold(interval(990, 500));
  CHECK(history.seen().kv_tokens_most == 500);
  history.fold(interval(1000 - 200, 900));
  CHECK(history.seen().kv_tokens_most == 500);
}

TEST_CASE("tokens without a bound stay without one, and numbers too large are cut") {
  History history(day);
  Interval one = interval(1);
  one.prompt_tokens_over = 50'000;
  one.prompt_tokens_most = engines::unbounded_tokens;
  one.requests = int64_t{1} << 40;
  history.fold(one);
  history.fold(one);
  Seen seen = history.seen();
  CHECK(seen.prompt_tokens_most == engines::unbounded_tokens);
  CHECK(seen.prompt_tokens_over == 50'000);
  CHECK(seen.requests == (int64_t{1} << 32) - 1);
}
