#include "catch.h"
#include "sim/simulation.h"

using namespace strix::sim;

namespace {

// The seed that breaks a rule; 0 when none of them does.
uint64_t caught_by(Defect defect, uint64_t seeds) {
  for (uint64_t seed = 1; seed <= seeds; ++seed)
    if (run(plan_of(seed), defect, false).broken) return seed;
  return 0;
}

}  // namespace

// All of them within 1,000 seeds: `strix-sim --plant all`.
TEST_CASE("planted defects are caught") {
  constexpr uint64_t seeds = 150;
  for (Defect defect :
       {Defect::BoardForgets, Defect::ClaimsNothing, Defect::CreatesUngated, Defect::DeletesWithoutUid,
        Defect::IgnoresTerminating, Defect::KeepsFinalizer, Defect::NeverTellsStatus, Defect::ServesUnasked,
        Defect::StopsWithoutDrain, Defect::TakesLoadingForServing, Defect::TrustsAnyOwner,
        Defect::WritesForever, Defect::MakesEvictablePods, Defect::ImagesEverywhere, Defect::CountsSleep,
        Defect::IgnoresPressure, Defect::ParksForever}) {
    INFO("planted: " << to_string(defect));
    REQUIRE(caught_by(defect, seeds) != 0);
  }
}

TEST_CASE("a plan is made smaller while it still fails") {
  Plan plan = plan_of(caught_by(Defect::CreatesUngated, 50));
  auto fails = [](const Plan& candidate) {
    auto outcome = run(candidate, Defect::CreatesUngated, false);
    return outcome.broken && outcome.broken->rule.starts_with("1 ");
  };
  REQUIRE(fails(plan));
  Plan smaller = shrink(plan, fails);
  REQUIRE(fails(smaller));
  REQUIRE(smaller.incidents.empty());
  REQUIRE(smaller.stacks.size() == 1);
  REQUIRE(smaller.stacks[0].spec.tiers.size() == 1);
}
