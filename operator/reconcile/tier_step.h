// Why: the next step of one tier: what its status says, what is done, what it asks of the window.
// May not: look past its context, or do more than one thing to a pod.
#pragma once

#include "reconcile/tier.h"

namespace strix::reconcile {

// A tier that should run: from nothing to Ready, and back up after a failure.
TierOutcome step_up(const TierContext& context);

// A drain lasts at least this long: EndpointSlices and every node's proxy take a second or two to send
// clients elsewhere, and the time of a condition is cut to whole seconds.
inline constexpr int64_t drain_settle_millis = 3'000;

// A tier that should not run: switched off, suspended, replaced, removed or deleted with its stack.
// `may_stop` is false while another tier of the stack has to stop first.
TierOutcome step_down(const TierContext& context, bool may_stop);

}  // namespace strix::reconcile
