#include "sim/simulation.h"

#include "catch.h"

using namespace strix::sim;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t share = 40;  // an instrumented run is that much slower
#else
constexpr uint64_t share = 1;
#endif
constexpr uint64_t seeds = 5'000 / share;

// A failing seed is told as a story: `strix-sim --replay SEED --shrink` tells a shorter one.
void require_kept(uint64_t seed) {
  Plan plan = plan_of(seed);
  Outcome outcome = run(plan, Defect::None, false);
  if (!outcome.broken) return;
  std::string story = describe(plan);
  for (const auto& line : run(plan, Defect::None, true).story) story += line + "\n";
  FAIL("seed " << seed << " breaks rule " << outcome.broken->rule << ": " << outcome.broken->what << "\n"
               << story);
}

}  // namespace

TEST_CASE("every rule holds after every step, and it settles: 5,000 seeds") {
  for (uint64_t seed = 1; seed <= seeds; ++seed) require_kept(seed);
}

TEST_CASE("a seed replays exactly, told or not") {
  for (uint64_t seed : {3, 14, 22}) {
    Plan plan = plan_of(seed);
    Outcome silent = run(plan, Defect::None, false), told = run(plan, Defect::None, true);
    Outcome again = run(plan, Defect::None, true);
    REQUIRE(told.story == again.story);
    REQUIRE(silent.steps == told.steps);
    REQUIRE(silent.writes == told.writes);
    REQUIRE(silent.virtual_millis == told.virtual_millis);
  }
}
