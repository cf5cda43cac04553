// Why: what one tier takes of the pool, part by part, so that a sentence can say which part is too big.
// May not: decide whether it fits.
#pragma once

#include <cstdint>
#include <optional>

#include "api/inference_stack.h"
#include "models/facts.h"
#include "planner/engine_constants.h"
#include "planner/kv.h"

namespace strix::planner {

// A tier whose model is known, and the device that it sits on.
struct Subject {
  const api::Tier& tier;
  const models::ModelFacts& facts;
  const models::ModelFacts* draft = nullptr;  // facts of speculative.model
  const EngineConstants& constants;
  int64_t device_bytes = 0;  // what a fraction is a share of: gpuMemory, or unifiedMemory on the CPU

  bool on_gpu() const { return tier.effective_accelerator() == api::Accelerator::Gpu; }
  bool is_vllm() const { return tier.engine == api::Engine::Vllm; }
};

struct Footprint {
  int64_t weight_bytes = 0, draft_weight_bytes = 0;
  int64_t engine_bytes = 0;  // vLLM's own, inside its request
  int64_t kv_bytes = 0;      // of the draft model too
  int64_t spare_bytes = 0;   // blocks of the cache that vLLM keeps empty
  int64_t compute_bytes = 0, output_bytes = 0;
  int64_t graph_bytes = 0;         // beside the request
  int64_t repacked_bytes = 0;      // a second copy of the weights, in another layout
  int64_t prompt_cache_bytes = 0;  // --cache-ram
  int64_t checkpoint_bytes = 0;    // --ctx-checkpoints, of all slots
  int64_t host_bytes = 0;          // of the engine's processes

  // What a fraction has to cover: all of it with llama.cpp but what lies in host memory.
  int64_t request_bytes() const {
    return weight_bytes + draft_weight_bytes + engine_bytes + kv_bytes + spare_bytes + compute_bytes;
  }
  int64_t beside_bytes() const {
    return output_bytes + repacked_bytes + prompt_cache_bytes + checkpoint_bytes + host_bytes;
  }
  int64_t all_bytes() const { return request_bytes() + graph_bytes + beside_bytes(); }
  bool operator==(const Footprint&) const = default;
};

// The shape of the tier's cache; absent when its kvCacheType is none that we know.
std::optional<KvShape> kv_shape(const Subject& subject, int64_t context_tokens);

struct CacheBytes {
  int64_t kv_bytes = 0, block_bytes = 0, checkpoint_bytes = 0;  // the last two: as in KvBytes
};

// Cache of the model and of its draft model: for one sequence of full length with vLLM, for all slots with
// llama.cpp. Absent as in kv_bytes.
std::optional<CacheBytes> cache_bytes(const Subject& subject, int64_t context_tokens);

// Absent: weights are unknown, the cache cannot be computed, or a sum leaves the range of a Claim.
std::optional<Footprint> footprint(const Subject& subject, int64_t context_tokens);

// What extraArgs give one of these flags ("--block-size"), as "--flag 32" or "--flag=32"; the last one
// counts, as for the engine. argument_number: absent, too, where that is no number above 0.
std::optional<std::string_view> argument_text(const api::Tier& tier,
                                              std::initializer_list<std::string_view> flags);
std::optional<int64_t> argument_number(const api::Tier& tier, std::initializer_list<std::string_view> flags);
bool has_argument(const api::Tier& tier, std::initializer_list<std::string_view> flags);

}  // namespace strix::planner
