#include "api/inference_stack.h"

namespace strix::api {

std::string_view to_string(Engine engine) {
  return engine == Engine::Vllm ? "vllm" : "llamacpp";
}

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::Gpu ? "GPU" : "None";
}

std::string_view to_string(DeviceStrategy strategy) {
  return strategy == DeviceStrategy::Privileged ? "Privileged" : "ExtendedResource";
}

}  // namespace strix::api
