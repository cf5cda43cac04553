// Why: gates and steps look at one tier's context, which is built from the whole of what was observed.
// May not: outlive the test that looks.
#pragma once

#include "fake/stack_world.h"
#include "reconcile/context.h"

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

}  // namespace strix::test
