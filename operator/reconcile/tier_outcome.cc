#include "reconcile/tier_outcome.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "reconcile/failure.h"
#include "reconcile/retry.h"

namespace strix::reconcile {

// The outcome with what holds in every state, and counters carried over.
TierOutcome begin(const TierContext& c) {
  TierOutcome outcome;
  api::TierStatus& status = outcome.status;
  if (c.last) {
    status.restarts = c.last->restarts;
    status.consecutive_failures = c.last->consecutive_failures;
    status.last_failure = c.last->last_failure;
  }
  status.name = c.tier->name;
  const auto& meta = c.observed->stack->metadata;
  if (c.tier->port != 0)
    status.endpoint = fmt::format("http://{}.{}.svc:{}", c.pod_name(), meta.namespace_, c.tier->port);
  if (c.pod && c.pod_is_ours()) {
    status.pod_name = c.pod->metadata.name;
    status.node = node_of(*c.pod);
    if (holds_memory(*c.pod) && claim_is_known(*c.pod)) {
      planner::Claim claim = claim_of(*c.pod);
      if (claim.gpu) status.gpu_fraction_milli = claim.gpu_fraction_milli;
      if (claim.gpu || claim.host_bytes) status.bytes = claim.known_bytes();
    }
  } else if (c.node && c.node->one()) {
    status.node = c.node->one()->metadata.name;
  }
  return outcome;
}

void say(const TierContext& c, TierOutcome& outcome, std::string_view state, std::string_view reason,
         std::string message) {
  api::TierStatus& status = outcome.status;
  status.state = state;
  status.reason = reason;
  status.message = std::move(message);
  bool same = c.last && c.last->state == status.state && c.last->reason == status.reason;
  status.since = same ? c.last->since : c.observed->now.wall;
}

void say(const TierContext& c, TierOutcome& outcome, std::string_view state, const Verdict& verdict) {
  say(c, outcome, state, verdict.reason, verdict.message);
}

std::string going_text(const api::Pod& pod) {
  return fmt::format("pod {} is going since {}", pod.metadata.name, format_time(terminating_since(pod)));
}

void look_again(TierOutcome& outcome, int64_t millis) {
  sooner(outcome.retry_after_millis, std::max<int64_t>(1, millis));
}

void probe(const TierContext& c, TierOutcome& outcome, bool draining) {
  if (c.pod->pod_ip.empty() || (c.tier->port == 0 && c.pod->engine_port == 0)) return;
  ProbeTarget target;
  target.uid = c.pod->metadata.uid;
  target.stack = c.observed->stack->metadata.key();
  target.pod_ip = c.pod->pod_ip;
  target.tier = *c.tier;
  // A pod that is being replaced listens where it was told to, whatever the spec says now.
  if (c.pod->engine_port != 0) target.tier.port = c.pod->engine_port;
  auto key = c.observed->api_keys.find(c.tier->name);
  if (key != c.observed->api_keys.end()) target.api_key = key->second;
  target.was_serving = stage_of(*c.pod) == PodStage::Serving || draining;
  // One whose stop was called off has to answer before it serves, and may have hung in its drain.
  target.was_silent =
      stage_of(*c.pod) == PodStage::NotAnswering || (stage_of(*c.pod) == PodStage::Draining && !draining);
  target.draining = draining;
  target.observe = c.observed->stack->spec.tuning.mode == api::TuningMode::Observe;
  outcome.target = std::move(target);
}

Action let_clients_in(const TierContext& c) {
  return SetServing{c.tier->name, c.pod_ref(), true, std::string(names::serving_warm),
                    "health and a first completion were answered"};
}

Action keep_clients_away(const TierContext& c) {
  return SetServing{c.tier->name, c.pod_ref(), false, std::string(names::serving_not_answering),
                    c.probe->detail};
}

std::optional<NoteClaim> corrected_claim(const TierContext& c) {
  if (!c.resident || !c.pod_is_current()) return std::nullopt;
  if (claim_is_known(*c.pod) && claim_of(*c.pod) == c.claim) return std::nullopt;
  return NoteClaim{c.tier->name, c.pod_ref(), planner::encode_claim(c.claim)};
}

WindowRequest request(const TierContext& c, WindowRequest::Kind kind) {
  const auto& meta = c.observed->stack->metadata;
  WindowRequest request;
  request.kind = kind;
  request.stack = meta.key();
  request.stack_uid = meta.uid;
  request.stack_generation = meta.generation;
  request.stack_created = meta.created;
  request.order = kind == WindowRequest::Kind::Claim ? c.order : -c.order;
  request.node = node_of(*c.pod);
  request.tier = c.tier->name;
  request.pod = c.pod_ref();
  request.claim = kind == WindowRequest::Kind::Claim ? c.claim : claim_of(*c.pod);
  if (kind == WindowRequest::Kind::Claim && c.claim.gpu && c.node && c.node->entry &&
      c.node->entry->devices && c.node->entry->devices->strategy == api::DeviceStrategy::ExtendedResource)
    request.device_resource = c.node->entry->devices->resource_name;
  return request;
}

std::optional<Verdict> window_verdict(const TierContext& c) {
  auto found = c.observed->verdicts.find(c.pod->metadata.key().text());
  if (found == c.observed->verdicts.end()) return std::nullopt;
  return found->second;
}

api::Failure about_this_pod(const TierContext& c, api::Failure failure) {
  failure.subject = subject_of(failure.failure_class, c.observed->stack->spec, *c.tier,
                               c.pod->metadata.annotation(names::annotation_template_hash));
  failure.cleared = clearing_of(*c.observed->stack);
  failure.time = failure.time / 1000 * 1000;  // as status keeps it, by which it is known again
  return failure;
}

// Counts a failure once: it is in status before anything is done about it.
bool record_failure(const TierContext& c, TierOutcome& outcome, api::Failure failure, int64_t served) {
  failure = about_this_pod(c, std::move(failure));
  const api::Failure* known = c.last && c.last->last_failure ? &*c.last->last_failure : nullptr;
  // The time tells failures of one tier apart; the log is read, and the annotation looked at, but once.
  if (known && known->time == failure.time) return false;
  outcome.status.last_failure = std::move(failure);
  outcome.status.restarts += 1;
  outcome.status.consecutive_failures = failures_in_a_row(outcome.status.consecutive_failures, served);
  return true;
}

}  // namespace strix::reconcile
