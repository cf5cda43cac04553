#include "api/names.h"
#include "reconcile/failure.h"
#include "reconcile/pod_stage.h"
#include "sim/rules.h"
#include "sim/world.h"

// What faulted the GPU is not tried again until a person says so: a second time may cost the machine.
namespace strix::sim {

namespace {

const char* const rule = "8 a GPU fault is not tried again";

// The status tells of a fault by this tier's image and model, whichever tier had it.
bool tells_of(const api::TierStatus& status, const api::InferenceStack& stack, const api::Tier& tier) {
  return status.last_failure && status.last_failure->failure_class == names::failure_gpu_fault &&
         status.last_failure->subject ==
             reconcile::subject_of(names::failure_gpu_fault, stack.spec, tier, "");
}

}  // namespace

// An ended pod is the only one who knows: it is not thrown away before its log was read.
void Rules::fault_read(const api::Pod& pod, const api::InferenceStack& stack) {
  const Machine* machine = world_.machine(pod.node_name);
  const EngineProcess* process = machine ? machine->find(pod.metadata.uid) : nullptr;
  bool speaks = process && process->gpu_faulted && pod.engine && pod.engine->terminated;
  if (!speaks || world_.api_down_until >= process->died_at) return;
  const api::TierStatus* status = stack.status.tier(std::string(pod.metadata.label(names::label_tier)));
  bool told = status && status->last_failure && status->last_failure->time == reconcile::ended_at(pod) &&
              (status->last_failure->failure_class == names::failure_gpu_fault ||
               status->last_failure->failure_class == names::failure_gpu_reset);
  if (!told)
    fail(rule, fmt::format("deletes {}, which has faulted the GPU, and status says nothing of it",
                           pod.metadata.key().text()));
}

void Rules::fault_kept(const api::Pod& pod) {
  Shared<api::InferenceStack> stack = owner_of(pod);
  const api::Tier* tier =
      stack ? stack->spec.tier(std::string(pod.metadata.label(names::label_tier))) : nullptr;
  const api::TierStatus* status = tier ? stack->status.tier(tier->name) : nullptr;
  if (!status || !tells_of(*status, *stack, *tier)) return;
  if (status->last_failure->cleared == stack->metadata.annotation(names::annotation_clear_failures))
    fail(rule, fmt::format("lets in {} though it faulted the GPU", pod.metadata.key().text()));
}

// Who is held back by a fault, its own or that of a tier with the same image and model.
bool Rules::quarantined(const api::InferenceStack& stack, const api::Tier& tier) const {
  return std::any_of(stack.status.tiers.begin(), stack.status.tiers.end(),
                     [&](const auto& status) { return tells_of(status, stack, tier); });
}

}  // namespace strix::sim
