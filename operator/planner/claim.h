// Why: what one tier holds, or is about to hold, of a node's one pool. It is written on the pod as an
// annotation, so that the ledger can count pods whose stack is gone.
// May not: be a guess: an unknown amount is absent, not zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/inference_stack.h"

namespace strix::planner {

struct Claim {
  bool gpu = false;                   // draws on the GPU's part of the pool
  int gpu_fraction_milli = 0;         // 0 for CPU tiers
  int64_t gpu_bytes = 0;              // ceil(gpuMemory x fraction), as vLLM rounds it
  std::optional<int64_t> host_bytes;  // outside the GPU request: declared as resources.requests.memory
  int64_t known_bytes() const { return gpu_bytes + host_bytes.value_or(0); }  // amounts stay below bytes_most
  bool operator==(const Claim&) const = default;
};

// No amount in a Claim is larger (1 EiB), so that two of them add up without a check. What is declared
// larger is cut to it, which no machine fits.
inline constexpr int64_t bytes_most = int64_t{1} << 60;

// ceil(total x thousandths / 1000), as vLLM rounds its request (vllm/v1/worker/utils.py, request_memory).
int64_t fraction_bytes(int64_t total_bytes, int64_t milli);

// The declared numbers of a tier on a node of this profile. vLLM's CPU build takes its fraction from
// unifiedMemory, so there it counts as host memory.
Claim declared_claim(const api::Tier& tier, const api::NodeProfile& profile);

std::string encode_claim(const Claim& claim);                    // canonical JSON
std::optional<Claim> decode_claim(std::string_view annotation);  // absent when unreadable

}  // namespace strix::planner
