// Why: GGUF metadata does not say which layers slide, recur or share; llama.cpp knows it by the
// architecture's name. One row for each, as llama.cpp's src/models/<name>.cpp reads it.
// May not: hold a row that was not looked up there.
#pragma once

#include <cstdint>
#include <string_view>

namespace strix::models {

// Which layers keep what.
enum class LayerRule {
  Attention,           // all have K and V; head_count_kv of 0 keeps nothing
  Recurrent,           // all keep a state
  RecurrentWithoutKv,  // where head_count_kv is 0
  RecurrentListed,     // attention.recurrent_layers, or all but every full_attention_interval-th
  Both,                // all have attention and a state
  NemotronH,           // where head_count_kv is 0: a state, or only a feed-forward network
  NoCache,             // encoders and diffusion: nothing
};

// What a recurrent layer keeps, in elements per sequence.
enum class StateRule {
  None,
  Mamba,             // ssm.*; also gated delta nets (Qwen3-Next, Qwen3.5)
  ShortConvolution,  // shortconv.l_cache
  Kda,               // kda.head_dim
  LinearAttention,   // a square of the head for each head
  Rwkv,              // wkv.head_size
};

enum class WindowRule {
  None,       // also where llama.cpp reads a window and ignores it (phi3)
  IfPresent,  // attention.sliding_window, where it is above 0
  Required,
  Listed,        // required, with an array of booleans, one per layer
  UnlessZero,    // llama4: `window` unless the file says 0
  Only64Layers,  // exaone4: `window` or what the file says, in the model of 64 layers
  AllAttention,  // lfm2: where it is present, every layer that has attention
};

struct Architecture {
  std::string_view name;
  LayerRule layers = LayerRule::Attention;
  StateRule state = StateRule::None;
  WindowRule window_rule = WindowRule::None;
  int64_t period = 0;         // each period-th layer is full, unless sliding_window_pattern says otherwise
  bool full_first = false;    // the first of each period, not the last
  int64_t window = 0;         // tokens, where the file does not say
  bool window_fixed = false;  // the file's number does not count
  int64_t interval = 4;       // RecurrentListed: the default of full_attention_interval
  bool latent = false;        // MLA, where the file has key_length_mla and value_length_mla
  int64_t layers_with_cache = 0;  // gemma3n: the others share
};

const Architecture* gguf_architecture(std::string_view name);  // null when unknown

// Why the file is no model that can be served alone ("a vision projector"); empty for others.
std::string_view not_a_model(std::string_view architecture, std::string_view general_type);

}  // namespace strix::models
