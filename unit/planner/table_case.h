// Why: a stack that asks for exactly what one row of the capability table speaks of, made from the row
// itself, so that a new row is tried without a new test.
// May not: know a row.
#pragma once

#include <algorithm>
#include <string>

#include "cases.h"
#include "planner/combination.h"

namespace strix::test {

// What a pattern matches, and what can be an image: its stars are "x", its {version} is `version`.
inline std::string sample(std::string pattern, const std::string& version = "1.2.3") {
  size_t at = pattern.find("{version}*");
  if (at != std::string::npos) pattern.replace(at + 9, 1, "_x");  // what follows is no part of the version
  at = pattern.find("{version}");
  if (at != std::string::npos) pattern.replace(at, 9, version);
  std::replace(pattern.begin(), pattern.end(), '*', 'x');
  return pattern;
}

// A version within ">=a <b": its lower bound, or one that is older than all.
inline std::string version_within(const planner::VersionRange& range) {
  const std::string& text = range.text();
  size_t lower = text.find(">=");
  if (lower == std::string::npos) return range.any() ? "" : "0.1";
  return text.substr(lower + 2, text.find(' ', lower) - lower - 2);
}

inline std::string image_for(const planner::Scope& where) {
  std::string version = version_within(where.versions);
  if (!where.images.empty()) return sample(where.images.front().text());
  if (version.empty()) return "example/engine:1";
  return where.engine == api::Engine::Vllm ? "vllm/vllm-openai-rocm:v" + version
                                           : "ghcr.io/ggml-org/llama.cpp:server-vulkan-b" + version;
}

struct TableCase {
  api::StackSpec spec;  // one tier
  std::map<std::string, planner::KnownModel> models;
  api::Tier& tier() { return spec.tiers.front(); }
};

inline TableCase case_for(const planner::Scope& where) {
  TableCase made;
  made.spec.nodes = {halo(kernel_bytes, 124 * gib)};
  bool vllm = where.engine == api::Engine::Vllm;
  bool gpu = !where.gfx_targets.empty() || where.accelerator != api::Accelerator::None;
  made.spec.tiers = {vllm ? vllm_tier("tier", "a/b", 4096, 500) : llama_tier("tier", "a.gguf", 4096)};
  made.tier().accelerator = gpu ? api::Accelerator::Gpu : api::Accelerator::None;
  made.tier().image = image_for(where);
  if (!where.gfx_targets.empty()) made.spec.nodes[0].profile.gfx_target = sample(where.gfx_targets.front());
  for (const auto& [name, value] : where.variables)
    made.tier().env.push_back({.name = name, .value = value, .secret_name = {}, .secret_key = {}});
  std::string architecture =
      where.architectures.empty() ? "LlamaForCausalLM" : sample(where.architectures[0]);
  made.models["tier"].facts = safetensors(architecture, layers(2, attention(1, 128)), gib, 8192);
  return made;
}

// `name`: of row.names.
inline TableCase case_for(const planner::CapabilityRow& row, const std::string& name) {
  TableCase made = case_for(row.where);
  using planner::CapabilitySubject;
  if (row.subject == CapabilitySubject::Weights) made.models["tier"].facts->quantization = sample(name);
  if (row.subject == CapabilitySubject::KvCache) made.tier().kv_cache_type = sample(name);
  if (row.subject == CapabilitySubject::Flag) made.tier().extra_args = {sample(name)};
  return made;
}

inline std::vector<planner::CombinationFinding> findings_of(const TableCase& made,
                                                            const planner::CapabilityTable& table) {
  const api::Tier& tier = made.spec.tiers.front();
  const planner::KnownModel& model = made.models.at("tier");
  return planner::combination_findings(made.spec, tier, model, table,
                                       planner::setup_of(made.spec, tier, model, table));
}

}  // namespace strix::test
