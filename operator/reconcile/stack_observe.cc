// What a pass over a stack sees: the caches, what was read before, and what has to be read now.
#include "planner/spec_plan.h"
#include "reconcile/failure.h"
#include "reconcile/pod_stage.h"
#include "reconcile/stack_reconciler.h"

namespace strix::reconcile {

namespace {

constexpr int64_t log_patience_millis = 60'000;  // with a kubelet that does not give a log

// The pod is kept until then: nobody could say later what its log would have told.
bool may_be_read_later(const Error& error) {
  switch (error.kind) {
    case ErrorKind::Throttled:
    case ErrorKind::Timeout:
    case ErrorKind::Unreachable:
    case ErrorKind::Unavailable:
      return true;
    default:
      return false;
  }
}

}  // namespace

Observed StackReconciler::observe(Shared<api::InferenceStack> stack, Memory& memory, Now now) {
  Observed observed;
  observed.now = now;
  observed.leader = leader_;
  observed.policy = policy_;
  api::NamespacedName name = stack->metadata.key();
  observed.stack = std::move(stack);
  observed.plan = plan_of(*observed.stack, memory);
  observed.capabilities = memory.plan_table;
  observed.pods = ports_.cache->pods_of_stack(name);
  observed.pull_pods = ports_.cache->pull_pods_of_stack(name);
  observed.services = ports_.cache->services_of_stack(name);
  observed.nodes = ports_.cache->nodes();
  for (const auto& pod : observed.pods)
    if (auto reading = ports_.prober->reading(pod->metadata.uid))
      observed.probes[pod->metadata.uid] = *reading;
  memory.usage.fold(*observed.stack, observed.pods, observed.probes);
  if (memory.usage.due(now.boot)) observed.usage = memory.usage.seen();
  observed.verdicts = board_.verdicts_for(name);
  observed.pressures = board_.pressures();
  auto still_refused = [&](std::map<std::string, Refusal>& refusals) {
    std::erase_if(refusals, [&](const auto& entry) { return entry.second.until <= now.boot; });
    std::map<std::string, Verdict> verdicts;
    for (const auto& [tier, refusal] : refusals) verdicts[tier] = refusal.verdict;
    return verdicts;
  };
  observed.refusals = still_refused(memory.refusals);
  observed.service_refusals = still_refused(memory.service_refusals);
  read_api_keys(observed, memory);
  read_logs(observed, memory);
  look_for_gpu(observed, memory);
  std::erase_if(memory.logs_asked,
                [&](const auto& entry) { return !observed.logs_awaited.contains(entry.first); });
  return observed;
}

// From the spec, the table of capabilities and what was learned: once for each generation of the one and each
// change of the others.
Shared<planner::Plan> StackReconciler::plan_of(const api::InferenceStack& stack, Memory& memory) {
  const api::ObjectMeta& meta = stack.metadata;
  Shared<planner::CapabilityTable> table = ports_.capabilities ? ports_.capabilities() : nullptr;
  bool same = memory.plan_uid == meta.uid && memory.plan_generation == meta.generation &&
              memory.plan_table == table && memory.plan_learned == stack.status.learned;
  if (!memory.plan || !same) {
    memory.plan = std::make_shared<const planner::Plan>(planner::plan_of_spec(
        stack.spec, table ? *table : planner::built_in_capabilities(), stack.status.learned));
    memory.plan_learned = stack.status.learned;
    memory.plan_table = table;
    memory.plan_uid = meta.uid;
    memory.plan_generation = meta.generation;
  }
  return memory.plan;
}

// A log that cannot be read for a while is one that says nothing; absent: it is asked for again.
std::optional<std::string> StackReconciler::log_of(const api::Pod& pod, Observed& observed, Memory& memory) {
  const std::string& uid = pod.metadata.uid;
  auto text = ports_.cluster->read_log(pod.metadata.key());
  BootMillis now = observed.now.boot, asked = memory.logs_asked.try_emplace(uid, now).first->second;
  if (!text && may_be_read_later(text.error()) && now - asked < log_patience_millis) {
    observed.logs_awaited.insert(uid);
    return std::nullopt;
  }
  return text ? std::move(text).value() : std::string();
}

// Once for each pod that ended without our asking: the exit code is known.
void StackReconciler::read_logs(Observed& observed, Memory& memory) {
  const api::InferenceStack& stack = *observed.stack;
  std::map<std::string, std::optional<engines::Diagnosis>> known;
  for (const auto& tier : stack.spec.tiers) {
    const api::TierStatus* last = stack.status.tier(tier.name);
    for (const auto& pod : observed.pods) {
      const std::string& uid = pod->metadata.uid;
      if (pod->metadata.name != stack.metadata.name + "-" + tier.name || !needs_log(*pod, last)) continue;
      auto kept = memory.diagnoses.find(uid);
      if (kept != memory.diagnoses.end()) {
        known[uid] = kept->second;
      } else if (auto text = log_of(*pod, observed, memory)) {
        known[uid] = engines::diagnose(tier.engine, *text);
      } else {
        continue;
      }
      if (known[uid]) observed.diagnoses[uid] = *known[uid];
    }
  }
  memory.diagnoses = std::move(known);
}

// Once for each pod that is about to serve from a GPU, by an engine that would do so without one.
void StackReconciler::look_for_gpu(Observed& observed, Memory& memory) {
  const api::InferenceStack& stack = *observed.stack;
  std::map<std::string, bool> known;
  for (const auto& tier : stack.spec.tiers) {
    if (tier.engine != api::Engine::LlamaCpp || tier.effective_accelerator() != api::Accelerator::Gpu)
      continue;
    for (const auto& pod : observed.pods) {
      const std::string& uid = pod->metadata.uid;
      auto reading = observed.probes.find(uid);
      bool answers = reading != observed.probes.end() && reading->second.phase == ProbePhase::Serving;
      if (pod->metadata.name != stack.metadata.name + "-" + tier.name || !answers ||
          stage_of(*pod) != PodStage::Loading)
        continue;
      auto kept = memory.without_gpu.find(uid);
      if (kept != memory.without_gpu.end()) {
        known[uid] = kept->second;
      } else if (auto text = log_of(*pod, observed, memory)) {
        known[uid] = engines::found_no_gpu(*text);
      } else {
        continue;
      }
      if (known[uid]) observed.without_gpu.insert(uid);
    }
  }
  memory.without_gpu = std::move(known);
}

// Once for each pod: a key that was changed takes effect with the tier's next pod, as it does in the engine.
void StackReconciler::read_api_keys(Observed& observed, Memory& memory) {
  const api::InferenceStack& stack = *observed.stack;
  std::map<std::string, std::string> known;
  for (const auto& tier : stack.spec.tiers) {
    if (tier.api_key_secret_name.empty()) continue;
    for (const auto& pod : observed.pods) {
      if (pod->metadata.name != stack.metadata.name + "-" + tier.name || pod->pod_ip.empty()) continue;
      auto kept = memory.api_keys.find(pod->metadata.uid);
      if (kept != memory.api_keys.end()) {
        known[pod->metadata.uid] = kept->second;
      } else if (auto key = ports_.cluster->read_secret(stack.metadata.namespace_, tier.api_key_secret_name,
                                                        tier.api_key_secret_key)) {
        known[pod->metadata.uid] = *key;
      } else {
        continue;
      }
      observed.api_keys[tier.name] = known[pod->metadata.uid];
    }
  }
  memory.api_keys = std::move(known);
}

}  // namespace strix::reconcile
