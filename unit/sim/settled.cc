#include <algorithm>

#include "api/conditions.h"
#include "api/names.h"
#include "planner/ledger.h"
#include "planner/spec_plan.h"
#include "reconcile/pod_stage.h"
#include "sim/rules.h"
#include "sim/world.h"

namespace strix::sim {

namespace {

const char* const rule = "10 it settles";

bool says_ready(const api::InferenceStack& stack) {
  const api::Condition* ready = api::find_condition(stack.status.conditions, names::condition_ready);
  return ready && ready->status == "True";
}

bool runs(World& world, const api::InferenceStack& stack, const std::string& tier) {
  Shared<api::Pod> pod =
      world.server.pods.find({stack.metadata.namespace_, stack.metadata.name + "-" + tier});
  if (!pod || reconcile::stage_of(*pod) != reconcile::PodStage::Serving) return false;
  const api::OwnerReference* owner = pod->metadata.controller();
  Machine* machine = world.machine(pod->node_name);
  return owner && owner->uid == stack.metadata.uid && machine && !machine->silent(pod->metadata.uid);
}

planner::Plan plan_now(const api::InferenceStack& stack) {
  return planner::plan_of_spec(stack.spec, planner::built_in_capabilities(), stack.status.learned);
}

}  // namespace

// The machine that it would run on has not the memory for its context, whatever its profile says.
bool Rules::context_refused(const api::InferenceStack& stack, const api::Tier& tier) const {
  const Machine* machine = world_.machine(home_of(stack, tier));
  return tier.gpu_fraction_milli &&
         tier.context_length_tokens > machine->context_most_tokens(*tier.gpu_fraction_milli);
}

// With good reason: trying once more would end as before.
bool Rules::given_up(const api::InferenceStack& stack, const api::Tier& tier) const {
  const api::TierStatus* status = stack.status.tier(tier.name);
  if (!status || !status->last_failure) return false;
  const std::string& failure_class = status->last_failure->failure_class;
  return (failure_class == "ContextTooLarge" && context_refused(stack, tier)) ||
         (failure_class == names::failure_reboot_loop && world_.machine(home_of(stack, tier))->reboots() > 1);
}

// A wait is excused when what it names is true.
bool Rules::excused(const api::InferenceStack& stack, const api::TierStatus& status) const {
  const api::Tier* tier = stack.spec.tier(status.name);
  if (!tier || status.message.empty()) return false;
  if (status.reason == "PodNameTaken") {
    Shared<api::Pod> pod =
        world_.server.pods.find({stack.metadata.namespace_, stack.metadata.name + "-" + status.name});
    return pod && !owner_of(*pod);
  }
  planner::Plan plan = plan_now(stack);
  const planner::TierPlan& planned = *plan.tier(status.name);
  if (status.reason == "Predecessor") {
    const auto& before = plan.order.predecessors[status.name];
    return std::any_of(before.begin(), before.end(),
                       [&](const auto& name) { return !runs(world_, stack, name); });
  }
  if (status.state == "Quarantined") return quarantined(stack, *tier);
  if (status.state == "GivenUp") return given_up(stack, *tier);
  if (status.reason == names::reason_memory_pressure) {
    // Others have taken the room meanwhile.
    auto measured = world_.machine(home_of(stack, *tier))->measured();
    int64_t room = reconcile::PressureThresholds{}.warn_available_bytes + planned.claim.known_bytes();
    return measured && measured->available_bytes < room;
  }
  if (status.reason == names::reason_parked) return planned.state == planner::TierState::Parked;
  if (status.reason != names::reason_memory_short) return false;
  if (planned.state == planner::TierState::Error || planned.state == planner::TierState::Refused) return true;
  // Short of memory beside all that is held.
  const api::StackNode* node = planner::find_node(stack.spec, planner::node_of(stack.spec, *tier));
  std::vector<planner::Entry> held;
  for (const auto& [key, pod] : world_.server.pods.objects)
    if (reconcile::holds_memory(*pod) && reconcile::node_of(*pod) == home_of(stack, *tier))
      held.push_back({key.text(), reconcile::claim_of(*pod)});
  return planner::shortfall(node->profile, held, tier->name, planned.claim).has_value();
}

void Rules::settled_stack(const api::InferenceStack& stack) {
  std::string name = stack.metadata.key().text();
  if (stack.metadata.deleting())
    return fail("10 a finalizer lets go", name + " is still there though it was deleted");
  if (stack.status.observed_generation != stack.metadata.generation)
    return fail(rule, fmt::format("status of {} speaks of generation {}, not {}", name,
                                  stack.status.observed_generation, stack.metadata.generation));
  bool all_run = true, ready = says_ready(stack);
  planner::Plan plan = plan_now(stack);
  for (const auto& tier : stack.spec.tiers) {
    bool parked = plan.tier(tier.name)->state == planner::TierState::Parked;
    bool running = runs(world_, stack, tier.name);
    const api::TierStatus* status = stack.status.tier(tier.name);
    if (!status) return fail(rule, fmt::format("status of {} has nothing on {}", name, tier.name));
    bool pressed = status->reason == names::reason_memory_pressure && excused(stack, *status);
    bool wanted = tier.activation == api::Activation::Always && !stack.spec.suspend && !parked && !pressed;
    if ((status->state == "Ready") != (wanted && running))
      return fail("9 truth in status", fmt::format("{} of {} is {} in status, and {}", tier.name, name,
                                                   status->state, running ? "serves" : "does not serve"));
    if (!wanted && running) return fail(rule, fmt::format("{} of {} runs, unwanted", tier.name, name));
    if (wanted && !running && !excused(stack, *status))
      return fail(rule, fmt::format("{} of {} does not serve: {} {}: {}", tier.name, name, status->state,
                                    status->reason, status->message));
    bool outdated = status->message.starts_with("serves on as it was before the change");
    auto state = plan.tier(tier.name)->state;
    bool held_back = quarantined(stack, tier) || context_refused(stack, tier);
    if (outdated && !held_back && state != planner::TierState::Error && state != planner::TierState::Refused)
      return fail(rule, fmt::format("{} of {} was not replaced: {}", tier.name, name, status->message));
    all_run = all_run && (!wanted || (running && !outdated));
  }
  if (ready != all_run)
    fail("9 truth in status", fmt::format("{} says Ready={}, and its tiers {}", name,
                                          ready ? "True" : "False", all_run ? "serve" : "do not all serve"));
}

void Rules::check_settled() {
  for (const auto& [key, stack] : world_.server.stacks.objects) settled_stack(*stack);
  for (const auto& [key, pod] : world_.server.pods.objects) {
    bool ownerless = !pod->metadata.controller();
    if (!ownerless && !owner_of(*pod) && pod->metadata.controller()->kind == names::kind)
      fail(rule, "pod " + key.text() + " outlives its stack");
    Shared<api::InferenceStack> waiting = reconcile::is_pull_pod(*pod) ? owner_of(*pod) : nullptr;
    if (reconcile::is_pull_pod(*pod) && (!waiting || says_ready(*waiting)))
      fail(rule, "pod " + key.text() + " is left, and nobody waits for its image");
    if (pod->metadata.deleting()) fail(rule, "pod " + key.text() + " is still going");
  }
}

}  // namespace strix::sim
