// Why: while a spec is invalid nothing that serves is changed, for as long as that takes. Its engines are
// asked on, and clients are kept away from those that are silent. A stop that had begun is called off:
// nobody goes on with it, and it would hold the load window. What has not served yet is taken down: it would
// hold the window for a tier that nobody can describe any more. And what ends meanwhile is said to have.
// May not: use more of the spec than what an engine is asked with, or stop what may serve.
#pragma once

#include "reconcile/decide.h"

namespace strix::reconcile {

// Adds to the decision's actions and targets, and puts what is seen into the tiers of its status.
void step_frozen_tiers(const Observed& observed, Decision& decision);

}  // namespace strix::reconcile
