#include "tuning/meter.h"

#include "catch.h"

using namespace strix;
using namespace strix::tuning;
using engines::TokenBucket;
using engines::unbounded_tokens;
using engines::Usage;

namespace {

constexpr BootMillis ten = 10 * interval_millis;  // the beginning of interval 10

Usage usage(int kv_used_milli, int64_t running = 1, int64_t waiting = 0) {
  Usage usage;
  usage.load = {running, waiting};
  usage.kv_used_milli = kv_used_milli;
  usage.preemptions = usage.refused = 0;
  return usage;
}

// Cumulative counts under 1000, 2000, 5000 and without a bound.
Usage with_prompts(Usage usage, int64_t a, int64_t b, int64_t c, int64_t all) {
  usage.prompts = {{1000, a}, {2000, b}, {5000, c}, {unbounded_tokens, all}};
  return usage;
}

// The interval that ends with a reading in the next one.
Interval ended(Meter& meter) {
  auto interval = meter.take(usage(0, 0), 0, ten + interval_millis);
  REQUIRE(interval);
  return *interval;
}

}  // namespace

TEST_CASE("an interval is told by the first reading of the next") {
  Meter meter;
  CHECK_FALSE(meter.take(usage(100), 1000, ten + 1));
  CHECK_FALSE(meter.take(usage(400), 1000, ten + 30'000));
  CHECK_FALSE(meter.take(usage(200), 1000, ten + interval_millis - 1));
  Interval interval = ended(meter);
  CHECK(interval.number == 10);
  CHECK(interval.readings == 3);
  CHECK(interval.kv_used_milli_most == 400);
  CHECK(interval.kv_tokens_most == 400);
  auto next = meter.take(usage(0), 0, ten + 5 * interval_millis);  // none was read in between
  REQUIRE(next);
  CHECK(next->number == 11);
  CHECK(next->readings == 1);
}

TEST_CASE("how full the cache was while one request ran is told apart") {
  Meter meter;
  meter.take(usage(700, 3), 10'000, ten);
  meter.take(usage(300, 1), 10'000, ten + 1);
  meter.take(usage(500, 0), 10'000, ten + 2);
  Interval interval = ended(meter);
  CHECK(interval.kv_tokens_most == 7000);
  CHECK(interval.alone_tokens_most == 3000);
  CHECK(interval.running_most == 3);
}

TEST_CASE("requests that wait are short of the cache only where that is nearly full") {
  struct Case {
    int used_milli;
    int64_t waiting;
    bool short_of_kv;
  };
  auto c = GENERATE(Case{950, 1, true}, Case{950, 0, false}, Case{800, 5, false}, Case{900, 2, true});
  Meter meter;
  meter.take(usage(c.used_milli, 4, c.waiting), 1000, ten);
  Interval interval = ended(meter);
  CHECK(interval.short_of_kv == c.short_of_kv);
  CHECK(interval.waiting_most == c.waiting);
}

TEST_CASE(
    "counters count from the first reading of an engine that ran before, and from nothing of a new one") {
  auto from_start = GENERATE(false, true);
  Meter meter(from_start);
  Usage first = with_prompts(usage(0), 3, 3, 3, 3);
  first.preemptions = 5;
  first.refused = 2;
  meter.take(first, 0, ten);
  Usage second = with_prompts(usage(0), 4, 6, 6, 6);
  second.preemptions = 9;
  second.refused = 2;
  meter.take(second, 0, ten + 1);
  Interval interval = ended(meter);
  CHECK(interval.preemptions == (from_start ? 9 : 4));
  CHECK(interval.refused == (from_start ? 2 : 0));
  CHECK(interval.requests == (from_start ? 6 : 3));
  CHECK(interval.prompt_tokens_over == 1000);
  CHECK(interval.prompt_tokens_most == 2000);
}

TEST_CASE("the longest prompt is that of the highest bucket that grew") {
  struct Case {
    int64_t a, b, c, all;
    int64_t over, most, requests;
  };
  auto c = GENERATE(Case{10, 10, 10, 10, 0, 0, 0}, Case{12, 12, 12, 12, 0, 1000, 2},
                    Case{10, 11, 12, 12, 2000, 5000, 2}, Case{15, 15, 15, 16, 5000, unbounded_tokens, 6});
  Meter meter;
  meter.take(with_prompts(usage(0), 10, 10, 10, 10), 0, ten);
  meter.take(with_prompts(usage(0), c.a, c.b, c.c, c.all), 0, ten + 1);
  Interval interval = ended(meter);
  CHECK(interval.prompt_tokens_over == c.over);
  CHECK(interval.prompt_tokens_most == c.most);
  CHECK(interval.requests == c.requests);
}

TEST_CASE("a counter that falls, or buckets with other edges, are those of a new run") {
  Meter meter;
  Usage before = with_prompts(usage(0), 100, 100, 100, 100);
  before.preemptions = 50;
  meter.take(before, 0, ten);
  Usage after = usage(0);
  after.prompts = {{1000, 1}, {2000, 2}, {unbounded_tokens, 2}};
  after.preemptions = 3;
  meter.take(after, 0, ten + 1);
  Interval interval = ended(meter);
  CHECK(interval.requests == 2);
  CHECK(interval.prompt_tokens_most == 2000);
  CHECK(interval.preemptions == 3);

  Meter fallen;
  fallen.take(with_prompts(usage(0), 100, 100, 100, 100), 0, ten);
  fallen.take(with_prompts(usage(0), 0, 0, 1, 1), 0, ten + 1);
  interval = ended(fallen);
  CHECK(interval.requests == 1);
  CHECK(interval.prompt_tokens_over == 2000);
}

TEST_CASE("what llama-server tells is its longest request since its start") {
  Meter meter;
  Usage one;
  one.load = {1, 0};
  one.sequence_tokens_most = 4000;
  meter.take(one, 0, ten);
  Interval interval = ended(meter);
  CHECK(interval.sequence_tokens_most == 4000);
  CHECK_FALSE(interval.kv_told);
}

TEST_CASE("cut in any places, the same readings give the same sums") {
  uint64_t state = 11;
  auto draw = [&](uint64_t bound) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<int64_t>((state >> 33) % bound);
  };
  for (int round = 0; round < 200; ++round) {
    Meter meter(true);
    int64_t preemptions = 0, requests = 0, told_preemptions = 0, told_requests = 0;
    int64_t counts[4] = {0, 0, 0, 0};
    BootMillis now = ten;
    auto add = [&](const std::optional<Interval>& interval) {
      if (!interval) return;
      told_preemptions += interval->preemptions;
      told_requests += interval->requests;
    };
    for (int i = 0; i < 100; ++i) {
      preemptions += draw(3);
      int64_t from = draw(4);
      for (int64_t j = from; j < 4; ++j) ++counts[j];
      ++requests;
      Usage next =
          with_prompts(usage(static_cast<int>(draw(1001))), counts[0], counts[1], counts[2], counts[3]);
      next.preemptions = preemptions;
      now += draw(200'000);
      add(meter.take(next, 1000, now));
    }
    add(meter.take(with_prompts(usage(0), counts[0], counts[1], counts[2], counts[3]), 0,
                   now + interval_millis));
    // The last reading's counter of preemptions is 0: a new run, of which nothing was counted yet.
    REQUIRE(told_preemptions == preemptions);
    REQUIRE(told_requests == requests);
  }
}
