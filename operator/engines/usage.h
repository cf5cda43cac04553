// Why: what an engine has been used for, out of one reading of its /metrics: what a recommendation rests on.
// May not: add up readings; counters are since the engine's start, and tuning/meter.h takes differences.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "engines/engine.h"

namespace strix::engines {

inline constexpr int64_t unbounded_tokens = std::numeric_limits<int64_t>::max();

// How many requests had at most so many tokens, ascending; the last bucket is unbounded and has them all.
// vLLM's edges are 1-2-5 and end below max_model_len, so they change with it.
struct TokenBucket {
  int64_t tokens_most = 0;
  int64_t requests = 0;
  bool operator==(const TokenBucket&) const = default;
};
inline constexpr size_t buckets_most = 40;

struct Usage {
  Load load;
  std::optional<int> kv_used_milli;  // of the KV cache, 0 to 1000; llama-server does not say
  std::optional<int64_t> preemptions;
  // Completions answered with a 4xx: vLLM counts a request that is too long nowhere else.
  std::optional<int64_t> refused;
  std::optional<int64_t> sequence_tokens_most;  // llama-server: the longest prompt and answer so far
  std::vector<TokenBucket> prompts, answers;    // of requests that have ended; empty: not told
};

// Absent where even the load cannot be told.
std::optional<Usage> read_usage(api::Engine engine, std::string_view metrics_text);

}  // namespace strix::engines
