// Why: one tier of one stack at one moment: what the pass knows of it, gathered once, and what came of it.
// May not: act; gates.cc and decide.cc fill in the outcome.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/plan.h"
#include "reconcile/action.h"
#include "reconcile/observed.h"
#include "reconcile/pod_stage.h"

namespace strix::reconcile {

// The names of state in status.tiers[].state.
namespace state {
inline constexpr std::string_view waiting = "Waiting";
inline constexpr std::string_view starting = "Starting";
inline constexpr std::string_view warming_up = "WarmingUp";
inline constexpr std::string_view ready = "Ready";
inline constexpr std::string_view not_answering = "NotAnswering";
inline constexpr std::string_view draining = "Draining";
inline constexpr std::string_view stopping = "Stopping";
inline constexpr std::string_view back_off = "BackOff";
inline constexpr std::string_view given_up = "GivenUp";
inline constexpr std::string_view quarantined = "Quarantined";
inline constexpr std::string_view off = "Off";
inline constexpr std::string_view parked = "Parked";
}  // namespace state

// Where a spec.nodes entry is in the cluster.
struct NodeMatch {
  const api::StackNode* entry = nullptr;
  std::vector<Shared<api::Node>> matches;
  const api::Node* one() const { return matches.size() == 1 ? matches.front().get() : nullptr; }
};

// Of a tier's image on its node.
struct ImageView {
  bool present = false;
  bool failed = false;   // it could not be pulled, and is tried again
  std::string message;   // what it waits for; empty where it is present
  std::string pull_pod;  // the name of the pod that pulls it, whether there is one or not
};

struct TierContext {
  const Observed* observed = nullptr;
  const api::Tier* tier = nullptr;
  const NodeMatch* node = nullptr;
  const api::TierStatus* last = nullptr;     // as the stack's status has it; null: none yet
  const api::TierStatus* current = nullptr;  // as this pass found it; set once the tier was looked at
  Shared<api::Pod> pod;                      // of that name; may be somebody else's
  const ProbeReading* probe = nullptr;
  const engines::Diagnosis* diagnosis = nullptr;  // of an ended pod's log
  bool log_awaited = false;                       // it could not be read yet
  planner::Claim claim;
  bool resident = false;  // the plan has it run, and `claim` is what it then holds
  planner::Effective effective;
  const planner::TierPlan* planned = nullptr;    // null: nobody planned it
  ImageView image;                               // of a node that is known
  std::optional<engines::PodTemplate> rendered;  // absent while the node is not known
  std::optional<Verdict> cannot_run;  // as the plan says: by its own numbers, or by its combination
  std::optional<Verdict> parked;      // by the plan, beside those that come first, or by its node's pressure
  std::vector<const TierContext*> predecessors;
  int order = 0;
  bool wanted = true;  // should be resident: activation Always, not parked, and the stack neither suspended
                       // nor deleted

  std::string pod_name() const { return observed->stack->metadata.name + "-" + tier->name; }
  engines::PodInput pod_input() const;  // of a node that is known
  const api::Node* machine() const;     // that its pod is on; null: it is gone
  bool pressed() const;                 // parked because its node ran out of memory
  bool pod_is_ours() const;
  bool pod_is_orphan() const;   // our labels, no controller
  bool pod_is_current() const;  // made from what would be rendered now; true while that is not known
  PodRef pod_ref() const { return {pod->metadata.key(), pod->metadata.uid, pod->metadata.resource_version}; }
  bool serving() const {
    return pod && pod_is_ours() && stage_of(*pod) == PodStage::Serving && !not_answering();
  }
  bool not_answering() const { return probe && probe->phase == ProbePhase::NotAnswering; }
};

struct TierOutcome {
  api::TierStatus status;
  std::vector<Action> actions;
  std::optional<WindowRequest> request;
  std::optional<ProbeTarget> target;
  std::optional<int64_t> retry_after_millis;
};

}  // namespace strix::reconcile
