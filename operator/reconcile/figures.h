// Why: what the tiers were used for, in status: the peak of each KV cache, what is recommended, and the
// condition Tuned. These move by themselves while a settled stack serves, so that how often, and in which
// steps, is decided in one place.
// May not: change a spec.
#pragma once

#include <optional>

#include "reconcile/context.h"

namespace strix::reconcile {

// Into the tier statuses that are already in `status`: as they were told last, or anew where observed.usage
// is there. Answers with the condition; absent: tuning.mode is Off.
std::optional<api::Condition> tell_figures(const StackContext& stack, api::StackStatus& status);

}  // namespace strix::reconcile
