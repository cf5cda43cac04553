#include "reconcile/node_reconciler.h"

#include <algorithm>
#include <set>

#include "api/names.h"
#include "reconcile/pod_stage.h"
#include "reconcile/refusal.h"
#include "reconcile/retry.h"

namespace strix::reconcile {

namespace {

// How soon to look again when the world moved between deciding and acting.
constexpr int64_t moved_millis = 50;

// One that will not go gives nothing back, and nobody waits for it.
PressureTier::Stage pressure_stage(const api::Pod& pod, const Now& now) {
  using Stage = PressureTier::Stage;
  if (!holds_memory(pod) || is_stuck(pod, now)) return Stage::Absent;
  switch (stage_of(pod)) {
    case PodStage::Loading:
      return Stage::Loading;
    case PodStage::Serving:
    case PodStage::NotAnswering:
      return Stage::Running;
    default:
      return Stage::Going;
  }
}

// What `pod` may still hold should it vanish; `until` is set when it does.
VanishedHold hold_of(const api::Pod& pod, const planner::Claim& claim, bool claim_known) {
  int64_t patience = pod.termination_grace_seconds * 1000 + vanished_extra_millis;
  return {pod.metadata.uid, vanished_holder(pod.metadata.key()), claim, 0, claim_known, patience};
}

bool is_refused(const Status& done) {
  return !done && is_refusal(done.error());
}

// A patch that found another pod, or none, and so did nothing.
bool found_another(const Status& done) {
  return !done && (done.error().kind == ErrorKind::NotFound || done.error().kind == ErrorKind::Conflict);
}

}  // namespace

NodeReconciler::NodeReconciler(Ports ports, Board& board, std::string leader)
    : ports_(std::move(ports)), board_(board), leader_(std::move(leader)), started_(ports_.clock().boot) {}

void NodeReconciler::pod_changed(const api::Pod* before, const api::Pod* after) {
  // A list after a gap shows the next pod of that name where the last one was.
  if (before && after && before->metadata.uid != after->metadata.uid) after = nullptr;
  if (!before) return;
  std::string node = node_of(*before);
  planner::Claim claim = claim_of(*before);
  BootMillis boot = ports_.clock().boot;
  std::lock_guard lock(mutex_);
  Memory& memory = memories_[node];
  if (stage_of(*before) == PodStage::Gated) {
    if (after && stage_of(*after) == PodStage::Gated) return;
    auto let_in = memory.let_in.extract(before->metadata.uid);
    if (after || !let_in) return;
    memory.vanish(std::move(let_in.mapped()), boot);
    return;
  }
  if (!holds_memory(*before) || (after && holds_memory(*after))) return;
  if (claim.gpu) memory.released = boot;
  // It ended with a terminal phase, or never got as far as a node: nothing is left behind.
  if (after || before->node_name.empty()) return;
  memory.vanish(hold_of(*before, claim, claim_is_known(*before)), boot);
}

NodeObserved NodeReconciler::observe(const std::string& node) {
  NodeObserved observed;
  observed.now = ports_.clock();
  observed.node = node;
  observed.leader = leader_;
  for (const auto& candidate : ports_.cache->nodes())
    if (candidate->metadata.name == node) observed.facts = candidate;
  observed.pods = ports_.cache->pods_of_node(node);
  observed.requests = board_.requests_of(node);
  observed.profile = board_.profile_of(node);
  std::lock_guard lock(mutex_);
  Memory& memory = memories_[node];
  if (observed.facts && observed.facts->boot_id != memory.boot_id) {
    if (!memory.boot_id.empty()) memory.vanished.clear();
    memory.boot_id = observed.facts->boot_id;
  }
  // A kubelet that is away stops nothing: the time begins when it is back.
  // Nor does one that sleeps, with all that runs beside it.
  bool away = !observed.facts || !observed.facts->ready;
  BootMillis steady = observed.now.boot_steady_since;
  for (auto& hold : memory.vanished)
    hold.until =
        std::max(hold.until, (away || memory.was_away ? observed.now.boot : steady) + hold.patience_millis);
  memory.was_away = away;
  std::erase_if(memory.vanished, [&](const auto& hold) { return hold.until <= observed.now.boot; });
  observed.vanished = memory.vanished;
  std::erase_if(memory.refusals, [&](const auto& entry) { return entry.second.until <= observed.now.boot; });
  observed.refusals = memory.refusals;
  // What was given back before this process watched is not known: it counts as given back when it began.
  observed.given_back = memory.released == 0 ? 0 : std::max(memory.released, steady);
  observed.released = std::max({memory.released, started_, steady});
  return observed;
}

PassResult NodeReconciler::reconcile(const std::string& node) {
  if (!board_.complete()) return {moved_millis, {}};
  if (Status fenced = fence(node); !fenced) return {{}, fenced.error()};
  NodeObserved seen = observe(node);
  std::optional<int64_t> pressure_retry = look_at_pressure(seen);
  WindowDecision decision = decide_window(seen);
  for (const auto& stack : board_.answer(node, decision.verdicts)) ports_.wake_stack(stack);
  PassResult result{decision.retry_after_millis, {}};
  sooner(result.retry_after_millis, pressure_retry);
  for (const auto& pod : decision.vouch) {
    Status done = ports_.cluster->vouch_for_pod(pod, leader_);
    if (is_refused(done)) remember_refusal(seen, pod, done.error());
    bool moved = found_another(done) || is_refused(done);
    if (moved) result.retry_after_millis = moved_millis;
    if (!done && !moved) return {{}, done.error().wrap("vouch for pod " + pod.name.text())};
  }
  if (!decision.granted) return result;
  PassResult granted = grant(seen, *decision.granted);
  if (!granted.error && !granted.retry_after_millis) granted.retry_after_millis = pressure_retry;
  return granted;
}

// Tells the stacks who is to be parked, and `observed` whether anything may be started.
std::optional<int64_t> NodeReconciler::look_at_pressure(NodeObserved& observed) {
  if (!ports_.memory) {
    for (const auto& stack : board_.press(observed.node, {})) ports_.wake_stack(stack);
    return std::nullopt;
  }
  PressureObserved pressure;
  pressure.now = observed.now;
  pressure.reading = ports_.memory->reading(observed.node);
  pressure.tiers = board_.tiers_of(observed.node);
  pressure.released = observed.given_back;
  for (auto& tier : pressure.tiers) {
    for (const auto& pod : observed.pods) {
      // What an earlier stack left running is not this one's to stop, and nothing that would be waited for.
      const api::OwnerReference* owner = pod->metadata.controller();
      bool its = pod->metadata.key().text() == tier.pod && owner && owner->name == tier.stack.name;
      if (its) tier.stage = pressure_stage(*pod, observed.now);
    }
  }
  NodePressure told;
  PressureDecision decision;
  {
    std::lock_guard lock(mutex_);
    Memory& memory = memories_[observed.node];
    pressure.memory = memory.pressure;
    decision = decide_pressure(pressure);
    memory.pressure = decision.memory;
  }
  told.level = decision.memory.level;
  for (const auto& [pod, since] : decision.memory.parked) told.parked.insert(pod);
  observed.pressure = told.level;
  for (const auto& stack : board_.press(observed.node, std::move(told))) ports_.wake_stack(stack);
  return decision.retry_after_millis;
}

// A patch of ours that was never answered may still be on its way. What it expects to find is changed, so
// that it opens nothing after another tier was let in.
Status NodeReconciler::fence(const std::string& node) {
  std::vector<PodRef> pods;
  {
    std::lock_guard lock(mutex_);
    pods = memories_[node].unanswered;
  }
  for (const auto& pod : pods) {
    Status done = ports_.cluster->vouch_for_pod(pod, leader_ + " (again)");
    if (!done && !found_another(done)) return done.error().wrap("vouch again for pod " + pod.name.text());
    std::lock_guard lock(mutex_);
    std::erase_if(memories_[node].unanswered, [&](const auto& other) { return other.uid == pod.uid; });
  }
  return success();
}

void NodeReconciler::remember_refusal(const NodeObserved& seen, const PodRef& pod, const Error& error) {
  Verdict verdict = refused_verdict("a patch of pod " + pod.name.text(), error);
  std::lock_guard lock(mutex_);
  memories_[seen.node].refusals.insert_or_assign(pod.uid,
                                                 Refusal{std::move(verdict), seen.now.boot + refusal_millis});
}

// The stack as the API server has it now still wants exactly this.
Result<bool> NodeReconciler::still_wanted(const WindowRequest& request) {
  auto stack = ports_.cluster->read_stack(request.stack);
  if (!stack) {
    if (stack.error().kind == ErrorKind::NotFound) return false;
    return stack.error().wrap("read stack " + request.stack.text());
  }
  if (stack->metadata.uid != request.stack_uid || stack->metadata.generation != request.stack_generation)
    return false;
  if (request.kind == WindowRequest::Kind::Stop) return true;
  return !stack->metadata.deleting() && stack->metadata.has_finalizer(names::finalizer);
}

// A pod that is let in may vanish before the cache has seen that it was.
Status NodeReconciler::open(const NodeObserved& now, const WindowRequest& request) {
  if (request.kind == WindowRequest::Kind::Stop)
    return ports_.cluster->set_serving(request.pod, false, names::serving_draining,
                                       "being stopped; requests under way are finished", now.now.wall);
  auto gated = std::find_if(now.pods.begin(), now.pods.end(),
                            [&](const auto& pod) { return pod->metadata.uid == request.pod.uid; });
  if (gated != now.pods.end()) {
    std::lock_guard lock(mutex_);
    memories_[now.node].let_in.insert_or_assign(request.pod.uid, hold_of(**gated, request.claim, true));
  }
  Status done =
      ports_.cluster->admit_pod(request.pod, now.facts ? now.facts->boot_id : std::string(), now.now.wall);
  if (found_another(done) || is_refused(done)) {
    std::lock_guard lock(mutex_);
    memories_[now.node].let_in.erase(request.pod.uid);
  }
  return done;
}

PassResult NodeReconciler::grant(const NodeObserved& seen, const WindowRequest& request) {
  auto wanted = still_wanted(request);
  if (!wanted) return {{}, wanted.error()};
  if (!*wanted) return {moved_millis, {}};
  auto live = ports_.cluster->read_admitted_pods(seen.node);
  if (!live) return {{}, live.error().wrap("list admitted pods of node " + seen.node)};

  NodeObserved now = seen;
  now.requests = board_.requests_of(seen.node);  // a stack may have thought better of it meanwhile
  now.pods.clear();
  std::set<std::string> live_uids;
  for (auto& pod : *live) {
    live_uids.insert(pod.metadata.uid);
    now.pods.push_back(std::make_shared<const api::Pod>(std::move(pod)));
  }
  // The rest as cached: gated ones, and what somebody let in by hand and the label does not show.
  for (const auto& pod : seen.pods)
    if (!live_uids.contains(pod->metadata.uid) &&
        (stage_of(*pod) == PodStage::Gated || pod->metadata.label(names::label_admitted).empty()))
      now.pods.push_back(pod);
  // What vanished since then is not known yet as what it may still hold.
  for (const auto& pod : seen.pods)
    if (!live_uids.contains(pod->metadata.uid) && holds_memory(*pod) &&
        !pod->metadata.label(names::label_admitted).empty())
      return {moved_millis, {}};
  now.now = ports_.clock();
  // It slept meanwhile: what was counted before counts no more.
  if (now.now.boot_steady_since != seen.now.boot_steady_since) return {moved_millis, {}};
  WindowDecision again = decide_window(now);
  if (!again.granted || !again.granted->same_as(request)) return {moved_millis, {}};

  Status done = open(now, request);
  if (done) return {};
  if (is_refused(done)) remember_refusal(seen, request.pod, done.error());
  if (found_another(done) || is_refused(done)) return {moved_millis, {}};
  {
    std::lock_guard lock(mutex_);
    memories_[seen.node].unanswered.push_back(request.pod);
  }
  return {{}, done.error().wrap("open the load window for " + request.pod.name.text())};
}

}  // namespace strix::reconcile
