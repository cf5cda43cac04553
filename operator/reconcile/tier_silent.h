// Why: a tier that served and does not answer: its machine is away, it is busy, or its engine hangs. Which of
// them decides whether it is left alone.
// May not: stop anything outside the load window.
#pragma once

#include "reconcile/tier.h"

namespace strix::reconcile {

// A machine that has just come back says nothing yet about what runs on it: its kubelet looks at its pods one
// after the other.
inline constexpr int64_t node_settle_millis = 60'000;

// Clients are kept away, and it is waited for.
TierOutcome silent(const TierContext& context, TierOutcome outcome);

// Whether the engine will not come back by itself, on a machine that is there. Makes the outcome look again
// where only the machine has to settle.
bool is_wedged(const TierContext& context, TierOutcome& outcome);

// Counts the failure, and then stops the pod as anything is stopped, in the window: what it gives back would
// disturb a neighbour that loads.
TierOutcome stop_wedged(const TierContext& context, TierOutcome outcome);

}  // namespace strix::reconcile
