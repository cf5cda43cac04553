#include "reconcile/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "api/names.h"
#include "base/bytes.h"
#include "reconcile/pod_stage.h"
#include "reconcile/retry.h"

namespace strix::reconcile {

namespace {

// Stops before claims (rule 3), then the older stack, then the stack's own order.
bool comes_before(const WindowRequest& a, const WindowRequest& b) {
  return std::tuple(a.kind, a.stack_created, a.stack, a.order) <
         std::tuple(b.kind, b.stack_created, b.stack, b.order);
}

std::string_view doing(PodStage stage) {
  switch (stage) {
    case PodStage::Loading:
      return "loads";
    case PodStage::Draining:
      return "drains";
    case PodStage::Terminating:
      return "is being stopped";
    default:
      return "holds it";
  }
}

// When an orphaned pod stops counting as loading or draining, as nobody asks its engine whether it serves, or
// goes on with stopping it; 0: never.
WallMillis abandoned_from(const api::Pod& pod, const Now& now) {
  if (pod.metadata.controller() || pod.metadata.deleting()) return 0;
  const api::PodCondition* serving = pod.condition(names::readiness_gate);
  WallMillis since = serving ? serving->last_transition : admitted_at(pod);
  return since == 0 ? 0 : counted_from(since, now) + abandoned_millis;
}

const api::Pod* window_holder(const NodeObserved& observed) {
  for (const auto& pod : observed.pods) {
    if (!holds_window(*pod) || is_stuck(*pod, observed.now)) continue;
    if (WallMillis from = abandoned_from(*pod, observed.now); from == 0 || observed.now.wall < from)
      return pod.get();
  }
  return nullptr;
}

// A process that cannot be killed sits in the GPU's driver: no claim on the GPU goes well before a reboot.
std::optional<Verdict> stuck_verdict(const NodeObserved& observed, const WindowRequest& request) {
  if (!request.claim.gpu) return std::nullopt;
  for (const auto& pod : observed.pods)
    if (is_stuck(*pod, observed.now))
      return Verdict{
          std::string(names::reason_node_stuck),
          fmt::format("node {} is stuck: pod {} was to be gone at {} and is not; reboot the node",
                      observed.node, pod->metadata.key().text(), format_time(pod->metadata.deleted))};
  return std::nullopt;
}

Verdict held_verdict(const NodeObserved& observed, const api::Pod& holder) {
  WallMillis since = admitted_at(holder);
  if (holder.metadata.deleting()) since = terminating_since(holder);
  std::string when = since ? " since " + format_time(since) : "";
  return Verdict{names::reason_load_window,
                 fmt::format("waits for the load window of node {}: {} {}{}", observed.node,
                             holder.metadata.key().text(), doing(stage_of(holder)), when)};
}

// Why the node itself cannot take a claim now.
std::optional<Verdict> node_verdict(const NodeObserved& observed, const WindowRequest& request) {
  const api::Node& facts = *observed.facts;
  if (!facts.ready)
    return Verdict{std::string(names::reason_node_not_ready),
                   fmt::format("node {} is not Ready: {}", observed.node, facts.ready_message)};
  if (facts.unschedulable)
    return Verdict{std::string(names::reason_node_not_ready),
                   fmt::format("node {} is cordoned; `kubectl uncordon {}` lets the tier start",
                               observed.node, observed.node)};
  if (request.device_resource.empty()) return std::nullopt;
  auto offered = facts.allocatable.find(request.device_resource);
  int64_t count = offered == facts.allocatable.end() ? 0 : offered->second;
  int64_t used = std::count_if(observed.pods.begin(), observed.pods.end(), [&](const auto& pod) {
    const auto& devices = pod->devices;
    bool takes = std::find(devices.begin(), devices.end(), request.device_resource) != devices.end();
    return holds_memory(*pod) && takes;
  });
  if (count > used) return std::nullopt;
  return Verdict{
      names::reason_device_not_allocatable,
      fmt::format("node {} offers {} of {} and {} are in use; a device plugin that lends it more often, or "
                  "strategy Privileged, lets the tier start",
                  observed.node, count, request.device_resource, used)};
}

// The ledger cannot say what is left beside a pod whose claim cannot be read.
std::optional<Verdict> unknown_verdict(const NodeObserved& observed) {
  for (const auto& pod : observed.pods) {
    if (!holds_memory(*pod) || claim_is_known(*pod)) continue;
    const auto& meta = pod->metadata;
    return Verdict{
        names::reason_claim_unknown,
        fmt::format("what pod {} holds on node {} is not known: its annotation {} cannot be read; "
                    "`kubectl delete pod -n {} {}` ends the wait",
                    meta.key().text(), observed.node, names::annotation_claim, meta.namespace_, meta.name)};
  }
  for (const auto& hold : observed.vanished)
    if (observed.now.boot < hold.until && !hold.claim_known)
      return Verdict{names::reason_claim_unknown,
                     fmt::format("what {} holds on node {} is not known; waits until it must "
                                 "have given it back",
                                 hold.holder, observed.node)};
  return std::nullopt;
}

// Rule 5: the engine of a tier's pod that vanished may still run, beside which its next one is not started.
std::optional<Verdict> vanished_verdict(const NodeObserved& observed, const WindowRequest& request) {
  for (const auto& hold : observed.vanished)
    if (observed.now.boot < hold.until && hold.holder == vanished_holder(request.pod.name))
      return Verdict{
          names::reason_previous_pod_vanished,
          fmt::format("waits until the engine of its previous pod, which was deleted by force, must "
                      "have ended on node {}",
                      observed.node)};
  return std::nullopt;
}

// What is planned fits; what is measured says that it does not now.
std::optional<Verdict> pressure_verdict(const NodeObserved& observed) {
  if (observed.pressure < PressureLevel::Warning) return std::nullopt;
  return Verdict{names::reason_memory_low,
                 fmt::format("waits until node {} has had {} of memory available for a minute", observed.node,
                             format_gib(PressureThresholds{}.warn_available_bytes))};
}

std::optional<Verdict> claim_verdict(const NodeObserved& observed, const WindowRequest& request,
                                     const std::vector<planner::Entry>& held) {
  if (auto verdict = vanished_verdict(observed, request)) return verdict;
  if (auto verdict = unknown_verdict(observed)) return verdict;
  if (auto verdict = node_verdict(observed, request)) return verdict;
  if (auto verdict = stuck_verdict(observed, request)) return verdict;
  if (auto verdict = pressure_verdict(observed)) return verdict;
  if (auto lack = planner::shortfall(observed.profile, held, request.tier, request.claim))
    return Verdict{std::string(names::reason_memory_short), lack->message};
  return std::nullopt;
}

const Refusal* refusal_of(const NodeObserved& observed, const std::string& pod_uid) {
  auto found = observed.refusals.find(pod_uid);
  bool holds = found != observed.refusals.end() && observed.now.boot < found->second.until;
  return holds ? &found->second : nullptr;
}

// Whether a late patch of an earlier leader could take the window with this pod: by letting it in, or by
// draining it. The second matters only where somebody is about to take it; at rest nothing is written.
bool may_be_patched_late(const NodeObserved& observed, const api::Pod& pod) {
  PodStage stage = stage_of(pod);
  if (pod.metadata.deleting()) return false;
  bool runs = stage == PodStage::Serving || stage == PodStage::NotAnswering;
  return stage == PodStage::Gated || (runs && !observed.requests.empty());
}

std::vector<PodRef> unvouched(const NodeObserved& observed) {
  std::vector<PodRef> refs;
  for (const auto& pod : observed.pods) {
    if (!may_be_patched_late(observed, *pod)) continue;
    if (pod->metadata.annotation(names::annotation_leader) == observed.leader) continue;
    if (refusal_of(observed, pod->metadata.uid)) continue;
    refs.push_back({pod->metadata.key(), pod->metadata.uid, pod->metadata.resource_version});
  }
  return refs;
}

void refuse_rest(WindowDecision& decision, const std::vector<WindowRequest>& requests,
                 const Verdict& verdict) {
  for (const auto& request : requests) {
    if (decision.granted && decision.granted->pod.uid == request.pod.uid) continue;
    decision.verdicts.try_emplace(request.pod.name.text(), verdict);
  }
}

}  // namespace

std::string vanished_holder(const api::NamespacedName& pod) {
  return pod.text() + " (vanished)";
}

std::vector<planner::Entry> held_entries(const NodeObserved& observed) {
  std::vector<planner::Entry> entries;
  for (const auto& pod : observed.pods)
    if (holds_memory(*pod)) entries.push_back({pod->metadata.key().text(), claim_of(*pod)});
  for (const auto& hold : observed.vanished)
    if (observed.now.boot < hold.until) entries.push_back({hold.holder, hold.claim});
  return entries;
}

WindowDecision decide_window(const NodeObserved& observed) {
  WindowDecision decision;
  decision.vouch = unvouched(observed);
  std::vector<WindowRequest> requests = observed.requests;
  std::sort(requests.begin(), requests.end(), comes_before);
  if (!observed.facts) {
    refuse_rest(
        decision, requests,
        {std::string(names::reason_node_not_found), fmt::format("there is no node {}", observed.node)});
    return decision;
  }
  if (const api::Pod* holder = window_holder(observed)) {
    refuse_rest(decision, requests, held_verdict(observed, *holder));
    if (WallMillis from = stuck_from(*holder, observed.now); from != 0 && !requests.empty())
      sooner(decision.retry_after_millis, std::max<int64_t>(1, from - observed.now.wall));
    if (WallMillis from = abandoned_from(*holder, observed.now))
      decision.retry_after_millis = from - observed.now.wall;
    return decision;
  }
  for (const auto& hold : observed.vanished)
    if (observed.now.boot < hold.until) sooner(decision.retry_after_millis, hold.until - observed.now.boot);
  auto held = held_entries(observed);
  for (const auto& request : requests) {
    // It gives its turn to the next: what one namespace's policy forbids holds up no other.
    if (const Refusal* refused = refusal_of(observed, request.pod.uid)) {
      decision.verdicts[request.pod.name.text()] = refused->verdict;
      sooner(decision.retry_after_millis, refused->until - observed.now.boot);
      continue;
    }
    bool claims = request.kind == WindowRequest::Kind::Claim;
    // What measures the pool waits after a start of ours too, not knowing what was given back before it.
    BootMillis since = request.claim.gpu ? observed.released : observed.given_back;
    int64_t settles_in = since == 0 ? 0 : since + release_settle_millis - observed.now.boot;
    if (claims && settles_in > 0) {
      sooner(decision.retry_after_millis, settles_in);
      decision.verdicts[request.pod.name.text()] = {
          names::reason_memory_settling,
          fmt::format("waits until the memory that a tier on node {} gave back has settled", observed.node)};
      // Nobody overtakes it: the order of starts is a promise.
      break;
    }
    std::optional<Verdict> verdict = claims ? claim_verdict(observed, request, held) : std::nullopt;
    if (!verdict) {
      decision.granted = request;
      break;
    }
    decision.verdicts[request.pod.name.text()] = *verdict;
  }
  if (!decision.vouch.empty()) decision.granted.reset();
  std::string first =
      decision.granted ? decision.granted->pod.name.text() + " goes first" : "it is being prepared";
  refuse_rest(decision, requests,
              {names::reason_load_window,
               fmt::format("waits for the load window of node {}: {}", observed.node, first)});
  return decision;
}

}  // namespace strix::reconcile
