// Why: while a spec is invalid nothing that serves is changed, for as long as that takes. Its engines are
// asked on, and clients are kept away from those that are silent. A stop that had begun is called off:
// nobody goes on with it, and it would hold the load window.
// May not: use more of the spec than what an engine is asked with, or stop anything.
#pragma once

#include "reconcile/decide.h"

namespace strix::reconcile {

// Adds to the decision's actions and targets, and puts what is seen into the tiers of its status.
void step_frozen_tiers(const Observed& observed, Decision& decision);

}  // namespace strix::reconcile
