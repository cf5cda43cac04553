// Why this file exists: what a model costs (weights, KV bytes a token) and how long a context it may
// have decide every number that a product plans with, so the stand-in takes them from the same
// config.json as the product does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "settings.h"

namespace standin {

struct Model {
  std::string architecture = "Qwen2ForCausalLM";
  int64_t layers = 4, kv_heads = 2, head_dim = 64;
  int64_t max_positions = 32768;  // after rope scaling
  int64_t own_positions = 32768;  // as config.json says
  uint64_t weight_bytes = 1ull << 30;
  uint64_t overhead_bytes = 1ull << 30;  // activations and what the runtime itself takes
  int64_t kv_bytes_per_token = 0;

  enum class Problem { kNone, kNotARepository, kNotCached, kUnreadable };
  Problem Load(const Options& options, const Knobs& knobs);
};

}  // namespace standin
