#include "reconcile/decide.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/codec.h"
#include "api/names.h"
#include "reconcile/context.h"
#include "reconcile/figures.h"
#include "reconcile/images.h"
#include "reconcile/learn.h"
#include "reconcile/retry.h"
#include "reconcile/status.h"
#include "reconcile/tier_frozen.h"
#include "reconcile/tier_step.h"

namespace strix::reconcile {

namespace {

void take(Decision& decision, TierOutcome& outcome) {
  for (auto& action : outcome.actions) decision.actions.push_back(std::move(action));
  if (outcome.request) decision.requests.push_back(std::move(*outcome.request));
  if (outcome.target) decision.targets.push_back(std::move(*outcome.target));
  sooner(decision.retry_after_millis, outcome.retry_after_millis);
}

void take(Decision& decision, PullStep step) {
  for (auto& action : step.actions) decision.actions.push_back(std::move(action));
  sooner(decision.retry_after_millis, step.retry_after_millis);
}

bool runs(const TierContext& c) {
  return c.pod && c.pod_is_ours() && holds_memory(*c.pod) && !is_stuck(*c.pod, c.observed->now);
}

// When all stop, they do so in the reverse of their order: on each node the last that runs, and none that
// another starts after. Nodes do not wait for each other beyond that.
bool may_stop(const StackContext& stack, const TierContext& c) {
  if (!c.pod) return true;
  auto before = [&](const TierContext& other) {
    if (&other == &c || !runs(other)) return false;
    const auto& after = other.predecessors;
    bool depends = std::find(after.begin(), after.end(), &c) != after.end();
    return depends || (other.order > c.order && node_of(*other.pod) == node_of(*c.pod));
  };
  return std::none_of(stack.tiers.begin(), stack.tiers.end(), before) &&
         std::none_of(stack.leftovers.begin(), stack.leftovers.end(), before);
}

void step_tiers(StackContext& stack, Decision& decision, bool whole_stack_stops) {
  decision.status.tiers.reserve(stack.tiers.size());  // contexts point into it
  for (auto& c : stack.tiers) {
    TierOutcome outcome = c.wanted ? step_up(c) : step_down(c, !whole_stack_stops || may_stop(stack, c));
    decision.status.tiers.push_back(outcome.status);
    c.current = &decision.status.tiers.back();
    take(decision, outcome);
  }
  for (auto& c : stack.leftovers) {
    TierOutcome outcome = step_down(c, !whole_stack_stops || may_stop(stack, c));
    stack.leftovers_status.push_back(outcome.status);
    c.current = &stack.leftovers_status.back();
    take(decision, outcome);
  }
}

void step_services(const StackContext& stack, Decision& decision) {
  std::set<std::string> wanted;
  for (const auto& c : stack.tiers) {
    engines::ServiceTemplate service = engines::service_template_of(*stack.observed.stack, *c.tier);
    wanted.insert(service.name);
    auto existing = std::find_if(stack.observed.services.begin(), stack.observed.services.end(),
                                 [&](const auto& s) { return s->metadata.name == service.name; });
    if (stack.observed.service_refusals.contains(c.tier->name)) continue;
    if (existing == stack.observed.services.end()) {
      if (!stack.observed.refusals.contains(c.tier->name))
        decision.actions.push_back(CreateService{
            c.tier->name, service.name, engines::render_service(*stack.observed.stack, *c.tier).body});
      continue;
    }
    const api::ObjectMeta& meta = (*existing)->metadata;
    bool ours = meta.controlled_by(stack.observed.stack->metadata.uid);
    // One that nobody owns is what an orphaned stack left behind.
    bool differs = !ours || meta.annotation(names::annotation_applied_hash) != service.hash;
    if (differs && (ours || !meta.controller()) && !meta.deleting())
      decision.actions.push_back(
          ApplyService{c.tier->name, service.name,
                       engines::render_service_patch(*stack.observed.stack, *c.tier, **existing)});
  }
  for (const auto& service : stack.observed.services) {
    bool ours = service->metadata.controlled_by(stack.observed.stack->metadata.uid);
    if (ours && !wanted.contains(service->metadata.name) && !service->metadata.deleting())
      decision.actions.push_back(DeleteService{service->metadata.name, service->metadata.uid});
  }
}

void note_profiles(const StackContext& stack, Decision& decision) {
  for (const auto& match : stack.nodes)
    if (match.one())
      decision.profiles[match.one()->metadata.name] = stack.plan->node(match.entry->name)->profile;
}

void note_tiers(const StackContext& stack, Decision& decision) {
  const api::ObjectMeta& meta = stack.observed.stack->metadata;
  for (const auto& c : stack.tiers) {
    if ((!c.wanted && !c.pressed()) || !c.node || !c.node->one()) continue;
    PressureTier tier;
    tier.pod = api::NamespacedName{meta.namespace_, c.pod_name()}.text();
    tier.stack = meta.key();
    tier.stack_created = meta.created;
    tier.priority = c.tier->priority;
    tier.order = c.order;
    tier.holds_bytes = c.claim.known_bytes();
    tier.parked = c.pressed();
    decision.tiers[c.node->one()->metadata.name].push_back(std::move(tier));
  }
}

void finish(const Observed& observed, Decision& decision) {
  const api::InferenceStack& stack = *observed.stack;
  decision.events = events_between(stack.status, decision.status);
  if (api::status_fingerprint(stack.status) != api::status_fingerprint(decision.status))
    decision.actions.push_back(ApplyStatus{decision.status});
  std::stable_sort(decision.actions.begin(), decision.actions.end(),
                   [](const Action& a, const Action& b) { return a.index() < b.index(); });
}

Decision decide_invalid(const Observed& observed, const std::vector<api::FieldError>& errors) {
  Decision decision;
  decision.status = observed.stack->status;
  step_frozen_tiers(observed, decision);
  for (auto& action : end_pulls(observed)) decision.actions.push_back(std::move(action));
  complete_invalid_status(observed, errors, decision.status);
  finish(observed, decision);
  return decision;
}

// Background deletion: in reverse order. In foreground and orphan mode the garbage collector acts, and the
// finalizer only has to get out of its way.
Decision decide_teardown(const Observed& observed) {
  const api::InferenceStack& stack = *observed.stack;
  Decision decision;
  decision.status = stack.status;
  if (!stack.metadata.has_finalizer(names::finalizer)) return decision;
  bool collector_acts =
      stack.metadata.has_finalizer("orphan") || stack.metadata.has_finalizer("foregroundDeletion");
  if (collector_acts) {
    decision.actions = end_pulls(observed);
    decision.actions.push_back(SetFinalizer{false});
    return decision;
  }
  StackContext context(observed);
  decision.status.tiers.clear();
  step_tiers(context, decision, true);
  take(decision, step_pulls(context));
  note_profiles(context, decision);
  bool any = false;
  const api::Pod* stuck = nullptr;
  for (const auto& pod : observed.pods) {
    if (!pod->metadata.controlled_by(stack.metadata.uid)) continue;
    if (is_stuck(*pod, observed.now)) {
      stuck = pod.get();
    } else {
      any = true;
    }
  }
  complete_status(context, decision.status, {});
  finish(observed, decision);
  if (any) return decision;
  decision.actions = end_pulls(observed);  // the object is about to go, and its status with it
  decision.events.clear();
  decision.actions.push_back(SetFinalizer{false});
  if (stuck)
    decision.events.push_back(
        {true, std::string(names::reason_node_stuck), "Delete",
         fmt::format(
             "pod {} was to be gone at {} and is not; the stack goes without it, and node {} takes no "
             "GPU tier until it is rebooted",
             stuck->metadata.name, format_time(stuck->metadata.deleted), node_of(*stuck))});
  return decision;
}

}  // namespace

Decision decide(const Observed& observed) {
  const api::InferenceStack& stack = *observed.stack;
  if (stack.metadata.deleting()) return decide_teardown(observed);
  auto errors = api::validate(stack, observed.policy);
  if (!errors.empty()) return decide_invalid(observed, errors);

  Decision decision;
  StackContext context(observed);
  step_tiers(context, decision, stack.spec.suspend);
  take(decision, step_pulls(context));
  step_services(context, decision);
  note_profiles(context, decision);
  note_tiers(context, decision);
  if (!stack.metadata.has_finalizer(names::finalizer)) decision.actions.push_back(SetFinalizer{true});
  tell_learned(context, decision.status);
  auto tuned = tell_figures(context, decision.status);
  complete_status(context, decision.status, std::move(tuned));
  finish(observed, decision);
  return decision;
}

}  // namespace strix::reconcile
