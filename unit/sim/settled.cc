#include <algorithm>

#include "api/conditions.h"
#include "api/names.h"
#include "planner/ledger.h"
#include "planner/start_order.h"
#include "reconcile/pod_stage.h"
#include "sim/rules.h"
#include "sim/world.h"

namespace strix::sim {

namespace {

const char* const rule = "10 it settles";

bool runs(World& world, const api::InferenceStack& stack, const std::string& tier) {
  Shared<api::Pod> pod =
      world.server.pods.find({stack.metadata.namespace_, stack.metadata.name + "-" + tier});
  if (!pod || reconcile::stage_of(*pod) != reconcile::PodStage::Serving) return false;
  const api::OwnerReference* owner = pod->metadata.controller();
  Machine* machine = world.machine(pod->node_name);
  return owner && owner->uid == stack.metadata.uid && machine && !machine->silent(pod->metadata.uid);
}

}  // namespace

// A wait is excused when what it names is true.
bool Rules::excused(const api::InferenceStack& stack, const api::TierStatus& status) const {
  auto tier = std::find_if(stack.spec.tiers.begin(), stack.spec.tiers.end(),
                           [&](const auto& t) { return t.name == status.name; });
  if (tier == stack.spec.tiers.end() || status.message.empty()) return false;
  if (status.reason == "PodNameTaken") {
    Shared<api::Pod> pod =
        world_.server.pods.find({stack.metadata.namespace_, stack.metadata.name + "-" + status.name});
    return pod && !owner_of(*pod);
  }
  if (status.reason == "Predecessor") {
    planner::StartOrder order = planner::start_order(stack.spec);
    const auto& before = order.predecessors[status.name];
    return std::any_of(before.begin(), before.end(),
                       [&](const auto& name) { return !runs(world_, stack, name); });
  }
  if (status.reason != names::reason_memory_short) return false;
  // Short of memory: beside all that is held, or beside those of its own stack that come first.
  std::string entry = planner::node_of(stack.spec, *tier);
  const api::StackNode* node = planner::find_node(stack.spec, entry);
  std::vector<planner::Entry> held, planned;
  for (const auto& [key, pod] : world_.server.pods.objects)
    if (reconcile::holds_memory(*pod) &&
        reconcile::node_of(*pod) == node->selector.at("kubernetes.io/hostname"))
      held.push_back({key.text(), reconcile::claim_of(*pod)});
  for (const auto& name : planner::start_order(stack.spec).tiers) {
    auto other = std::find_if(stack.spec.tiers.begin(), stack.spec.tiers.end(),
                              [&](const auto& t) { return t.name == name; });
    if (name == status.name) break;
    if (other->activation != api::Activation::Always || planner::node_of(stack.spec, *other) != entry)
      continue;
    planner::Claim claim = planner::declared_claim(*other, node->profile);
    if (!planner::shortfall(node->profile, planned, name, claim)) planned.push_back({name, claim});
  }
  planner::Claim claim = planner::declared_claim(*tier, node->profile);
  return planner::shortfall(node->profile, held, tier->name, claim) ||
         planner::shortfall(node->profile, planned, tier->name, claim);
}

void Rules::settled_stack(const api::InferenceStack& stack) {
  std::string name = stack.metadata.key().text();
  if (stack.metadata.deleting())
    return fail("10 a finalizer lets go", name + " is still there though it was deleted");
  if (stack.status.observed_generation != stack.metadata.generation)
    return fail(rule, fmt::format("status of {} speaks of generation {}, not {}", name,
                                  stack.status.observed_generation, stack.metadata.generation));
  const api::Condition* ready = api::find_condition(stack.status.conditions, names::condition_ready);
  bool says_ready = ready && ready->status == "True", all_run = true;
  for (const auto& tier : stack.spec.tiers) {
    bool wanted = tier.activation == api::Activation::Always && !stack.spec.suspend;
    bool running = runs(world_, stack, tier.name);
    auto status = std::find_if(stack.status.tiers.begin(), stack.status.tiers.end(),
                               [&](const auto& s) { return s.name == tier.name; });
    if (status == stack.status.tiers.end())
      return fail(rule, fmt::format("status of {} has nothing on {}", name, tier.name));
    if ((status->state == "Ready") != (wanted && running))
      return fail("9 truth in status", fmt::format("{} of {} is {} in status, and {}", tier.name, name,
                                                   status->state, running ? "serves" : "does not serve"));
    if (!wanted && running) return fail(rule, fmt::format("{} of {} runs, unwanted", tier.name, name));
    if (wanted && !running && !excused(stack, *status))
      return fail(rule, fmt::format("{} of {} does not serve: {} {}: {}", tier.name, name, status->state,
                                    status->reason, status->message));
    all_run = all_run && (!wanted || running);
  }
  if (says_ready != all_run)
    fail("9 truth in status",
         fmt::format("{} says Ready={}, and its tiers {}", name, says_ready ? "True" : "False",
                     all_run ? "serve" : "do not all serve"));
}

void Rules::check_settled() {
  for (const auto& [key, stack] : world_.server.stacks.objects) settled_stack(*stack);
  for (const auto& [key, pod] : world_.server.pods.objects) {
    bool ownerless = !pod->metadata.controller();
    if (!ownerless && !owner_of(*pod) && pod->metadata.controller()->kind == names::kind)
      fail(rule, "pod " + key.text() + " outlives its stack");
    if (pod->metadata.deleting()) fail(rule, "pod " + key.text() + " is still going");
  }
}

}  // namespace strix::sim
