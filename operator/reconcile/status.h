// Why: what a stack's status says as a whole, in the sense of kstatus: a sum of what its tiers say.
// May not: say anything that was asked for rather than seen.
#pragma once

#include <vector>

#include "api/validate.h"
#include "reconcile/context.h"

namespace strix::reconcile {

// Conditions, summary and memory, from the tier statuses that are already in `status`. `tuned`: the condition
// of figures.h, which is no sum of states.
void complete_status(const StackContext& stack, api::StackStatus& status,
                     std::optional<api::Condition> tuned);

// The same of a spec that is refused: what its tiers were before is all that is known of them.
void complete_invalid_status(const Observed& observed, const std::vector<api::FieldError>& errors,
                             api::StackStatus& status);

// One event for each change that a person may want to know of. Two equal statuses make none.
std::vector<Event> events_between(const api::StackStatus& before, const api::StackStatus& after);

}  // namespace strix::reconcile
