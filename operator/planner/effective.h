// Why: what an engine is really told: the spec may leave context, fraction or cache open, and the plan closes
// them. Engines are rendered from this and not from the spec.
// May not: differ from what the ledger counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/inference_stack.h"

namespace strix::planner {

struct Effective {
  int64_t context_tokens = 0;
  std::optional<int> fraction_milli;       // GPU tiers, and vLLM's CPU build
  std::optional<int64_t> kv_bytes;         // vLLM: pinned; absent: it takes what its fraction leaves
  std::optional<int64_t> rope_theta = {};  // vLLM with ropeScaling: the model's, which the override replaces
  // What the capability table has for this engine, version and target: the spec's own come after, and win.
  std::vector<api::EnvVar> environment = {};
  std::vector<std::string> arguments = {};
  bool operator==(const Effective&) const = default;
};

// Of a tier that nobody planned: the spec's own numbers.
inline Effective declared_effective(const api::Tier& tier) {
  return {.context_tokens = tier.context_length_tokens,
          .fraction_milli = tier.gpu_fraction_milli,
          .kv_bytes = tier.kv_cache_bytes,
          .rope_theta = tier.model.rope_scaling ? tier.model.rope_scaling->theta : std::nullopt};
}

}  // namespace strix::planner
