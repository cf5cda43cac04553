#include "reconcile/tier_frozen.h"

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
  return stage == PodStage::Serving || stage == PodStage::NotAnswering || stage == PodStage::Draining;
}

}  // namespace

void step_frozen_tiers(const Observed& observed, Decision& decision) {
  const api::InferenceStack& stack = *observed.stack;
  for (const auto& pod : observed.pods) {
    api::Tier tier;
    tier.name = pod->metadata.label(names::label_tier);
    if (const api::Tier* known = stack.spec.tier(tier.name)) tier = *known;
    tier.port = pod->engine_port;
    bool vllm = pod->metadata.label(names::label_engine) == api::to_string(api::Engine::Vllm);
    tier.engine = vllm ? api::Engine::Vllm : api::Engine::LlamaCpp;
    TierContext c;
    c.observed = &observed;
    c.tier = &tier;
    c.pod = pod;
    if (!c.pod_is_ours() || pod->metadata.deleting() || !may_serve(*pod)) continue;
    c.last = stack.status.tier(tier.name);
    auto reading = observed.probes.find(pod->metadata.uid);
    if (reading != observed.probes.end()) c.probe = &reading->second;
    TierOutcome outcome = frozen(c);
    for (auto& action : outcome.actions) decision.actions.push_back(std::move(action));
    if (outcome.target) decision.targets.push_back(std::move(*outcome.target));
    if (api::TierStatus* said = decision.status.tier(tier.name)) *said = std::move(outcome.status);
  }
}

}  // namespace strix::reconcile
