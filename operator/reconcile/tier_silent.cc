#include "reconcile/tier_silent.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "reconcile/failure.h"
#include "reconcile/tier_outcome.h"

namespace strix::reconcile {

namespace {

// Why nothing is heard of a pod: its machine is away, or gone for good.
std::optional<Verdict> machine_away(const TierContext& c) {
  std::string name = node_of(*c.pod);
  const api::Node* node = c.machine();
  if (!node)
    return Verdict{names::reason_node_not_found,
                   fmt::format("there is no node {} any more: Kubernetes takes pod {} away, and the tier "
                               "starts again on the node that has the labels of spec.nodes then",
                               name, c.pod_name())};
  if (node->ready) return std::nullopt;
  return Verdict{
      names::reason_node_not_ready,
      fmt::format("node {} is not Ready: {}; what runs there is left alone", name, node->ready_message)};
}

}  // namespace

TierOutcome silent(const TierContext& c, TierOutcome outcome) {
  std::string detail = c.probe ? c.probe->detail : "the engine has not answered yet";
  say(c, outcome, state::not_answering,
      machine_away(c).value_or(Verdict{names::serving_not_answering, "clients are kept away: " + detail}));
  return outcome;
}

bool is_wedged(const TierContext& c, TierOutcome& outcome) {
  const api::Node* node = c.machine();
  if (!c.probe || c.probe->wedged_since == 0 || !node || !node->ready) return false;
  const Now& now = c.observed->now;
  int64_t settles_in = counted_from(node->ready_since, now) + node_settle_millis - now.wall;
  if (settles_in > 0) look_again(outcome, settles_in);
  return settles_in <= 0;
}

TierOutcome stop_wedged(const TierContext& c, TierOutcome outcome) {
  api::Failure failure = wedged_failure(*c.probe);
  WallMillis started = c.pod->engine ? c.pod->engine->started : 0;
  int64_t served = started ? std::max<int64_t>(0, c.probe->since - started) : 0;
  if (record_failure(c, outcome, failure, served)) {
    say(c, outcome, state::back_off, failure.failure_class, failure.message);
    look_again(outcome, 1);
  } else if (stage_of(*c.pod) == PodStage::Draining) {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::stopping, failure.failure_class, failure.message);
  } else {
    outcome.request = request(c, WindowRequest::Kind::Stop);
    auto told = window_verdict(c);
    say(c, outcome, state::stopping, failure.failure_class,
        failure.message + (told ? "; " + told->message : ""));
  }
  return outcome;
}

}  // namespace strix::reconcile
