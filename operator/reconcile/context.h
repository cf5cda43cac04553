// Why: turns what was observed into one context per tier: which node, which pod, which claim, who comes
// before.
// May not: decide.
#pragma once

#include <list>
#include <vector>

#include "planner/plan.h"
#include "reconcile/tier.h"

namespace strix::reconcile {

// Owns what the contexts point to. Not copied or moved once built.
struct StackContext {
  explicit StackContext(const Observed& observed);
  StackContext(const StackContext&) = delete;
  StackContext& operator=(const StackContext&) = delete;

  const Observed& observed;
  Shared<planner::Plan> plan;
  std::list<NodeMatch> nodes;    // as spec.nodes
  std::list<TierContext> tiers;  // in start order
  std::list<api::Tier> leftovers_spec;
  std::list<TierContext> leftovers;             // pods of ours whose tier is no longer in the spec
  std::list<api::TierStatus> leftovers_status;  // as this pass found them

  const NodeMatch* node(const std::string& entry) const;

 private:
  void match_nodes();
  void add_tiers();
  void add_leftovers();
};

}  // namespace strix::reconcile
