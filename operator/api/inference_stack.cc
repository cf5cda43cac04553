#include "api/inference_stack.h"

namespace strix::api {

std::string_view to_string(Engine engine) {
  return engine == Engine::Vllm ? "vllm" : "llamacpp";
}

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::Gpu ? "GPU" : "None";
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
