#include "reconcile/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/names.h"
#include "base/bytes.h"
#include "planner/spec_plan.h"
#include "reconcile/images.h"

namespace strix::reconcile {

namespace {

bool has_labels(const api::Node& node, const std::map<std::string, std::string>& selector) {
  return std::all_of(selector.begin(), selector.end(),
                     [&](const auto& wanted) { return node.metadata.label(wanted.first) == wanted.second; });
}

// The first finding of the plan that keeps this tier from running, or else the whole stack; null: none.
const planner::Finding* finding_on(const planner::Plan& plan, const std::string& tier) {
  const planner::Finding* all = nullptr;
  for (const planner::Finding& finding : plan.findings) {
    if (finding.severity == planner::Severity::Note) continue;
    bool decides =
        finding.severity == planner::Severity::Error || finding.code == planner::FindingCode::Parked;
    if (decides && finding.tier == tier) return &finding;
    if (decides && finding.tier.empty()) all = &finding;
  }
  return all;
}

std::string_view reason_of(planner::FindingCode code) {
  switch (code) {
    case planner::FindingCode::CombinationRefused:
      return names::reason_combination_refused;
    case planner::FindingCode::CombinationUnverified:
      return names::reason_combination_unverified;
    case planner::FindingCode::NeedsEager:
      return names::reason_needs_eager;
    default:
      return names::reason_memory_short;
  }
}

Verdict verdict_on(const planner::Plan& plan, const std::string& tier) {
  const planner::Finding* finding = finding_on(plan, tier);
  if (!finding) return {std::string(names::reason_memory_short), tier + " does not fit"};
  return {std::string(reason_of(finding->code)), finding->message};
}

void take_plan(const planner::Plan& plan, const planner::TierPlan& planned, TierContext& context) {
  context.planned = &planned;
  context.claim = planned.claim;
  context.effective = planned.effective;
  if (!context.wanted) return;
  context.resident = planned.state == planner::TierState::Resident;
  bool fails = planned.state == planner::TierState::Error || planned.state == planner::TierState::Refused;
  if (fails) context.cannot_run = verdict_on(plan, planned.name);
  if (planned.state != planner::TierState::Parked) return;
  context.parked = {names::reason_parked, verdict_on(plan, planned.name).message};
  context.wanted = false;
}

// As its node says; before that has said anything, as the status has it.
void take_pressure(const Observed& observed, TierContext& context) {
  if (!context.wanted || !context.node || !context.node->one()) return;
  const std::string& node = context.node->one()->metadata.name;
  auto told = observed.pressures.find(node);
  std::string pod = api::NamespacedName{observed.stack->metadata.namespace_, context.pod_name()}.text();
  bool pressed = told != observed.pressures.end()
                     ? told->second.parked.contains(pod)
                     : context.last && context.last->reason == names::reason_memory_pressure;
  if (!pressed) return;
  int64_t back = PressureThresholds{}.warn_available_bytes + context.claim.known_bytes();
  context.parked = {
      names::reason_memory_pressure,
      fmt::format("node {} ran out of memory; it is started again when {} have been available there "
                  "for a minute",
                  node, format_gib(back))};
  context.wanted = false;
}

}  // namespace

engines::PodInput TierContext::pod_input() const {
  const api::ObjectMeta& home = node->one()->metadata;
  engines::PodInput input;
  input.stack = observed->stack.get();
  input.tier = tier;
  input.node = node->entry;
  input.kubernetes_node = home.name;
  input.kubernetes_hostname = home.label("kubernetes.io/hostname");
  input.claim = claim;
  input.effective = effective;
  input.leader = observed->leader;
  return input;
}

const api::Node* TierContext::machine() const {
  std::string name = node_of(*pod);
  for (const auto& one : observed->nodes)
    if (one->metadata.name == name) return one.get();
  return nullptr;
}

bool TierContext::pressed() const {
  return parked && parked->reason == names::reason_memory_pressure;
}

bool TierContext::pod_is_ours() const {
  return pod->metadata.controlled_by(observed->stack->metadata.uid);
}

bool TierContext::pod_is_orphan() const {
  return !pod->metadata.controller() && pod->metadata.label(names::label_tier) == tier->name;
}

bool TierContext::pod_is_current() const {
  return !rendered || pod->metadata.annotation(names::annotation_template_hash) == rendered->template_hash;
}

StackContext::StackContext(const Observed& o)
    : observed(o),
      plan(o.plan ? o.plan
                  : std::make_shared<const planner::Plan>(planner::plan_of_spec(
                        o.stack->spec, planner::built_in_capabilities(), o.stack->status.learned))) {
  match_nodes();
  add_tiers();
  add_leftovers();
}

const NodeMatch* StackContext::node(const std::string& entry) const {
  for (const auto& match : nodes)
    if (match.entry->name == entry) return &match;
  return nullptr;
}

void StackContext::match_nodes() {
  for (const auto& entry : observed.stack->spec.nodes) {
    NodeMatch match{&entry, {}};
    for (const auto& node : observed.nodes)
      if (!node->metadata.deleting() && has_labels(*node, entry.selector)) match.matches.push_back(node);
    nodes.push_back(std::move(match));
  }
}

void StackContext::add_tiers() {
  const api::InferenceStack& stack = *observed.stack;
  bool stack_wanted = !stack.spec.suspend && !stack.metadata.deleting();
  std::map<std::string, TierContext*> by_name;
  for (const auto& name : plan->order.tiers) {
    auto tier = std::find_if(stack.spec.tiers.begin(), stack.spec.tiers.end(),
                             [&](const auto& t) { return t.name == name; });
    if (tier == stack.spec.tiers.end()) continue;
    TierContext context;
    context.observed = &observed;
    context.tier = &*tier;
    context.node = node(planner::node_of(stack.spec, *tier));
    context.last = stack.status.tier(name);
    context.order = static_cast<int>(tiers.size());
    context.wanted = stack_wanted && tier->activation == api::Activation::Always;
    for (const auto& pod : observed.pods)
      if (pod->metadata.name == context.pod_name()) context.pod = pod;
    if (context.pod) {
      auto reading = observed.probes.find(context.pod->metadata.uid);
      if (reading != observed.probes.end()) context.probe = &reading->second;
      auto diagnosis = observed.diagnoses.find(context.pod->metadata.uid);
      if (diagnosis != observed.diagnoses.end()) context.diagnosis = &diagnosis->second;
      context.log_awaited = observed.logs_awaited.contains(context.pod->metadata.uid);
    }
    if (const planner::TierPlan* planned = plan->tier(name); planned && context.node)
      take_plan(*plan, *planned, context);
    take_pressure(observed, context);
    if (context.node && context.node->one()) context.rendered = engines::template_of(context.pod_input());
    if (context.rendered) context.image = look_at_image(observed, context, *context.node->one());
    auto edges = plan->order.predecessors.find(name);
    if (edges != plan->order.predecessors.end())
      for (const auto& before : edges->second)
        if (by_name.contains(before)) context.predecessors.push_back(by_name[before]);
    tiers.push_back(std::move(context));
    by_name[name] = &tiers.back();
  }
}

void StackContext::add_leftovers() {
  for (const auto& pod : observed.pods) {
    bool known = std::any_of(tiers.begin(), tiers.end(), [&](const auto& c) { return c.pod == pod; });
    if (known) continue;
    api::Tier& tier = leftovers_spec.emplace_back();
    tier.name = pod->metadata.label(names::label_tier);
    tier.port = pod->engine_port;
    tier.engine = pod->metadata.label(names::label_engine) == api::to_string(api::Engine::LlamaCpp)
                      ? api::Engine::LlamaCpp
                      : api::Engine::Vllm;
    TierContext context;
    context.observed = &observed;
    context.tier = &tier;
    context.pod = pod;
    context.wanted = false;
    context.order = static_cast<int>(tiers.size() + leftovers.size());
    auto reading = observed.probes.find(pod->metadata.uid);
    if (reading != observed.probes.end()) context.probe = &reading->second;
    if (context.pod_is_ours()) leftovers.push_back(std::move(context));
  }
}

}  // namespace strix::reconcile
