// Why: a machine that sleeps, and a clock that is set, let every deadline pass at once, and whoever had to
// keep it had no time to. CLOCK_MONOTONIC stands still in sleep, so that comparing the three clocks tells.
// May not: read a clock.
#pragma once

#include <optional>

#include "base/time.h"

namespace strix {

// What the clocks show at one moment.
struct Clocks {
  WallMillis wall = 0;
  BootMillis boot = 0;
  int64_t awake_millis = 0;  // CLOCK_MONOTONIC
};

// A jump shorter than this is none: three clocks are not read in one instant, and no deadline is that short.
inline constexpr int64_t clock_jump_millis_min = 5'000;

// Not thread-safe. The owner takes its readings in the order in which they are made.
class SteadyClock {
 public:
  // The first reading is a jump where the machine has ever slept, as it cannot be known when: a process that
  // wakes finds its lease lost and ends, and the next one would let all deadlines pass.
  Now take(const Clocks& clocks);

 private:
  std::optional<Clocks> last_;
  WallMillis wall_since_ = 0;
  BootMillis boot_since_ = 0;
};

}  // namespace strix
