// Why: what the engine keeps per token and per sequence, layer by layer, as the engine itself rounds it: for
// llama.cpp it equals what llama-server prints.
// May not: know tiers or nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "api/inference_stack.h"
#include "models/facts.h"
#include "planner/engine_constants.h"

namespace strix::planner {

// How elements are stored: blocks of so many elements in so many bytes.
struct CacheType {
  int64_t block_elements = 1, block_bytes = 2;
  // vLLM's per-token-head kinds: a float32 scale beside each head's elements. The facts do not say how many
  // heads there are; 64 elements is the smallest head that these kinds are built for, so this is the most.
  bool scaled = false;
  bool operator==(const CacheType&) const = default;
};

// By the engine's own name for it; "" and "auto" are the engine's default for a model of this dtype. Absent:
// not a type that we know the size of.
std::optional<CacheType> cache_type(api::Engine engine, std::string_view name, std::string_view model_dtype);

struct KvShape {
  api::Engine engine = api::Engine::Vllm;
  int64_t context_tokens = 0;  // vLLM: of one sequence; llama.cpp: of all slots together
  int64_t sequences = 1;       // vLLM: of full length at once; llama.cpp: slots
  CacheType key, value;
  int64_t state_element_bytes = 2;  // vLLM: of convolution states; llama.cpp keeps all states in float32
  int64_t recurrent_element_bytes = 4;
  int64_t draft_tokens = 0;  // speculation by the model's own layers
  // vLLM
  int64_t block_tokens = 16, batch_tokens = 8192;
  bool prefix_cached_states = false;  // keeps a state for the prefix beside the current one
  // llama.cpp
  bool unified = true;    // --kv-unified: one pool of cells for all slots
  bool swa_full = false;  // --swa-full: sliding layers keep all
  int64_t micro_batch_tokens = 512;
};

struct KvBytes {
  int64_t growing_bytes = 0;  // of full and latent layers
  int64_t window_bytes = 0;   // of sliding layers
  int64_t state_bytes = 0;    // of linear layers
  // The sum, and what vLLM adds where it groups layers of several kinds into pages of one size.
  int64_t total_bytes = 0;
  int64_t block_bytes = 0;       // vLLM: of one block, over all layers that share it
  int64_t checkpoint_bytes = 0;  // llama.cpp: of one checkpoint of one slot, beside the cache
};

// Absent: it leaves 64 bits, or a row of the cache is not whole blocks of its type (llama.cpp refuses that).
std::optional<KvBytes> kv_bytes(const models::ModelFacts& facts, const KvShape& shape);

// What one more token costs, ignoring pages; in bytes, rounded up.
int64_t growing_bytes_per_token(const models::ModelFacts& facts, const KvShape& shape);

}  // namespace strix::planner
