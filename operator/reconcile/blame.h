// Why: whom a GPU or a machine that went down is laid at. A GPU that is reset takes all engines on it along,
// each with the same last words; an engine that hangs in the driver cannot be killed; and a machine that
// froze says nothing at all. Only the tier that did it is held back, the others start again (rule 8).
// May not: act, or look at pods of other stacks.
#pragma once

#include <optional>
#include <string>

#include "api/inference_stack.h"
#include "reconcile/tier.h"

namespace strix::reconcile {

// A reset ends its engines within so long of one another, as they notice it.
inline constexpr int64_t reset_reach_millis = 30'000;
// So long after one has died of its GPU it is known whether others on that GPU go too.
inline constexpr int64_t reset_wait_millis = 5'000;

// The tier that the fault is laid at which ended this tier's pod: the one that was loading or warming up,
// else the first that ended, else the one that was let in last. Absent: it cannot be said yet.
std::optional<std::string> faulty_tier(const TierContext& c);

// `fault`, of a tier that merely was on the GPU when another tier's engine faulted.
api::Failure reset_failure(api::Failure fault, const std::string& faulty_tier);

// How long until the kubelet of a pod that is being stopped has had the pod's whole time since it came back
// from being away; 0: it has had it, or is away now.
int64_t kubelet_settles_in_millis(const TierContext& c);

// The pod that makes its node stuck, where that is a hang of its engine in the GPU's driver: a kubelet that
// reports all the while says that it still runs, and it never served, or had stopped to answer before it was
// stopped.
std::optional<api::Failure> hang_failure(const TierContext& c);

// `found` again, where the node has rebooted since the pod was let in and nothing is known of how the engine
// ended before that. The second time in a row that a tier's own load ends so it is taken for the cause: a
// machine that a tier takes down comes back for long enough to be taken down again.
std::optional<api::Failure> reboot_failure(const TierContext& c, const api::Failure& found);

}  // namespace strix::reconcile
