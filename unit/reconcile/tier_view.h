// Why: gates and steps look at one tier's context, which is built from the whole of what was observed.
// May not: outlive the test that looks.
#pragma once

#include "fake/stack_world.h"
#include "reconcile/context.h"
#include "reconcile/tier_step.h"

namespace strix::test {

struct View {
  explicit View(const fake::StackWorld& world) : observed(world.observed()), context(observed) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  const reconcile::TierContext& tier(const std::string& name) const {
    for (const auto& tier : context.tiers)
      if (tier.tier->name == name) return tier;
    for (const auto& tier : context.leftovers)
      if (tier.tier->name == name) return tier;
    INVARIANT(false);
    return context.tiers.front();
  }

  const reconcile::Observed observed;
  const reconcile::StackContext context;
};

// One pass over tier one, and its status stored as the API server keeps it.
inline reconcile::TierOutcome pass(fake::StackWorld& world) {
  reconcile::TierOutcome outcome = reconcile::step_up(View(world).tier("one"));
  api::StackStatus status;
  status.tiers = {outcome.status};
  world.store(status);
  return outcome;
}

}  // namespace strix::test
