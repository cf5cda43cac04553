// Why: what a tier without a running pod waits for. The list is the specification of starting: the first gate
// that holds names the wait in status, and its order is tested.
// May not: act, or look at anything but the tier's context.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "reconcile/tier.h"

namespace strix::reconcile {

struct Gate {
  std::string_view name;
  std::optional<Verdict> (*holds)(const TierContext&);
};

// Before there may be a pod at all.
const std::vector<Gate>& gates_before_pod();
// Before a pod that serves is stopped to be replaced: its successor could start.
const std::vector<Gate>& gates_before_replacement();
// With a gated pod in place, before it asks for the load window.
const std::vector<Gate>& gates_before_window();

// A failure of this tier, or a quarantine by another tier of the stack, that is not tried again by itself.
std::optional<Verdict> held_back(const TierContext& context);
// When the last failure's back-off is over; 0: no failure, or long ago.
WallMillis next_try(const TierContext& context);

std::optional<Verdict> first_that_holds(const std::vector<Gate>& gates, const TierContext& context);

}  // namespace strix::reconcile
