#include "reconcile/tier_frozen.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "api/names.h"
#include "reconcile/tier_outcome.h"
#include "reconcile/tier_silent.h"

namespace strix::reconcile {

namespace {

TierOutcome frozen(const TierContext& c) {
  TierOutcome outcome = begin(c);
  if (c.last) outcome.status = *c.last;
  probe(c, outcome, false);
  bool serving = stage_of(*c.pod) == PodStage::Serving;
  if (c.not_answering()) {
    if (stage_of(*c.pod) != PodStage::NotAnswering) outcome.actions.push_back(keep_clients_away(c));
    return silent(c, std::move(outcome));
  }
  if (!serving && c.probe && c.probe->phase == ProbePhase::Serving) {
    outcome.actions.push_back(let_clients_in(c));
    say(c, outcome, state::warming_up, names::reason_recovered,
        "the engine answers again; clients are being let in");
  } else if (serving && c.last && c.last->state != state::ready) {
    say(c, outcome, state::ready, names::reason_serving, "");
  }
  return outcome;
}

bool may_serve(const api::Pod& pod) {
  PodStage stage = stage_of(pod);
  if (pod.metadata.deleting()) return false;
  return stage == PodStage::Serving || stage == PodStage::NotAnswering || stage == PodStage::Draining;
}

// What is said of one that does not run, and would not if the spec were valid, is true still.
bool stays_down(const TierContext& c) {
  constexpr std::string_view states[] = {state::off, state::parked, state::given_up, state::quarantined};
  bool down = !c.pod || stage_of(*c.pod) == PodStage::Ended;
  return down && c.last &&
         (c.last->reason == names::reason_memory_pressure ||
          std::find(std::begin(states), std::end(states), c.last->state) != std::end(states));
}

// It has no engine that serves, and gets none: neither does it serve, as its status may say, nor is there a
// next try.
TierOutcome not_serving(const TierContext& c) {
  constexpr std::string_view why = "nothing is started while the spec is invalid";
  TierOutcome outcome = begin(c);
  if (stays_down(c)) {
    outcome.status = *c.last;
  } else if (!c.pod) {
    say(c, outcome, state::waiting, names::reason_invalid_spec, std::string(why));
  } else if (c.pod->metadata.deleting()) {
    say(c, outcome, state::stopping, names::reason_terminating, going_text(*c.pod));
  } else if (stage_of(*c.pod) == PodStage::Ended) {
    say(c, outcome, state::waiting, names::reason_invalid_spec, fmt::format("its engine has ended; {}", why));
  } else {
    outcome.actions.push_back(DeletePod{c.tier->name, c.pod_ref()});
    say(c, outcome, state::stopping, names::reason_invalid_spec,
        fmt::format("its pod is being deleted; {}", why));
  }
  return outcome;
}

// Of the spec only what an engine is asked with; what it says of the rest may be what is wrong with it.
api::Tier tier_to_ask(const Observed& observed, const std::string& name, const api::Pod* pod) {
  api::Tier tier;
  if (const api::Tier* known = observed.stack->spec.tier(name)) tier = *known;
  tier.name = name;
  if (!pod) return tier;
  tier.port = pod->engine_port;
  bool vllm = pod->metadata.label(names::label_engine) == api::to_string(api::Engine::Vllm);
  tier.engine = vllm ? api::Engine::Vllm : api::Engine::LlamaCpp;
  return tier;
}

void step(const Observed& observed, const std::string& name, const Shared<api::Pod>& pod,
          Decision& decision) {
  api::Tier tier = tier_to_ask(observed, name, pod.get());
  TierContext c;
  c.observed = &observed;
  c.tier = &tier;
  c.pod = pod;
  c.last = observed.stack->status.tier(name);
  if (pod)
    if (auto reading = observed.probes.find(pod->metadata.uid); reading != observed.probes.end())
      c.probe = &reading->second;
  TierOutcome outcome = pod && may_serve(*pod) ? frozen(c) : not_serving(c);
  for (auto& action : outcome.actions) decision.actions.push_back(std::move(action));
  if (outcome.target) decision.targets.push_back(std::move(*outcome.target));
  if (api::TierStatus* said = decision.status.tier(name)) *said = std::move(outcome.status);
}

}  // namespace

void step_frozen_tiers(const Observed& observed, Decision& decision) {
  const api::InferenceStack& stack = *observed.stack;
  std::set<std::string> seen;
  for (const auto& pod : observed.pods) {
    if (!pod->metadata.controlled_by(stack.metadata.uid)) continue;
    std::string name(pod->metadata.label(names::label_tier));
    step(observed, name, pod, decision);
    seen.insert(std::move(name));
  }
  for (const auto& tier : stack.status.tiers)
    if (!seen.contains(tier.name)) step(observed, tier.name, nullptr, decision);
}

}  // namespace strix::reconcile
