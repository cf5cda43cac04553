// Why: rule 1 and rule 2: one load window per node. All that wants to start or stop on a node, from any
// stack, asks here, and at most one is let through. This is the only place that opens a scheduling gate.
// May not: do I/O; the reconciler repeats the decision on live reads before it acts.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core.h"
#include "planner/ledger.h"
#include "reconcile/ports.h"

namespace strix::reconcile {

struct WindowRequest {
  enum class Kind { Stop, Claim };
  Kind kind = Kind::Claim;
  api::NamespacedName stack;
  std::string stack_uid;
  int64_t stack_generation = 0;
  WallMillis stack_created = 0;
  int order = 0;     // within the stack: the start order for claims, its reverse for stops
  std::string node;  // the Kubernetes node whose window it asks for
  std::string tier;
  PodRef pod;
  planner::Claim claim;
  std::string device_resource;  // an extended resource that the node has to offer; empty: none

  // Nothing that the window's decision depends on differs.
  bool same_as(const WindowRequest& other) const {
    return kind == other.kind && stack == other.stack && stack_uid == other.stack_uid &&
           stack_generation == other.stack_generation && order == other.order && node == other.node &&
           pod.uid == other.pod.uid && pod.resource_version == other.pod.resource_version &&
           claim == other.claim && device_resource == other.device_resource;
  }
};

// A pod that vanished without ending (force delete): it may still hold its memory.
struct VanishedHold {
  std::string uid, holder;
  planner::Claim claim;
  BootMillis until = 0;
  bool claim_known = true;
  int64_t patience_millis = 0;  // of a kubelet that is Ready
};

// What a request is told when it is not let through: a reason and a sentence for the tier's status.
struct Verdict {
  Verdict() = default;
  Verdict(std::string_view why, std::string text) : reason(why), message(std::move(text)) {}
  std::string reason, message;
  bool operator==(const Verdict&) const = default;
};

// The API server refuses something of ours for good, as a policy does: it is not tried before `until`.
struct Refusal {
  Verdict verdict;
  BootMillis until = 0;
};

struct NodeObserved {
  Now now;
  std::string node;
  std::string leader;
  Shared<api::Node> facts;  // null: no such node
  std::vector<Shared<api::Pod>> pods;
  std::vector<WindowRequest> requests;
  std::vector<VanishedHold> vanished;
  std::map<std::string, Refusal> refusals;  // of patches, by pod uid
  BootMillis given_back = 0;                // the same, as far as this process saw it; 0: it did not
  BootMillis released = 0;  // when memory of a GPU tier was last given back here, as far as we know
  api::NodeProfile profile;
  PressureLevel pressure = PressureLevel::Unknown;
};

struct WindowDecision {
  // First of all: pods that an earlier leader vouched for and that it might still be letting in or draining.
  // Nothing is opened before these are ours.
  std::vector<PodRef> vouch;
  std::optional<WindowRequest> granted;
  std::map<std::string, Verdict> verdicts;  // by "namespace/pod"; everyone who was not granted
  std::optional<int64_t> retry_after_millis;
};

// After a GPU tier has gone, the pool settles for this long before another one measures it.
inline constexpr int64_t release_settle_millis = 2'000;
// An orphaned pod holds the window for this long after it was let in, or began to drain.
inline constexpr int64_t abandoned_millis = 600'000;
// A vanished pod is held for its grace period and this long.
inline constexpr int64_t vanished_extra_millis = 30'000;

WindowDecision decide_window(const NodeObserved& observed);

// Who holds it, for messages.
std::string vanished_holder(const api::NamespacedName& pod);

// What is held on the node now: every admitted pod that has not ended, and what vanished.
std::vector<planner::Entry> held_entries(const NodeObserved& observed);

}  // namespace strix::reconcile
