#include "base/steady_clock.h"

#include <cstdlib>

namespace strix {

namespace {

bool jumps(int64_t passed_millis, int64_t awake_millis) {
  return std::abs(passed_millis - awake_millis) >= clock_jump_millis_min;
}

}  // namespace

Now SteadyClock::take(const Clocks& clocks) {
  int64_t awake = last_ ? clocks.awake_millis - last_->awake_millis : 0;
  bool slept = last_ ? jumps(clocks.boot - last_->boot, awake) : jumps(clocks.boot, clocks.awake_millis);
  bool was_set = last_ && jumps(clocks.wall - last_->wall, awake);
  if (slept) boot_since_ = clocks.boot;
  if (slept || was_set) wall_since_ = clocks.wall;
  last_ = clocks;
  return {clocks.wall, clocks.boot, wall_since_, boot_since_};
}

}  // namespace strix
