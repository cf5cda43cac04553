// Why: what an engine is really told: the spec may leave context, fraction or cache open, and the plan closes
// them. Engines are rendered from this and not from the spec.
// May not: differ from what the ledger counts.
#pragma once

#include <cstdint>
#include <optional>

#include "api/inference_stack.h"

namespace strix::planner {

struct Effective {
  int64_t context_tokens = 0;
  std::optional<int> fraction_milli;  // GPU tiers, and vLLM's CPU build
  std::optional<int64_t> kv_bytes;    // vLLM: pinned; absent: it takes what its fraction leaves
  bool operator==(const Effective&) const = default;
};

// Of a tier that nobody planned: the spec's own numbers.
inline Effective declared_effective(const api::Tier& tier) {
  return {tier.context_length_tokens, tier.gpu_fraction_milli, tier.kv_cache_bytes};
}

}  // namespace strix::planner
