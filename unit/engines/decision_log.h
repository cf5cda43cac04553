// Why: the decision log's four tiers as a typed stack, from which golden files and tests are made.
// May not: be changed to make a test pass; it mirrors the sample manifest.
#pragma once

#include "api/inference_stack.h"
#include "base/bytes.h"
#include "engines/engine.h"
#include "planner/combination.h"
#include "planner/engine_settings.h"

namespace strix::test {

inline api::Tier vllm_tier(const std::string& name, const std::string& repository, int port, int64_t context,
                           int fraction_milli) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::Vllm;
  tier.model.repository = repository;
  tier.port = port;
  tier.context_length_tokens = context;
  tier.gpu_fraction_milli = fraction_milli;
  tier.kv_cache_type = "auto";
  return tier;
}

inline api::Tier llama_tier(const std::string& name, const std::string& file, int port, int64_t context) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::LlamaCpp;
  tier.accelerator = api::Accelerator::None;
  tier.model.file = file;
  tier.port = port;
  tier.context_length_tokens = context;
  tier.kv_cache_type = "auto";
  return tier;
}

inline api::InferenceStack decision_log(api::DeviceStrategy strategy) {
  api::InferenceStack stack;
  stack.metadata.namespace_ = "llm";
  stack.metadata.name = "strix";
  stack.metadata.uid = "6f1c2f0e-0000-4000-8000-000000000001";
  api::StackNode halo;
  halo.name = "halo";
  halo.selector = {{"kubernetes.io/hostname", "strix-halo"}};
  halo.profile.gfx_target = "gfx1151";
  halo.profile.unified_memory_bytes = 128 * gib;
  halo.profile.gpu_memory_bytes = 124 * gib;
  halo.profile.system_reserve_bytes = 6 * gib;
  api::Devices devices;
  devices.strategy = strategy;
  if (strategy == api::DeviceStrategy::ExtendedResource)
    devices.resource_name = "squat.ai/dri";
  else
    devices.paths = {"/dev/kfd", "/dev/dri"};
  devices.supplemental_groups = {44, 991};
  halo.devices = devices;
  halo.model_store.host_path = "/var/lib/models";
  stack.spec.nodes = {halo};
  stack.spec.vllm.image = "docker.io/kyuz0/vllm-therock-gfx1151:latest";
  stack.spec.vllm.cache.host_path = "/var/cache/vllm";
  stack.spec.llamacpp.image = "ghcr.io/ggml-org/llama.cpp:server";

  api::Tier orchestrator = vllm_tier("orchestrator", "Qwen/Qwen2.5-14B-Instruct", 8001, 65536, 350);
  orchestrator.model.rope_scaling = api::RopeScaling{
      .type = "yarn", .factor_milli = 4000, .original_context_length = 32768, .theta = 1000000};
  orchestrator.prefix_caching = true;
  orchestrator.tool_call_parser = "hermes";
  api::Tier coder = vllm_tier("coder", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 8002, 49152, 600);
  coder.start_after = {"orchestrator"};
  api::Tier reviewer = llama_tier("reviewer", "Llama-3.3-70B-Instruct-Q4_K_M.gguf", 8011, 32768);
  reviewer.threads = 16;
  reviewer.priority = 10;
  reviewer.requests.memory = "50Gi";
  api::Tier utility = llama_tier("utility", "Qwen2.5-3B-Instruct-Q4_K_M.gguf", 8012, 8192);
  stack.spec.tiers = {orchestrator, coder, reviewer, utility};
  return stack;
}

// What the spec says, and what the built-in capability table has for the tier's engine.
inline planner::Effective effective_of(const api::StackSpec& spec, const api::Tier& tier) {
  const auto& table = planner::built_in_capabilities();
  auto settings = planner::settings_of(table, planner::setup_of(spec, tier, {}, table), {});
  planner::Effective effective = planner::declared_effective(tier);
  effective.environment = settings.environment;
  effective.arguments = settings.arguments;
  return effective;
}

inline engines::PodInput pod_input(const api::InferenceStack& stack, size_t tier) {
  engines::PodInput input;
  input.stack = &stack;
  input.tier = &stack.spec.tiers[tier];
  input.node = &stack.spec.nodes[0];
  input.kubernetes_node = "strix-halo";
  input.kubernetes_hostname = "strix-halo";
  input.claim = planner::declared_claim(*input.tier, input.node->profile);
  input.effective = effective_of(stack.spec, *input.tier);
  input.leader = "strix-operator-0_a1b2";
  return input;
}

}  // namespace strix::test
