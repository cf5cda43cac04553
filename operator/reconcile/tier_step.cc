#include "reconcile/tier_step.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "base/bytes.h"
#include "planner/start_order.h"
#include "reconcile/blame.h"
#include "reconcile/failure.h"
#include "reconcile/gates.h"
#include "reconcile/read_back.h"
#include "reconcile/tier_outcome.h"
#include "reconcile/tier_silent.h"

namespace strix::reconcile {

namespace {

constexpr int64_t log_again_millis = 1'000, blame_again_millis = 1'000;

std::string_view state_of(const Verdict& verdict) {
  if (verdict.reason == names::reason_given_up) return state::given_up;
  return verdict.reason == names::reason_quarantined ? state::quarantined : state::waiting;
}

// What waits for its model does not look like something that is broken: it is not.
std::string_view back_off_state(std::string_view failure_class) {
  bool awaits = engines::treatment_of(failure_class) == engines::Treatment::AwaitModel;
  return awaits ? state::waiting : state::back_off;
}

TierOutcome without_pod(const TierContext& c) {
  TierOutcome outcome = begin(c);
  if (auto verdict = first_that_holds(gates_before_pod(), c)) {
    say(c, outcome, state_of(*verdict), *verdict);
    return outcome;
  }
  if (c.pod && c.pod_is_orphan()) {
    outcome.actions.push_back(AdoptPod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::waiting, names::reason_adopting,
        "takes over the pod that an earlier stack left running");
    return outcome;
  }
  outcome.actions.push_back(
      CreatePod{c.tier->name, c.rendered->name, engines::render_pod(c.pod_input()).body});
  say(c, outcome, state::waiting, names::reason_preparing, "its pod is being created");
  return outcome;
}

TierOutcome gated(const TierContext& c) {
  TierOutcome outcome = begin(c);
  if (auto verdict = first_that_holds(gates_before_pod(), c)) {
    say(c, outcome, state_of(*verdict), *verdict);
  } else if (auto wait = first_that_holds(gates_before_window(), c)) {
    WallMillis next = next_try(c);
    bool backs_off = next > c.observed->now.wall && wait->reason == c.last->last_failure->failure_class;
    if (backs_off) look_again(outcome, next - c.observed->now.wall);
    say(c, outcome, backs_off ? back_off_state(wait->reason) : state::waiting, *wait);
  } else if (auto correction = corrected_claim(c)) {
    // What is let in is what the ledger counts from then on.
    outcome.actions.push_back(std::move(*correction));
    say(c, outcome, state::waiting, names::reason_preparing, "its entry in the ledger is being corrected");
  } else {
    outcome.request = request(c, WindowRequest::Kind::Claim);
    auto told = window_verdict(c);
    say(c, outcome, state::waiting,
        told.value_or(Verdict{names::reason_load_window,
                              fmt::format("waits for the load window of node {}", node_of(*c.pod))}));
  }
  return outcome;
}

// What keeps an admitted pod from running its engine, in the kubelet's or the scheduler's own words.
std::optional<Verdict> pod_problem(const api::Pod& pod) {
  if (pod.engine && !pod.engine->waiting_reason.empty() &&
      pod.engine->waiting_reason != "ContainerCreating" && pod.engine->waiting_reason != "PodInitializing")
    return Verdict{pod.engine->waiting_reason, pod.engine->waiting_message.empty()
                                                   ? pod.engine->waiting_reason
                                                   : pod.engine->waiting_message};
  const api::PodCondition* scheduled = pod.condition("PodScheduled");
  if (scheduled && scheduled->status == "False" && scheduled->reason == names::reason_unschedulable)
    return Verdict{names::reason_unschedulable, scheduled->message};
  return std::nullopt;
}

std::string loading_text(const TierContext& c) {
  if (!c.probe) return "its container is being started";
  switch (c.probe->phase) {
    case ProbePhase::NotListening:
      return "the engine does not listen yet";
    case ProbePhase::Loading:
      return "the engine loads the model";
    default:
      return c.probe->detail.empty() ? "the engine answers; its first completion is awaited"
                                     : c.probe->detail;
  }
}

// An admitted pod that will not start is taken out of the window, once its failure is in status.
TierOutcome abandon(const TierContext& c, TierOutcome outcome, const api::Failure& failure) {
  if (record_failure(c, outcome, failure, 0)) {
    say(c, outcome, state::back_off, failure.failure_class, failure.message);
    look_again(outcome, 1);
  } else {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::stopping, failure.failure_class, failure.message);
  }
  return outcome;
}

TierOutcome loading(const TierContext& c) {
  TierOutcome outcome = begin(c);
  probe(c, outcome, false);
  if (c.probe && c.probe->phase == ProbePhase::Serving) {
    if (c.log_awaited) {
      say(c, outcome, state::warming_up, names::reason_loading,
          "the engine answered; its log is being read for the GPU that it found");
      look_again(outcome, log_again_millis);
      return outcome;
    }
    if (c.observed->without_gpu.contains(c.pod->metadata.uid))
      return abandon(c, std::move(outcome), without_gpu_failure(*c.probe));
    read_back(c, outcome.status);
    outcome.actions.push_back(let_clients_in(c));
    say(c, outcome, state::warming_up, names::reason_loading,
        "the engine answered; clients are being let in");
    return outcome;
  }
  const Now& now = c.observed->now;
  WallMillis begun = counted_from(admitted_at(*c.pod), now);
  int64_t left = begun + c.tier->probe.startup_deadline_seconds * 1000LL - now.wall;
  if (admitted_at(*c.pod) != 0 && left <= 0) {
    return abandon(c, std::move(outcome), startup_deadline_failure(*c.pod, *c.tier, loading_text(c)));
  }
  if (auto failure = start_failure(*c.pod, now)) return abandon(c, std::move(outcome), *failure);
  if (admitted_at(*c.pod) != 0) look_again(outcome, left);
  bool warming = c.probe && c.probe->phase == ProbePhase::WarmingUp;
  auto problem = pod_problem(*c.pod);
  for (int64_t patience : {start_patience_millis, create_patience_millis}) {
    int64_t wait = begun + patience - now.wall;
    bool waits = problem || (c.pod->engine && !c.pod->engine->running);
    if (waits && wait > 0) look_again(outcome, wait);
  }
  say(c, outcome, warming ? state::warming_up : state::starting,
      problem.value_or(Verdict{names::reason_loading, loading_text(c)}));
  return outcome;
}

// A table or a catalogue that is newer than the pod does not stop what serves.
Verdict serving_verdict(const TierContext& c) {
  if (c.cannot_run)
    return {c.cannot_run->reason, "serves, and would not be started again: " + c.cannot_run->message};
  if (auto refused = c.observed->service_refusals.find(c.tier->name);
      refused != c.observed->service_refusals.end())
    return {refused->second.reason,
            "serves, and not as spec.tiers[].service says: " + refused->second.message};
  return differs_from_plan(c).value_or(Verdict{names::reason_serving, ""});
}

TierOutcome running(const TierContext& c) {
  TierOutcome outcome = begin(c);
  probe(c, outcome, false);
  bool serving = stage_of(*c.pod) == PodStage::Serving;
  read_back(c, outcome.status);
  if (serving && c.not_answering()) {
    outcome.actions.push_back(keep_clients_away(c));
    return silent(c, std::move(outcome));
  }
  if (is_wedged(c, outcome)) return stop_wedged(c, std::move(outcome));
  // Its stop was called off: it is not to hold the load window for as long as it is silent.
  if (stage_of(*c.pod) == PodStage::Draining && c.not_answering()) {
    outcome.actions.push_back(keep_clients_away(c));
    return silent(c, std::move(outcome));
  }
  if (serving) {
    say(c, outcome, state::ready, serving_verdict(c));
  } else if (c.probe && c.probe->phase == ProbePhase::Serving) {
    // It fell silent and came back, or its stop was called off.
    outcome.actions.push_back(let_clients_in(c));
    say(c, outcome, state::warming_up, names::reason_recovered,
        "the engine answers again; clients are being let in");
  } else {
    return silent(c, std::move(outcome));
  }
  return outcome;
}

// What comes of a total that an engine measured. Empty: nothing, it was planned with that.
std::string gpu_memory_text(const planner::TierPlan& planned, int64_t measured_bytes) {
  if (!planned.on_gpu || is_known_total(planned, measured_bytes)) return {};
  return fmt::format("; it is planned with {} of GPU memory from now on, not with {}",
                     format_gib(measured_bytes), format_gib(planned.gpu_total_bytes));
}

TierOutcome ended(const TierContext& c) {
  TierOutcome outcome = begin(c);
  api::Failure found = failure_of(*c.pod, c.diagnosis);
  // Counted once it is known what it was: a GPU fault is not to be taken for something that may be tried
  // again.
  if (c.log_awaited) {
    say(c, outcome, state::back_off, found.failure_class, found.message + "; its log is being read");
    look_again(outcome, log_again_millis);
    return outcome;
  }
  if (auto rebooted = reboot_failure(c, found)) found = std::move(*rebooted);
  if (found.failure_class == names::failure_gpu_fault && needs_log(*c.pod, c.last)) {
    auto faulty = faulty_tier(c);
    if (!faulty) {
      say(c, outcome, state::back_off, found.failure_class,
          "its engine died of the GPU; which tier is at fault is known in a moment");
      look_again(outcome, blame_again_millis);
      return outcome;
    }
    if (*faulty != c.tier->name) found = reset_failure(std::move(found), *faulty);
  }
  if (back_off_state(found.failure_class) == state::waiting && c.node && c.node->entry)
    found.message += "; " + fetch_hint(c.tier->model, c.node->entry->model_store, node_of(*c.pod));
  if (auto estimate = context_estimate(found, c.diagnosis))
    found.message += "; " + context_way_out(*c.tier, c.effective.context_tokens, *estimate);
  if (auto total = measured_gpu_bytes(found, c.diagnosis); total && c.planned)
    found.message += gpu_memory_text(*c.planned, *total);
  bool fresh = record_failure(c, outcome, std::move(found), served_millis(*c.pod));
  const api::Failure& failure = *outcome.status.last_failure;
  if (fresh) {
    say(c, outcome, back_off_state(failure.failure_class), failure.failure_class, failure.message);
    look_again(outcome, 1);
    return outcome;
  }
  if (auto held = held_back(c)) {
    bool quarantined = held->reason == names::reason_quarantined;
    say(c, outcome, quarantined ? state::quarantined : state::given_up, failure.failure_class, held->message);
    return outcome;
  }
  WallMillis next = next_try(c);
  say(c, outcome, back_off_state(failure.failure_class), failure.failure_class,
      fmt::format("{} at {}; the next try is at {} (failure {} in a row)", failure.message,
                  format_time(failure.time), format_time(next), outcome.status.consecutive_failures));
  if (next > c.observed->now.wall) {
    look_again(outcome, next - c.observed->now.wall);
  } else {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
  }
  return outcome;
}

// Kept for after the reboot that its node needs: the tier is not started into the same hang. The stop was
// counted when it began.
void blame_hang(const TierContext& c, TierOutcome& outcome) {
  if (int64_t settles_in = kubelet_settles_in_millis(c); settles_in > 0) look_again(outcome, settles_in);
  auto hang = hang_failure(c);
  if (!hang) return;
  api::Failure found = about_this_pod(c, std::move(*hang));
  const auto& known = outcome.status.last_failure;
  if (!known || known->failure_class != found.failure_class || known->time != found.time)
    outcome.status.last_failure = std::move(found);
}

TierOutcome terminating(const TierContext& c) {
  TierOutcome outcome = begin(c);
  const Now& now = c.observed->now;
  if (is_stuck(*c.pod, now)) {
    blame_hang(c, outcome);
    say(c, outcome, state::stopping, names::reason_node_stuck,
        fmt::format("pod {} was to be gone at {} and is not: node {} is stuck; reboot it", c.pod_name(),
                    format_time(c.pod->metadata.deleted), node_of(*c.pod)));
    return outcome;
  }
  if (WallMillis stuck = stuck_from(*c.pod, now); stuck != 0) look_again(outcome, stuck - now.wall);
  say(c, outcome, state::stopping, names::reason_terminating, going_text(*c.pod));
  return outcome;
}

// Serves, or is silent, until its turn has come. That may be long: its clients are told what is true
// meanwhile.
TierOutcome await_stop(const TierContext& c, TierOutcome outcome, std::string_view why, bool may_stop) {
  probe(c, outcome, false);
  auto told = may_stop ? window_verdict(c) : std::nullopt;
  std::string wait =
      may_stop ? "waits for its turn to stop" : "waits until the tiers that started after it have stopped";
  say(c, outcome, state::stopping, why, told ? told->message : wait);
  bool serving = stage_of(*c.pod) == PodStage::Serving;
  bool is_back = !serving && c.probe && c.probe->phase == ProbePhase::Serving;
  if (serving && c.not_answering()) {
    outcome.actions.push_back(keep_clients_away(c));
  } else if (is_back && (told || !may_stop)) {
    outcome.actions.push_back(let_clients_in(c));
  } else if (may_stop) {
    outcome.request = request(c, WindowRequest::Kind::Stop);
  }
  return outcome;
}

// A good run ends a row of failures, so that the next one, weeks later, is the first. Noted when the run
// ends: what is settled writes nothing. (A run that ends in a failure is looked at where that is counted.)
void end_row_of_failures(const api::Pod& pod, WallMillis drained_from, api::TierStatus& status) {
  WallMillis started = pod.engine ? pod.engine->started : 0;
  if (started != 0 && drained_from - started >= good_run_millis) status.consecutive_failures = 0;
}

// An engine that tells nothing may be busy: it has the whole of its time, unless it is known to be wedged.
TierOutcome drain(const TierContext& c, TierOutcome outcome, std::string_view why) {
  probe(c, outcome, true);
  const Now& now = c.observed->now;
  WallMillis drained_from = c.pod->condition(names::readiness_gate)->last_transition;
  end_row_of_failures(*c.pod, drained_from, outcome.status);
  WallMillis begun = counted_from(drained_from, now);
  int64_t left = begun + c.tier->drain_timeout_seconds * 1000LL - now.wall;
  // Until the routing of the whole cluster has caught up, a request may still come to an engine that is idle.
  int64_t unsettled = begun + drain_settle_millis - now.wall;
  bool idle = unsettled <= 0 && c.probe && c.probe->load && c.probe->load->idle();
  if (idle || left <= 0 || is_wedged(c, outcome)) {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::stopping, why, "its pod is being deleted");
  } else {
    look_again(outcome, unsettled > 0 ? std::min(unsettled, left) : left);
    say(c, outcome, state::draining, why,
        fmt::format("finishes its requests until {} at the latest", format_time(now.wall + left)));
  }
  return outcome;
}

