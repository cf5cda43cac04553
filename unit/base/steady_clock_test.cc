#include "base/steady_clock.h"

#include "catch.h"

using namespace strix;

namespace {

constexpr WallMillis noon = 1'770'120'000'000;
constexpr int64_t hour = 3'600'000;

// What the clocks of a machine show that was awake for so long, slept for so long, and was set by so much.
Clocks after(int64_t awake, int64_t asleep = 0, int64_t set = 0) {
  return {noon + awake + asleep + set, hour + awake + asleep, hour + awake};
}

}  // namespace

TEST_CASE("clocks that go as the machine does are steady, however long nobody looked") {
  SteadyClock clock;
  for (int64_t awake : {int64_t{0}, int64_t{20}, 10 * hour}) {
    Now now = clock.take(after(awake));
    CHECK(now.wall == noon + awake);
    CHECK(now.boot == hour + awake);
    CHECK(now.wall_steady_since == 0);
    CHECK(now.boot_steady_since == 0);
  }
}

TEST_CASE("a sleep is a jump of both clocks, a clock that is set one of the wall's; each is found once") {
  struct Case {
    const char* what;
    int64_t asleep, set;
    bool wall, boot;
  };
  for (const Case& c :
       {Case{"slept for a night", 8 * hour, 0, true, true}, Case{"set forward", 0, 60'000, true, false},
        Case{"set back", 0, -60'000, true, false},
        Case{"set back by as much as it slept", hour, -hour, true, true},
        Case{"a blink", 4'000, 0, false, false}, Case{"a nudge", 0, -900, false, false}}) {
    CAPTURE(c.what);
    SteadyClock clock;
    clock.take(after(0));
    Now found = clock.take(after(2'000, c.asleep, c.set));
    CHECK((found.wall_steady_since == found.wall) == c.wall);
    CHECK((found.boot_steady_since == found.boot) == c.boot);
    Now later = clock.take(after(9'000, c.asleep, c.set));
    CHECK(later.wall_steady_since == found.wall_steady_since);
    CHECK(later.boot_steady_since == found.boot_steady_since);
  }
}

TEST_CASE("a process that starts on a machine that has slept begins with a jump") {
  SteadyClock clock;
  Now first = clock.take(after(0, 8 * hour));
  CHECK(first.wall_steady_since == first.wall);
  CHECK(first.boot_steady_since == first.boot);
  CHECK(clock.take(after(5'000, 8 * hour)).wall_steady_since == first.wall);
}

TEST_CASE("a deadline counts from when it began, and not from before a jump") {
  Now steady{noon, hour};
  CHECK(counted_from(noon - 5'000, steady) == noon - 5'000);
  CHECK(counted_from(noon + 5'000, steady) == noon + 5'000);
  Now jumped{noon, hour, noon - 60'000, 0};
  CHECK(counted_from(noon - 5'000, jumped) == noon - 5'000);
  CHECK(counted_from(noon - hour, jumped) == noon - 60'000);
  CHECK(counted_from(noon + 5'000, jumped) == noon + 5'000);  // another machine's clock
  CHECK(counted_from(noon + hour, jumped) == noon - 60'000);  // the clock was set back
}

TEST_CASE("the clocks of this machine are read as steady ones") {
  Now first = now(), second = now();
  CHECK(second.boot >= first.boot);
  CHECK(second.wall_steady_since == first.wall_steady_since);
  CHECK(second.boot_steady_since <= first.boot);
}
