#include "planner/engine_settings.h"

#include <algorithm>
#include <iterator>

namespace strix::planner {
namespace {

struct NamedAmount {
  std::string_view name;
  int64_t EngineConstants::*amount;
};
constexpr NamedAmount amounts[] = {
    {"gpuEngineBytes", &EngineConstants::vllm_gpu_engine_bytes},
    {"cpuEngineBytes", &EngineConstants::vllm_cpu_engine_bytes},
    {"spareBlocks", &EngineConstants::vllm_spare_blocks},
    {"blockTokens", &EngineConstants::vllm_block_tokens},
    {"largeDeviceBytes", &EngineConstants::vllm_large_device_bytes},
    {"largeBatchTokens", &EngineConstants::vllm_large_batch_tokens},
    {"smallBatchTokens", &EngineConstants::vllm_small_batch_tokens},
    {"hostBytes", &EngineConstants::vllm_host_bytes},
    {"graphBytes", &EngineConstants::vllm_graph_bytes},
};
constexpr std::string_view pins_kv_cache = "pinsKvCache";

void set(EngineConstants& constants, const std::string& name, int64_t amount) {
  if (name == pins_kv_cache) constants.vllm_pins_kv_cache = amount != 0;
  for (const NamedAmount& named : amounts)
    if (named.name == name) constants.*named.amount = amount;
}

}  // namespace

bool is_constant(std::string_view name) {
  return name == pins_kv_cache || std::any_of(std::begin(amounts), std::end(amounts),
                                              [&](const NamedAmount& named) { return named.name == name; });
}

EngineSettings settings_of(const CapabilityTable& table, const EngineSetup& setup,
                           const EngineConstants& base) {
  EngineSettings settings;
  settings.constants = base;
  for (const SettingRow* row : table.settings(setup)) {
    for (const auto& [name, value] : row->environment)
      settings.environment.push_back({.name = name, .value = value, .secret_name = {}, .secret_key = {}});
    settings.arguments.insert(settings.arguments.end(), row->arguments.begin(), row->arguments.end());
    for (const auto& [name, amount] : row->constants) set(settings.constants, name, amount);
  }
  return settings;
}

}  // namespace strix::planner
