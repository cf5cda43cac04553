#include "reconcile/blame.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>

#include "api/names.h"
#include "engines/failure_table.h"
#include "reconcile/failure.h"

namespace strix::reconcile {

namespace {

struct Suspect {
  std::string tier;
  bool served = false;
  WallMillis ended = 0, admitted = 0;

  // The most suspicious first.
  bool operator<(const Suspect& other) const {
    return std::tuple(served, ended, -admitted, tier) <
           std::tuple(other.served, other.ended, -other.admitted, other.tier);
  }
};

Suspect suspect(const api::Pod& pod) {
  return {std::string(pod.metadata.label(names::label_tier)), pod.condition(names::readiness_gate) != nullptr,
          ended_at(pod), admitted_at(pod)};
}

// As it stands in status; while it does not, as its pod and the log say.
std::string class_of(const Observed& observed, const api::Pod& pod) {
  const api::TierStatus* status =
      observed.stack->status.tier(std::string(pod.metadata.label(names::label_tier)));
  if (status && status->last_failure && status->last_failure->time == ended_at(pod))
    return status->last_failure->failure_class;
  auto found = observed.diagnoses.find(pod.metadata.uid);
  return failure_of(pod, found == observed.diagnoses.end() ? nullptr : &found->second).failure_class;
}

bool shares_gpu(const TierContext& c, const api::Pod& other) {
  return other.metadata.uid != c.pod->metadata.uid && node_of(other) == node_of(*c.pod) &&
         other.metadata.controlled_by(c.observed->stack->metadata.uid) && claim_of(other).gpu;
}

}  // namespace

std::optional<std::string> faulty_tier(const TierContext& c) {
  const Observed& observed = *c.observed;
  Suspect worst = suspect(*c.pod);
  const WallMillis ended = worst.ended;
  bool waits = observed.now.wall - counted_from(ended, observed.now) < reset_wait_millis;
  for (const auto& other : observed.pods) {
    if (!shares_gpu(c, *other)) continue;
    if (stage_of(*other) != PodStage::Ended) {
      if (waits && holds_memory(*other)) return std::nullopt;
      continue;
    }
    if (std::abs(ended_at(*other) - ended) > reset_reach_millis) continue;
    if (observed.logs_awaited.contains(other->metadata.uid)) return std::nullopt;
    if (class_of(observed, *other) == names::failure_gpu_fault) worst = std::min(worst, suspect(*other));
  }
  return worst.tier;
}

api::Failure reset_failure(api::Failure fault, const std::string& faulty_tier) {
  fault.failure_class = names::failure_gpu_reset;
  fault.message = fmt::format("the GPU was taken from it by a fault of tier {}", faulty_tier);
  return fault;
}

int64_t kubelet_settles_in_millis(const TierContext& c) {
  const Now& now = c.observed->now;
  const api::Node* node = c.machine();
  if (!node || !node->ready) return 0;
  int64_t patience_millis = c.pod->metadata.deletion_grace_seconds * 1000 + stuck_patience_millis;
  return std::max<int64_t>(0, counted_from(node->ready_since, now) + patience_millis - now.wall);
}

std::optional<api::Failure> hang_failure(const TierContext& c) {
  const Now& now = c.observed->now;
  const api::Pod& pod = *c.pod;
  if (!is_stuck(pod, now) || !claim_of(pod).gpu || !c.rendered || !c.pod_is_current()) return std::nullopt;
  if (!pod.engine || !pod.engine->running) return std::nullopt;
  const api::Node* node = c.machine();
  if (!node || !node->ready || kubelet_settles_in_millis(c) > 0) return std::nullopt;
  const api::Failure* known = c.last && c.last->last_failure ? &*c.last->last_failure : nullptr;
  bool was_silent =
      known && known->failure_class == names::failure_wedged && known->time >= pod.engine->started;
  if (pod.condition(names::readiness_gate) && !was_silent) return std::nullopt;
  api::Failure failure;
  failure.failure_class = names::failure_gpu_fault;
  failure.time = terminating_since(pod);
  failure.message = fmt::format(
      "its engine {} and could not be killed: it hangs in the GPU's driver; this image, model and "
      "quantisation are not started again: change one of them, or clear the quarantine",
      was_silent ? "fell silent" : "never served");
  return failure;
}

std::optional<api::Failure> reboot_failure(const TierContext& c, const api::Failure& found) {
  const api::Node* node = c.machine();
  std::string before = c.pod->metadata.annotation(names::annotation_boot_id);
  if (!node || before.empty() || node->boot_id.empty() || node->boot_id == before) return std::nullopt;
  bool told = c.diagnosis || found.failure_class == names::failure_node_shutdown ||
              found.failure_class == names::failure_evicted;
  if (told) return std::nullopt;
  api::Failure failure = found;
  if (c.pod->condition(names::readiness_gate)) {
    failure.failure_class = names::failure_node_rebooted;
    failure.message = "its node rebooted";
    return failure;
  }
  const api::Failure* known = c.last && c.last->last_failure ? &*c.last->last_failure : nullptr;
  // A good run ends a row, and another image or model begins one.
  bool in_a_row = known && c.last->consecutive_failures > 0 &&
                  known->subject == c.pod->metadata.annotation(names::annotation_template_hash);
  bool again = in_a_row && (known->failure_class == names::failure_rebooted_while_loading ||
                            known->failure_class == names::failure_reboot_loop);
  failure.failure_class = again ? names::failure_reboot_loop : names::failure_rebooted_while_loading;
  failure.message = "its node rebooted while the tier was loading";
  if (again)
    failure.message +=
        ", twice in a row (another image or model, or a smaller memory.gpuFraction, may spare it that)";
  return failure;
}

}  // namespace strix::reconcile
