// Why: what an engine said as it started or ended, in a form that the plan can use: it has to outlive the pod
// that said it and the operator that heard it, so that it is in status.
// May not: plan; planner/learned.h says what it is good for.
#pragma once

#include "reconcile/context.h"

namespace strix::reconcile {

// Sets status.learned from what was known and still holds, from the failures that are in `status` for the
// first time, and from what engines that serve have reported. The tier statuses are in it already.
void tell_learned(const StackContext& stack, api::StackStatus& status);

// What was learned of an engine that fills its fraction by itself is measured again when it says its tokens
// worse than to one part in so many.
inline constexpr int64_t kv_tokens_close_fraction = 100;

}  // namespace strix::reconcile
