// Why: what the arithmetic needs to know of a model, whatever file it was read from: what each layer keeps
// per token and per sequence, and what the weights weigh.
// May not: know an engine, or hold a guess: what no source says is absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace strix::models {

enum class LayerKind {
  Full,     // keeps K and V of every token
  Sliding,  // keeps K and V of a window of tokens
  Linear,   // keeps a constant state per sequence (linear attention, Mamba, short convolution)
  Latent,   // MLA: one latent vector per token, no V
  Shared,   // reads another layer's cache, or has no attention at all: keeps nothing
};
std::string_view to_string(LayerKind kind);

struct LayerFacts {
  LayerKind kind = LayerKind::Full;
  int64_t key_elements = 0;    // per token; for Latent: latent rank + rotary part
  int64_t value_elements = 0;  // per token; 0 for Latent
  int64_t window_tokens = 0;   // Sliding
  // Linear: per sequence. A Full layer may have them too, where attention and Mamba run side by side.
  int64_t convolution_elements = 0, recurrent_elements = 0;
  bool operator==(const LayerFacts&) const = default;
};

enum class WeightFormat { Gguf, Safetensors };

struct ModelFacts {
  std::string architecture;  // as the file spells it: "qwen2", "Qwen2ForCausalLM"
  WeightFormat format = WeightFormat::Gguf;
  std::vector<LayerFacts> layers;
  std::string layers_unknown;            // why there are no layers: "unknown architecture \"foo\""
  std::vector<LayerFacts> draft_layers;  // of multi-token prediction: only with speculation, beyond `layers`
  // What engines accept unasked: the trained length, or what the model's own rope scaling makes of it.
  std::optional<int64_t> context_length_most_tokens;
  std::optional<int64_t> rope_theta;          // base of the rotary angles, where it is one for all layers
  std::optional<int64_t> weight_bytes;        // of all tensors that an engine loads
  std::optional<int64_t> draft_weight_bytes;  // the part of them that only speculation needs
  // GGUF: bytes by tensor type ("Q4_K"), of tensors that a CPU may repack (2-D or by expert, multiplied) and
  // of the rest. Together they are weight_bytes.
  std::map<std::string, int64_t> repackable_bytes_by_type, other_bytes_by_type;
  std::optional<int64_t> parameters;
  // "" for none; config.json's quant_method, with the format where it is only a container
  // ("compressed-tensors/pack-quantized"), or GGUF's file type ("Q4_K_M").
  std::string quantization;
  std::string dtype;         // "bfloat16": of the weights that are not quantised, and of the auto KV cache
  std::optional<int64_t> embedding_length, vocabulary_size, feed_forward_length;
  std::vector<std::string> notes;  // for people: where the files contradict themselves
  std::string source;              // for people: "config.json", "catalogue: Qwen/Qwen2.5-14B-Instruct"
  bool operator==(const ModelFacts&) const = default;
};

// What grows with every token: K and V of the full and latent layers. Sliding and linear layers are bounded.
int64_t growing_elements_per_token(const ModelFacts& facts);

}  // namespace strix::models
