#include "kube/backoff.h"

#include <vector>

#include "catch.h"

using strix::kube::Backoff;
using strix::kube::BackoffSettings;
using strix::kube::exponential_millis;

TEST_CASE("delays double, carry their jitter, and never pass the ceiling") {
  Backoff without, with;
  std::vector<int64_t> low, high;
  for (int i = 0; i < 8; ++i) {
    low.push_back(without.next_millis(0, 0.0));
    high.push_back(with.next_millis(0, 0.999'999));
  }
  CHECK(low == std::vector<int64_t>{800, 1600, 3200, 6400, 12800, 15000, 15000, 15000});
  CHECK(high[0] == 1599);
  CHECK(high[7] == 29999);
  for (int64_t delay : high) CHECK(delay <= 30'000);
}

TEST_CASE("two quiet minutes after the last delay start it over, and less does not") {
  Backoff backoff;
  for (int i = 0; i < 4; ++i) backoff.next_millis(0, 0.0);  // the last delay ends at 6400
  Backoff early = backoff;
  CHECK(early.next_millis(6'400 + 119'999, 0.0) == 12'800);
  CHECK(backoff.next_millis(6'400 + 120'000, 0.0) == 800);
}

TEST_CASE("reset starts over at once") {
  Backoff backoff;
  backoff.next_millis(0, 0.0);
  backoff.next_millis(0, 0.0);
  backoff.reset();
  CHECK(backoff.next_millis(0, 0.0) == 800);
}

TEST_CASE("a ceiling below the first delay holds from the start") {
  Backoff backoff(BackoffSettings{800, 2.0, 0.0, 500, 120'000});
  CHECK(backoff.next_millis(0, 0.9) == 500);
}

TEST_CASE("any number of failures is no overflow") {
  CHECK(exponential_millis(5, 2.0, 0, 60'000) == 5);
  CHECK(exponential_millis(5, 2.0, 3, 60'000) == 40);
  CHECK(exponential_millis(5, 2.0, 2'000'000'000, 60'000) == 60'000);
}
