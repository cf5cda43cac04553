// Why: config.json leaves out what its class in transformers defaults to, and does not say which layers slide
// or recur where the class knows; one row for each model type.
// May not: hold a row that was not looked up there.
#pragma once

#include <cstdint>
#include <string_view>

namespace strix::models {

enum class FamilyRule {
  Full,              // every layer
  WindowOnAll,       // every layer slides where sliding_window is set
  WindowOnUpper,     // with use_sliding_window the layers from max_window_layers on
  Periodic,          // each period-th layer is full
  Chunked,           // the same, in chunks (attention_chunk_size)
  Delta,             // gated delta nets, but for each full_attention_interval-th layer
  Mamba,             // layer_types says which
  NemotronH,         // hybrid_override_pattern or layers_block_type says which
  ShortConvolution,  // layer_types or full_attn_idxs says which
  Latent,            // MLA
};

// Numbers are what the class defaults to; 0 where the file must say.
struct Family {
  std::string_view name;  // model_type
  FamilyRule rule = FamilyRule::Full;
  int64_t period = 0, window = 0;
  int64_t heads = 0, kv_heads = 0;
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  int64_t shared_layers = 0;
  int64_t context = 0;
  int64_t global_head_dim = 0;  // of full layers, where they differ
  bool tied = false;            // tie_word_embeddings
};

const Family* config_family(std::string_view model_type);  // null when unknown

}  // namespace strix::models
