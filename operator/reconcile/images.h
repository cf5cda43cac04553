// Why: rule 1: nothing slow or hopeless sits in the load window, so images are on their nodes before it
// opens: which are, what is seen of those that are not, and which pods that only pull there have to be.
// May not: hold up a tier whose image is known to be there.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engines/pull_pod.h"
#include "reconcile/context.h"

namespace strix::reconcile {

// Kubernetes tries a pull again by itself, later and later. A pod that ended without one is made anew, and
// not sooner than this after the last.
inline constexpr int64_t pull_again_millis = 60'000;

// What is known of a tier's image on its node.
ImageView look_at_image(const Observed& observed, const TierContext& context, const api::Node& node);

// What a stack's pods that pull should be, and what has to be done for it.
struct PullStep {
  std::vector<Action> actions;
  std::optional<int64_t> retry_after_millis;
};
PullStep step_pulls(const StackContext& stack);
// None is needed any more: the stack goes, or its spec is none.
std::vector<Action> end_pulls(const Observed& observed);

}  // namespace strix::reconcile
