// Why: the decision log's stacks, with the log's numbers or the true ones, as inputs of plan().
// May not: be changed to make a golden file pass; they mirror the log and the model table.
#pragma once

#include <string>
#include <vector>

#include "known_models.h"
#include "planner/plan.h"

namespace strix::test {

inline api::StackNode halo(int64_t unified_bytes, int64_t gpu_bytes, int64_t reserve_bytes = 6 * gib,
                           int max_fraction_milli = 950) {
  api::StackNode node;
  node.name = "halo";
  node.profile.gfx_target = "gfx1151";
  node.profile.unified_memory_bytes = unified_bytes;
  node.profile.gpu_memory_bytes = gpu_bytes;
  node.profile.system_reserve_bytes = reserve_bytes;
  node.profile.max_gpu_fraction_milli = max_fraction_milli;
  return node;
}

// Fraction 0: left to the planner. Context 0: auto.
inline api::Tier vllm_tier(const std::string& name, const std::string& repository, int64_t context,
                           int fraction_milli) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::Vllm;
  tier.model.repository = repository;
  tier.context_length_tokens = context;
  tier.context_length_auto = context == 0;
  if (fraction_milli > 0) tier.gpu_fraction_milli = fraction_milli;
  return tier;
}

inline api::Tier llama_tier(const std::string& name, const std::string& file, int64_t context) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::LlamaCpp;
  tier.model.file = file;
  tier.context_length_tokens = context;
  tier.context_length_auto = context == 0;
  return tier;
}

inline api::RopeScaling yarn(int factor, int64_t original) {
  return {.type = "yarn", .factor_milli = factor * 1000, .original_context_length = original};
}

inline void know(planner::PlanInput& input, const std::string& tier, models::ModelFacts facts) {
  input.models[tier].facts = std::move(facts);
}

// The four tiers of Phase 3 as the log has them, on a node of these totals; fractions 0.35 and 0.60 or
// derived.
inline planner::PlanInput four_tiers(int64_t unified_bytes, int64_t gpu_bytes, bool with_fractions) {
  planner::PlanInput input;
  input.spec.nodes = {halo(unified_bytes, gpu_bytes)};
  api::Tier orchestrator =
      vllm_tier("orchestrator", "Qwen/Qwen2.5-14B-Instruct", 65536, with_fractions ? 350 : 0);
  orchestrator.model.rope_scaling = yarn(4, 32768);
  api::Tier coder = vllm_tier("coder", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 49152, with_fractions ? 600 : 0);
  coder.start_after = {"orchestrator"};
  api::Tier reviewer = llama_tier("reviewer", "Llama-3.3-70B-Instruct-Q4_K_M.gguf", 32768);
  reviewer.priority = 10;
  api::Tier utility = llama_tier("utility", "Qwen2.5-3B-Instruct-Q4_K_M.gguf", 8192);
  input.spec.tiers = {orchestrator, coder, reviewer, utility};
  know(input, "orchestrator", known("Qwen2.5-14B-Instruct"));
  know(input, "coder", known("Qwen3-Coder-30B-A3B-Instruct"));
  know(input, "reviewer", gguf("Llama-3.3-70B", 42520395584, 8192, 28672, 128256));
  know(input, "utility", gguf("Qwen2.5-3B-Instruct", 1929902592, 2048, 11008, 151936));
  return input;
}

// 122.2 GiB: what the kernel reports on a machine with 128.
inline const int64_t kernel_bytes = gib_tenths(1222);

}  // namespace strix::test
