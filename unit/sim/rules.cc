#include "sim/rules.h"

#include <algorithm>

#include "api/names.h"
#include "base/steady_clock.h"
#include "engines/image.h"
#include "planner/ledger.h"
#include "planner/spec_plan.h"
#include "reconcile/failure.h"
#include "reconcile/pod_stage.h"
#include "sim/world.h"

namespace strix::sim {

namespace {

using reconcile::PodStage;

constexpr int64_t memory_of_edits_millis = 60'000;  // what changed this recently may not be known yet

bool is_serving(const api::Pod& pod) {
  const api::PodCondition* serving = pod.condition(names::readiness_gate);
  return serving && serving->status == "True";
}

bool says(const api::InferenceStack& stack, const std::string& tier, std::string_view reason) {
  const api::TierStatus* status = stack.status.tier(tier);
  return status && status->reason == reason;
}

std::string label_tier(const api::Pod& pod) {
  return pod.metadata.label(names::label_tier);
}

}  // namespace

void Rules::fail(std::string rule, std::string what) {
  if (broken_) return;
  world_.story.tell("rule", "BROKEN: {}: {}", rule, what);
  broken_ = Violation{std::move(rule), std::move(what)};
}

void Rules::leader_changed(BootMillis knows_since) {
  leader_since_ = world_.time.boot();
  knows_since_ = knows_since;
}

// --- what changed

void Rules::pod_changed(const Shared<api::Pod>& before, const Shared<api::Pod>& after) {
  BootMillis now = world_.time.boot();
  const api::Pod& pod = after ? *after : *before;
  Life& life = lives_[pod.metadata.uid];
  if (!before) life.created_at = now;
  bool holds = after && reconcile::holds_window(*after);
  if (holds && !life.holds_window) {
    life.holds_window_since = now;
    life.by_operator = world_.actor.starts_with("operator");
    life.by_late_drain = world_.actor.ends_with("(dead)") && reconcile::stage_of(*after) != PodStage::Loading;
  }
  life.holds_window = holds;
  // Both are written down when they are asked for, and the request may take its time.
  auto asked_at = [&](WallMillis stamp) {
    constexpr int64_t request_millis_max = 60'000;
    return now - std::clamp<int64_t>(world_.time.now().wall - stamp, 0, request_millis_max);
  };
  if (after && life.loading_since == 0 && reconcile::admitted_at(*after) != 0)
    life.loading_since = asked_at(reconcile::admitted_at(*after));
  bool drains = after && reconcile::stage_of(*after) == PodStage::Draining;
  if (!drains) life.draining_since = 0;
  if (drains && life.draining_since == 0)
    life.draining_since = asked_at(after->condition(names::readiness_gate)->last_transition);
  if (before && is_serving(*before) && !(after && is_serving(*after)))
    tier_served_[pod.metadata.key().text()] = now;
  if (!after && before && reconcile::holds_memory(*before)) life.vanished_at = now;
  auto fails = [](const Shared<api::Pod>& p) {
    return p && reconcile::is_pull_pod(*p) && p->engine && reconcile::waits_for_image(*p->engine);
  };
  if (fails(before) || fails(after)) image_failed_[reconcile::node_of(pod) + " " + pod.image] = now;
  auto brought = [](const Shared<api::Pod>& p) { return p && p->engine && !p->engine->image_id.empty(); };
  if (brought(after) && !brought(before)) life.brought_at = now;
}

// Whether what serves goes on serving, as its successor's image is not known to be there: it is pulled, it is
// to be pulled whatever is there, or it has been pulled a moment ago.
bool Rules::image_awaited(const api::InferenceStack& stack, const std::string& node, const api::Tier& tier) {
  std::string image = stack.spec.image_of(tier);
  bool always = engines::full_image_name(image).ends_with(":latest"), pulling = false;
  for (const auto& [key, pod] : world_.server.pods.objects) {
    if (!reconcile::is_pull_pod(*pod) || reconcile::node_of(*pod) != node || pod->image != image) continue;
    if (!pod->metadata.controlled_by(stack.metadata.uid)) continue;
    BootMillis brought = lives_[pod->metadata.uid].brought_at;
    if (brought != 0)
      return world_.time.boot() - std::max(brought, world_.deaf_until) < heard_of_nodes_millis;
    pulling = true;
  }
  const Machine* machine = world_.machine(node);
  return pulling || always || !machine || !machine->has_image(image);
}

// Whether a pull of it fails, or did so recently.
bool Rules::image_failed(const std::string& node, const std::string& image) const {
  for (const auto& [key, pod] : world_.server.pods.objects)
    if (reconcile::is_pull_pod(*pod) && reconcile::node_of(*pod) == node && pod->image == image &&
        pod->engine && reconcile::waits_for_image(*pod->engine))
      return true;
  auto failed = image_failed_.find(node + " " + image);
  return failed != image_failed_.end() && world_.time.boot() - failed->second < memory_of_edits_millis;
}

void Rules::node_changed(const Shared<api::Node>& before, const Shared<api::Node>& after) {
  auto fit = [](const Shared<api::Node>& node) { return node && node->ready && !node->unschedulable; };
  if (fit(before) && !fit(after)) node_unfit_since_[after->metadata.name] = world_.time.boot();
}

void Rules::stack_changed(const Shared<api::InferenceStack>& before,
                          const Shared<api::InferenceStack>& after) {
  bool edited = !before || !after || before->metadata.generation != after->metadata.generation ||
                before->metadata.uid != after->metadata.uid;
  if (edited) stack_edited_[(after ? after : before)->metadata.key()] = world_.time.boot();
}

Shared<api::InferenceStack> Rules::owner_of(const api::Pod& pod) const {
  const api::OwnerReference* owner = pod.metadata.controller();
  if (!owner) return nullptr;
  Shared<api::InferenceStack> stack = world_.server.stacks.find({pod.metadata.namespace_, owner->name});
  return stack && stack->metadata.uid == owner->uid ? stack : nullptr;
}

// --- what an operator did

// Somebody else's pod is never touched. One that has just been orphaned may be: its uid is the precondition.
void Rules::ours(const api::Pod& pod, const char* verb) {
  const api::OwnerReference* owner = pod.metadata.controller();
  if (!owner || owner->kind == names::kind) return;
  fail("5 at most one pod per tier",
       fmt::format("{} pod {}, which is no stack's", verb, pod.metadata.key().text()));
}

void Rules::window_free(const api::Pod& pod, BootMillis listed, bool drains) {
  std::string node = reconcile::node_of(pod);
  for (const auto& [key, other] : world_.server.pods.objects) {
    if (other->metadata.uid == pod.metadata.uid || reconcile::node_of(*other) != node) continue;
    // A person who orphans a tier that loads or drains leaves nobody to close its window.
    // A pod that will not go holds nothing up for ever.
    bool holds = reconcile::holds_window(*other) && !reconcile::is_stuck(*other, world_.time.now());
    if (!holds || !other->metadata.controller()) continue;
    const Life& life = lives_[other->metadata.uid];
    // What somebody else did after the operator looked could not be known. Nor could a drain that a dead
    // leader began with a late write; two drains at once only give memory back.
    bool unknown = !life.by_operator || (life.by_late_drain && drains);
    if (unknown && life.holds_window_since >= listed) continue;
    return fail("1 one load window per node",
                fmt::format("{} {} on {} while {} holds the window", drains ? "drains" : "lets in",
                            pod.metadata.key().text(), node, key.text()));
  }
}

void Rules::admitted(const api::Pod& pod, const Facts& facts) {
  ours(pod, "lets in");
  window_free(pod, facts.pods_listed, false);
  stuck_free(pod, facts.pods_listed);
  if (Machine* machine = world_.machine(reconcile::node_of(pod)))
    vanished_ended(pod, *machine, facts.pods_listed);
  node_fit(pod);
  if (const Machine* machine = world_.machine(reconcile::node_of(pod));
      machine && !machine->has_image(pod.image))
    fail("1 one load window per node", fmt::format("lets in {}, whose image {} is not on {}",
                                                   pod.metadata.key().text(), pod.image, machine->name()));
  memory_free(pod);
  fault_kept(pod);
  still_wanted(pod, facts);
  released_first(pod, facts);
  order_kept(pod);
  check_memory();
}

void Rules::still_wanted(const api::Pod& pod, const Facts& facts) {
  const api::OwnerReference* owner = pod.metadata.controller();
  if (!owner) return;
  BootMillis edited = stack_edited_[{pod.metadata.namespace_, owner->name}];
  if (edited >= facts.stack_read) return;
  Shared<api::InferenceStack> stack = owner_of(pod);
  const api::Tier* tier = stack ? stack->spec.tier(label_tier(pod)) : nullptr;
  bool wanted = tier && tier->activation == api::Activation::Always && !stack->spec.suspend &&
                !stack->metadata.deleting();
  if (!wanted)
    fail("6 act on fresh facts", fmt::format("lets in {}, which nobody wants since {} ms",
                                             pod.metadata.key().text(), world_.time.boot() - edited));
}

void Rules::order_kept(const api::Pod& pod) {
  Shared<api::InferenceStack> stack = owner_of(pod);
  BootMillis now = world_.time.boot();
  if (!stack || now - stack_edited_[stack->metadata.key()] < memory_of_edits_millis) return;
  planner::Plan plan = planner::plan_of_spec(stack->spec);
  const api::Tier* tier = stack->spec.tier(label_tier(pod));
  if (!tier) return;
  for (const auto& name : plan.order.predecessors[tier->name]) {
    planner::TierState state = plan.tier(name)->state;
    if (state == planner::TierState::Off || state == planner::TierState::Parked) continue;
    const api::Tier& before = *stack->spec.tier(name);
    if (pressed(*stack, before)) continue;
    if (tier->start_after.empty() && may_be_overtaken(*stack, plan, before)) continue;
    if (!has_served(*stack, name))
      fail("4 health-gated order",
           fmt::format("lets in {} before {} has served", pod.metadata.key().text(), name));
  }
}

bool Rules::has_served(const api::InferenceStack& stack, const std::string& tier) const {
  api::NamespacedName key{stack.metadata.namespace_, stack.metadata.name + "-" + tier};
  Shared<api::Pod> pod = world_.server.pods.find(key);
  auto served = tier_served_.find(key.text());
  return (pod && is_serving(*pod)) ||
         (served != tier_served_.end() && world_.time.boot() - served->second < memory_of_edits_millis);
}

// By one that has not named it: it will not come soon, or waits for one of which that is true.
bool Rules::may_be_overtaken(const api::InferenceStack& stack, const planner::Plan& plan,
                             const api::Tier& tier) {
  if (plan.tier(tier.name)->state != planner::TierState::Resident) return true;
  std::string home = home_of(stack, tier);
  if (image_failed(home, stack.spec.image_of(tier)) || quarantined(stack, tier) || given_up(stack, tier))
    return true;
  if (says(stack, tier.name, names::reason_node_stuck)) return true;
  for (const auto& [key, pod] : world_.server.pods.objects)
    if (reconcile::node_of(*pod) == home && reconcile::is_stuck(*pod, world_.time.now())) return true;
  return std::any_of(tier.start_after.begin(), tier.start_after.end(), [&](const auto& name) {
    return !has_served(stack, name) && may_be_overtaken(stack, plan, *stack.spec.tier(name));
  });
}

void Rules::served(const api::Pod& before, bool serving, bool draining, const Facts& facts) {
  ours(before, "changes the serving condition of");
  if (draining) window_free(before, facts.pods_listed, true);
  if (!serving) return;
  Machine* machine = world_.machine(reconcile::node_of(before));
  const EngineProcess* process = machine ? machine->find(before.metadata.uid) : nullptr;
  if (!process || world_.time.boot() < process->warm_at)
    fail("9 truth in the Service",
         fmt::format("lets clients in to {}, which has never answered", before.metadata.key().text()));
}

void Rules::back_off_kept(const api::Pod& pod, const api::Tier& tier) {
  WallMillis wall = world_.time.now().wall, ended = reconcile::ended_at(pod);
  constexpr int64_t rounding_millis = 1'000;
  if (ended != 0 && wall < ended + tier.restart.backoff_seconds * 1000 - rounding_millis)
    fail("8 a fault is backed off",
         fmt::format("{} is made again {} ms after it ended, backoffSeconds is {}", pod.metadata.key().text(),
                     wall - ended, tier.restart.backoff_seconds));
}

// In the time in which all were awake; by the clock on the wall for an operator that was not there when it
// was set, and may not know.
int64_t Rules::passed_since(BootMillis boot, WallMillis wall) const {
  int64_t awake = world_.time.boot() - boot;
  bool knows = leader_since_ < boot || world_.time.has_slept();
  return knows ? awake : std::max(awake, world_.time.now().wall - wall);
}

void Rules::deleted(const api::Pod& before, const reconcile::PodRef& given) {
  std::string name = before.metadata.key().text();
  if (given.uid.empty() || given.resource_version.empty())
    return fail("6 deletes carry preconditions", "deletes " + name + " whatever it is now");
  if (before.metadata.uid != given.uid)
    return fail("6 deletes carry preconditions", "deletes another " + name + " than it saw");
  ours(before, "deletes");
  if (before.metadata.deleting() || reconcile::is_pull_pod(before)) return;
  // Taken down by pressure, though its status may never come to say so.
  if (acted_since(before.node_name, world_.time.boot() - heard_of_nodes_millis))
    pressed_until_[name] = INT64_MAX;
  PodStage stage = reconcile::stage_of(before);
  if (stage == PodStage::Serving || stage == PodStage::NotAnswering)
    return fail("9 drain before a voluntary stop", "deletes " + name + " without a drain");
  Shared<api::InferenceStack> stack = owner_of(before);
  const api::Tier* tier = stack ? stack->spec.tier(label_tier(before)) : nullptr;
  if (!tier) return;
  const Life& life = lives_[before.metadata.uid];
  bool untouched = stack_edited_[stack->metadata.key()] < life.created_at && !stack->metadata.deleting();
  // What its machine cannot hold any more is taken down whatever it does.
  if (says(*stack, tier->name, names::reason_memory_pressure) ||
      acted_since(before.node_name, life.created_at))
    untouched = false;
  if (stage == PodStage::Ended && untouched) back_off_kept(before, *tier);
  if (stage == PodStage::Ended && untouched) fault_read(before, *stack);
  const Machine* machine = world_.machine(before.node_name);
  const EngineProcess* process = machine ? machine->find(before.metadata.uid) : nullptr;
  // A jump of the clock that is shorter than that counts as none.
  constexpr int64_t rounding_millis = 1'000 + clock_jump_millis_min;
  if (stage == PodStage::Loading && untouched && process && !process->dead) {
    int64_t loaded = passed_since(life.loading_since, reconcile::admitted_at(before));
    if (loaded < tier->probe.startup_deadline_seconds * 1000 - rounding_millis)
      fail("8 a tier has its time to load",
           fmt::format("deletes {} after it loaded for {} ms", name, loaded));
  }
  if (stage != PodStage::Draining) return;
  int64_t drained =
      passed_since(life.draining_since, before.condition(names::readiness_gate)->last_transition);
  if (process && process->answers(world_.time.boot()) && process->busy_until > world_.time.boot() + 1'000 &&
      drained < tier->drain_timeout_seconds * 1000 - rounding_millis)
    fail("9 drain before a voluntary stop",
         fmt::format("deletes {} after {} ms of its drain, with a request under way", name, drained));
}

void Rules::adopted(const api::Pod& before) {
  if (before.metadata.controller())
    fail("5 at most one pod per tier", "adopts " + before.metadata.key().text() + ", which has an owner");
}

// --- what is true at every moment

void Rules::check_memory() {
  for (const auto& machine : world_.machines) {
    std::vector<planner::Entry> held;
    auto add = [&](const std::string& holder, const PodSpec& spec) {
      planner::Claim claim;
      claim.gpu = spec.gpu;
      claim.gpu_fraction_milli = spec.gpu_fraction_milli;
      claim.gpu_bytes = planner::fraction_bytes(machine.profile().gpu_memory_bytes, spec.gpu_fraction_milli);
      claim.host_bytes = spec.host_bytes;
      held.push_back({holder, claim});
    };
    for (const auto& [key, pod] : world_.server.pods.objects)
      if (reconcile::holds_memory(*pod) && reconcile::node_of(*pod) == machine.name())
        add(key.text(), world_.server.spec_of(pod->metadata.uid));
    for (const auto& process : machine.processes()) {
      if (!process.holds(world_.time.boot())) continue;
      Shared<api::Pod> pod = world_.server.pods.find(process.pod);
      // A process that nobody could end, and whose pod was deleted by force: the rule gives it up in the end,
      // and nothing tells when it does end.
      if (process.jammed_until != 0 && !(pod && pod->metadata.uid == process.uid)) continue;
      bool counted = pod && pod->metadata.uid == process.uid && reconcile::holds_memory(*pod);
      bool unknown = !process.dead && !(pod && pod->metadata.uid == process.uid) &&
                     lives_[process.uid].vanished_at <= knows_since_;
      if (!counted && !unknown) add(process.uid, process.spec);
    }
    planner::Totals totals = planner::total_of(held);
    const api::NodeProfile& profile = machine.profile();
    int64_t usable = profile.unified_memory_bytes - profile.system_reserve_bytes;
    if (totals.gpu_fraction_milli <= profile.max_gpu_fraction_milli &&
        totals.gpu_bytes <= profile.gpu_memory_bytes && totals.all_bytes() <= usable)
      continue;
    std::string text;
    for (const auto& entry : held)
      text +=
          fmt::format(" {} {:.1f}", entry.holder, static_cast<double>(entry.claim.known_bytes()) / (1 << 30));
    fail("2 the ledger never over-promises",
         fmt::format("{} holds more than it has:{}", machine.name(), text));
  }
}

void Rules::check_silence() {
  constexpr int64_t noticed_millis = 75'000;
  BootMillis now = world_.time.boot();
  for (const auto& [key, pod] : world_.server.pods.objects) {
    Life& life = lives_[pod->metadata.uid];
    const Machine* machine = world_.machine(pod->node_name);
    bool counts = machine && is_serving(*pod) && !pod->terminal() && !pod->metadata.deleting() &&
                  owner_of(*pod) && machine->silent(pod->metadata.uid);
    if (!counts || now < world_.api_down_until) {
      life.silent_since = 0;
      continue;
    }
    if (life.silent_since == 0) life.silent_since = now;
    if (now - std::max(life.silent_since, leader_since_) > noticed_millis)
      fail("9 truth in the Service", fmt::format("{} has clients, and has not answered for {} s", key.text(),
                                                 (now - life.silent_since) / 1000));
  }
}

}  // namespace strix::sim
