#include "api/inference_stack.h"

#include <utility>

namespace strix::api {

std::string_view to_string(Engine engine) {
  return engine == Engine::Vllm ? "vllm" : "llamacpp";
}

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::Gpu ? "GPU" : "None";
}

const Tier* StackSpec::tier(const std::string& name) const {
  for (const Tier& tier : tiers)
    if (tier.name == name) return &tier;
  return nullptr;
}

const TierStatus* StackStatus::tier(const std::string& name) const {
  for (const TierStatus& tier : tiers)
    if (tier.name == name) return &tier;
  return nullptr;
}

TierStatus* StackStatus::tier(const std::string& name) {
  return const_cast<TierStatus*>(std::as_const(*this).tier(name));
}

const Learned* find_learned(const std::vector<Learned>& all, const std::string& tier) {
  for (const Learned& learned : all)
    if (learned.tier == tier) return &learned;
  return nullptr;
}

std::string_view to_string(DeviceStrategy strategy) {
  return strategy == DeviceStrategy::Privileged ? "Privileged" : "ExtendedResource";
}

}  // namespace strix::api
