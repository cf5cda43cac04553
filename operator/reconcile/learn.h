// Why: what an engine said as it ended, in a form that the plan can use: it has to outlive the pod that said
// it and the operator that heard it, so that it is in status.
// May not: plan; planner/learned.h says what it is good for.
#pragma once

#include "reconcile/context.h"

namespace strix::reconcile {

// Sets status.learned from what was known and still holds, and from the failures that are in `status` for the
// first time. The tier statuses are in it already.
void tell_learned(const StackContext& stack, api::StackStatus& status);

}  // namespace strix::reconcile