// Its successor could not start now: what serves goes on serving, as it was made.
TierOutcome replace(const TierContext& c) {
  auto wait =
      stage_of(*c.pod) == PodStage::Serving ? first_that_holds(gates_before_replacement(), c) : std::nullopt;
  if (wait) {
    TierOutcome outcome = running(c);
    if (outcome.status.state == state::ready)
      say(c, outcome, state::ready, wait->reason, "serves on as it was before the change: " + wait->message);
    return outcome;
  }
  TierOutcome outcome = step_down(c, true);
  if (outcome.status.state == state::off) outcome.status.state = state::stopping;
  return outcome;
}

}  // namespace

TierOutcome step_up(const TierContext& c) {
  if (!c.pod || !c.pod_is_ours()) return without_pod(c);
  PodStage stage = stage_of(*c.pod);
  if (stage == PodStage::Terminating || c.pod->metadata.deleting()) return terminating(c);
  if (!c.pod_is_current()) return replace(c);
  if (stage == PodStage::Gated) return gated(c);
  if (stage == PodStage::Ended) return ended(c);
  TierOutcome outcome = stage == PodStage::Loading ? loading(c) : running(c);
  auto correction = corrected_claim(c);
  if (correction && outcome.actions.empty() && !outcome.request)
    outcome.actions.push_back(std::move(*correction));
  return outcome;
}

TierOutcome step_down(const TierContext& c, bool may_stop) {
  TierOutcome outcome = begin(c);
  std::string_view why = c.wanted   ? names::reason_replacing
                         : c.parked ? std::string_view(c.parked->reason)
                                    : names::reason_stopped;
  if (!c.pod || !c.pod_is_ours()) {
    say(c, outcome, c.parked ? state::parked : state::off, why, c.parked ? c.parked->message : "");
    return outcome;
  }
  PodStage stage = stage_of(*c.pod);
  if (stage == PodStage::Terminating || c.pod->metadata.deleting()) return terminating(c);
  bool at_once = stage == PodStage::Gated || stage == PodStage::Loading || stage == PodStage::Ended;
  if (at_once) {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::stopping, why, "its pod is being deleted");
    return outcome;
  }
  return stage == PodStage::Draining ? drain(c, std::move(outcome), why)
                                     : await_stop(c, std::move(outcome), why, may_stop);
}

}  // namespace strix::reconcile
