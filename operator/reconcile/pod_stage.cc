#include "reconcile/pod_stage.h"

#include <algorithm>

#include "api/names.h"

namespace strix::reconcile {

bool is_pull_pod(const api::Pod& pod) {
  return pod.metadata.label(names::label_role) == names::role_pull;
}

PodStage stage_of(const api::Pod& pod) {
  if (is_pull_pod(pod)) return PodStage::Ended;
  if (pod.terminal()) return PodStage::Ended;
  bool gated = std::find(pod.scheduling_gates.begin(), pod.scheduling_gates.end(), names::scheduling_gate) !=
               pod.scheduling_gates.end();
  if (gated) return PodStage::Gated;
  if (pod.metadata.deleting()) return PodStage::Terminating;
  const api::PodCondition* serving = pod.condition(names::readiness_gate);
  if (!serving) return PodStage::Loading;
  if (serving->status == "True") return PodStage::Serving;
  if (serving->reason == names::serving_draining) return PodStage::Draining;
  if (serving->reason == names::serving_not_answering) return PodStage::NotAnswering;
  return PodStage::Loading;
}

bool holds_memory(const api::Pod& pod) {
  PodStage stage = stage_of(pod);
  return stage != PodStage::Gated && stage != PodStage::Ended;
}

bool holds_window(const api::Pod& pod) {
  PodStage stage = stage_of(pod);
  return stage == PodStage::Loading || stage == PodStage::Draining || stage == PodStage::Terminating;
}

planner::Claim claim_of(const api::Pod& pod) {
  constexpr planner::Claim unknown{.gpu = true, .gpu_fraction_milli = 0, .gpu_bytes = 0, .host_bytes = {}};
  return planner::decode_claim(pod.metadata.annotation(names::annotation_claim)).value_or(unknown);
}

bool claim_is_known(const api::Pod& pod) {
  return planner::decode_claim(pod.metadata.annotation(names::annotation_claim)).has_value();
}

std::string node_of(const api::Pod& pod) {
  return pod.node_name.empty() ? pod.metadata.annotation(names::annotation_node) : pod.node_name;
}

// In whole seconds, as a status tells it: what is compared with what a status says has to be as coarse.
WallMillis admitted_at(const api::Pod& pod) {
  return parse_time(pod.metadata.annotation(names::annotation_admitted_at)).value_or(0) / 1000 * 1000;
}

WallMillis ended_at(const api::Pod& pod) {
  if (pod.engine && pod.engine->terminated && pod.engine->finished != 0) return pod.engine->finished;
  // Evicted before a container ran, or refused by the kubelet: the pod itself is the only witness.
  return pod.terminal() ? std::max(admitted_at(pod), pod.metadata.created) : 0;
}

int64_t served_millis(const api::Pod& pod) {
  const api::PodCondition* serving = pod.condition(names::readiness_gate);
  WallMillis ended = ended_at(pod);
  if (!serving || serving->status != "True" || ended == 0) return 0;
  return std::max<int64_t>(0, ended - serving->last_transition);
}

WallMillis terminating_since(const api::Pod& pod) {
  return pod.metadata.deleting() ? pod.metadata.deleted - pod.metadata.deletion_grace_seconds * 1000 : 0;
}

WallMillis stuck_from(const api::Pod& pod, const Now& now) {
  if (stage_of(pod) != PodStage::Terminating) return 0;
  int64_t grace_millis = pod.metadata.deletion_grace_seconds * 1000;
  return counted_from(terminating_since(pod), now) + grace_millis + stuck_patience_millis;
}

bool is_stuck(const api::Pod& pod, const Now& now) {
  WallMillis from = stuck_from(pod, now);
  return from != 0 && now.wall >= from;
}

}  // namespace strix::reconcile
