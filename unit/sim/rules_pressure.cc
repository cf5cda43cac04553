#include "api/names.h"
#include "reconcile/pod_stage.h"
#include "sim/rules.h"
#include "sim/world.h"

// What has to become of a machine that runs out of memory. Its own file, as nothing else needs its
// bookkeeping.
namespace strix::sim {

namespace {

const char* const rule = "pressure: a node that runs out of memory parks, and starts nothing";

// Long enough to stop one tier: what it loads or drains, and a stop that is waited out.
constexpr int64_t parked_millis = 300'000;

}  // namespace

void Rules::check_pressure() {
  using reconcile::PodStage;
  const reconcile::PressureThresholds thresholds;
  BootMillis now = world_.time.boot();
  for (const auto& machine : world_.machines) {
    auto reading = machine.measured();
    Low& low = low_[machine.name()];
    if (reading && reading->available_bytes < thresholds.act_available_bytes) low.acted_at = now;
    if (!reading || machine.down() || now < world_.api_down_until) {
      low = {0, 0, low.acted_at, 0};
      continue;
    }
    bool warned = reading->available_bytes < thresholds.warn_available_bytes;
    if (!warned) low.warned_since = 0;
    if (warned && low.warned_since == 0) low.warned_since = now;
    int64_t running = 0;
    bool held = false;  // by an orphan, which nobody can take down: nothing is stopped beside one that loads
    for (const auto& [key, pod] : world_.server.pods.objects) {
      PodStage stage = reconcile::stage_of(*pod);
      bool runs = stage == PodStage::Loading || stage == PodStage::Serving || stage == PodStage::NotAnswering;
      if (pod->node_name != machine.name()) continue;
      held = held || (!pod->metadata.controller() && reconcile::holds_window(*pod));
      if (runs && owner_of(*pod)) ++running;
    }
    bool acting = reading->available_bytes < thresholds.act_available_bytes && running > 0 && !held;
    if (!acting || running < low.running || low.acting_since == 0) low.acting_since = acting ? now : 0;
    low.running = running;
    if (acting && now - std::max(low.acting_since, leader_since_) > parked_millis)
      fail(rule, fmt::format("{} has had {} MiB available for {} s, and {} tiers run on", machine.name(),
                             reading->available_bytes >> 20, (now - low.acting_since) / 1000, running));
  }
}

bool Rules::acted_since(const std::string& machine, BootMillis since) {
  BootMillis acted = low_[machine].acted_at;
  return acted != 0 && acted >= since;
}

// From the moment in which the status of a tier says so until one tells of something else than its end.
void Rules::told(const api::NamespacedName& stack, const api::StackStatus& status) {
  for (const auto& tier : status.tiers) {
    std::string key = stack.text() + "-" + tier.name;
    if (tier.reason == names::reason_memory_pressure) {
      pressed_until_[key] = INT64_MAX;
    } else if (auto known = pressed_until_.find(key); known != pressed_until_.end()) {
      bool still_going = tier.reason == names::reason_terminating || tier.reason == names::reason_node_stuck;
      if (!still_going) known->second = std::min(known->second, world_.time.boot());
    }
  }
}

// Parked by pressure, as its status says or is about to, or said a moment ago: what was let in since then may
// have been on its way.
bool Rules::pressed(const api::InferenceStack& stack, const api::Tier& tier) {
  BootMillis since = world_.time.boot() - heard_of_nodes_millis;
  auto told = pressed_until_.find(stack.metadata.key().text() + "-" + tier.name);
  return acted_since(home_of(stack, tier), since) || (told != pressed_until_.end() && told->second >= since);
}

void Rules::memory_free(const api::Pod& pod) {
  BootMillis since = low_[reconcile::node_of(pod)].warned_since, now = world_.time.boot();
  if (since != 0 && now - std::max(since, leader_since_) > heard_of_nodes_millis)
    fail(rule, fmt::format("lets in {} on {}, which has been short of memory for {} s",
                           pod.metadata.key().text(), reconcile::node_of(pod), (now - since) / 1000));
}

}  // namespace strix::sim
