// Why: what a tier's pod is doing, read off the Pod alone, so that an operator that has just started sees
// the same as one that watched all along.
// May not: use anything but the pod.
#pragma once

#include <optional>

#include "api/core.h"
#include "base/time.h"
#include "planner/claim.h"

namespace strix::reconcile {

enum class PodStage {
  Gated,         // has our scheduling gate: holds nothing
  Loading,       // admitted, has never served: holds the load window
  Serving,       // the readiness gate is true
  NotAnswering,  // served, and fell silent: clients are kept away
  Draining,      // being stopped on purpose: finishing what it has; holds the window
  Terminating,   // deleted and not gone: still holds its memory, and the window
  Ended,         // every container has exited
};

PodStage stage_of(const api::Pod& pod);

// Whether a pod only pulls an image: it runs no tier and holds nothing, whatever else it does.
bool is_pull_pod(const api::Pod& pod);

// Ungated and not ended: it holds, or is about to hold, memory.
bool holds_memory(const api::Pod& pod);
// Nothing else on the node may be started or stopped on purpose meanwhile.
bool holds_window(const api::Pod& pod);

// When a pod that is being deleted should have been gone, and a minute more; 0 for others. From then on its
// node is stuck: what it holds will not come back by itself.
inline constexpr int64_t stuck_patience_millis = 60'000;
WallMillis stuck_from(const api::Pod& pod, const Now& now);
bool is_stuck(const api::Pod& pod, const Now& now);

// What it holds. Where the annotation cannot be read the amount is unknown, and whatever is said here stands
// for it: ask claim_is_known() before anything is promised beside it.
planner::Claim claim_of(const api::Pod& pod);
bool claim_is_known(const api::Pod& pod);

// The Kubernetes node it sits on, or will: the scheduler's word first, then our annotation.
std::string node_of(const api::Pod& pod);

// When the gate was removed, when it ended, and how long it served before that; 0 where unknown.
WallMillis admitted_at(const api::Pod& pod);
WallMillis ended_at(const api::Pod& pod);
int64_t served_millis(const api::Pod& pod);

// When it was told to stop; its deletionTimestamp is when its grace period ends. 0: it was not.
WallMillis terminating_since(const api::Pod& pod);

}  // namespace strix::reconcile
