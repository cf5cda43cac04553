// Why: the model table of the design's research as facts, so that every row is a test vector.
// May not: be read from the built-in catalogue, which these tests must not depend on.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "models/facts.h"

namespace strix::test {

using models::LayerFacts;
using models::LayerKind;

inline LayerFacts attention(int64_t kv_heads, int64_t head_dim) {
  LayerFacts layer;
  layer.key_elements = layer.value_elements = kv_heads * head_dim;
  return layer;
}
inline LayerFacts sliding(int64_t kv_heads, int64_t head_dim, int64_t window) {
  LayerFacts layer = attention(kv_heads, head_dim);
  layer.kind = LayerKind::Sliding;
  layer.window_tokens = window;
  return layer;
}
inline LayerFacts linear(int64_t convolution, int64_t recurrent) {
  LayerFacts layer;
  layer.kind = LayerKind::Linear;
  layer.convolution_elements = convolution;
  layer.recurrent_elements = recurrent;
  return layer;
}
inline LayerFacts latent(int64_t elements) {
  LayerFacts layer;
  layer.kind = LayerKind::Latent;
  layer.key_elements = elements;
  return layer;
}

// `count` layers of one kind, then of the other, as often as both have any left.
inline std::vector<LayerFacts> layers(int64_t count, const LayerFacts& layer, int64_t others = 0,
                                      const LayerFacts& other = {}) {
  std::vector<LayerFacts> all(static_cast<size_t>(count), layer);
  all.insert(all.end(), static_cast<size_t>(others), other);
  return all;
}

inline models::ModelFacts safetensors(const std::string& name, std::vector<LayerFacts> layers,
                                      int64_t weight_bytes, int64_t most_tokens) {
  models::ModelFacts facts;
  facts.architecture = name;
  facts.format = models::WeightFormat::Safetensors;
  facts.layers = std::move(layers);
  facts.weight_bytes = weight_bytes;
  facts.context_length_most_tokens = most_tokens;
  facts.dtype = "bfloat16";
  facts.rope_theta = 1000000;
  facts.source = "model table";
  return facts;
}

inline int64_t gib_tenths(int64_t tenths) {
  return tenths * gib / 10;
}

// Gated delta net of Qwen3-Next and Qwen3.5: keys of 16 heads, values of `value_heads`, all of 128; a
// convolution over 4 tokens keeps the last 3.
inline LayerFacts delta_net(int64_t value_heads) {
  return linear((2 * 16 * 128 + value_heads * 128) * 3, value_heads * 128 * 128);
}

struct KnownRow {
  std::string name;
  models::ModelFacts facts;
  int64_t growing_bytes_per_token;  // BF16, as in the table
};

inline std::vector<KnownRow> model_table() {
  return {
      {"Qwen2.5-14B-Instruct",
       safetensors("Qwen2ForCausalLM", layers(48, attention(8, 128)), 29540067328, 32768), 196608},
      {"Qwen2.5-7B-Instruct",
       safetensors("Qwen2ForCausalLM", layers(28, attention(4, 128)), 15231233024, 32768), 57344},
      {"Qwen2.5-3B-Instruct",
       safetensors("Qwen2ForCausalLM", layers(36, attention(2, 128)), 6171877376, 32768), 36864},
      {"Qwen3-Coder-30B-A3B-Instruct",
       safetensors("Qwen3MoeForCausalLM", layers(48, attention(4, 128)), 61064245248, 262144), 98304},
      {"Qwen3-30B-A3B", safetensors("Qwen3MoeForCausalLM", layers(48, attention(4, 128)), 61064245248, 40960),
       98304},
      {"Qwen3-32B", safetensors("Qwen3ForCausalLM", layers(64, attention(8, 128)), 65524246528, 40960),
       262144},
      {"Llama-3.1-8B", safetensors("LlamaForCausalLM", layers(32, attention(8, 128)), 16060522496, 131072),
       131072},
      {"Llama-3.3-70B", safetensors("LlamaForCausalLM", layers(80, attention(8, 128)), 141107412992, 131072),
       327680},
      {"gpt-oss-120b",
       safetensors("GptOssForCausalLM", layers(18, attention(8, 64), 18, sliding(8, 64, 128)),
                   gib_tenths(608), 131072),
       36864},
      {"gpt-oss-20b",
       safetensors("GptOssForCausalLM", layers(12, attention(8, 64), 12, sliding(8, 64, 128)),
                   gib_tenths(128), 131072),
       24576},
      {"Qwen3.5-35B-A3B",
       safetensors("Qwen3_5MoeForCausalLM", layers(10, attention(2, 256), 30, delta_net(32)), gib_tenths(660),
                   262144),
       20480},
      {"Qwen3.5-27B",
       safetensors("Qwen3_5ForCausalLM", layers(16, attention(4, 256), 48, delta_net(48)), gib_tenths(500),
                   262144),
       65536},
      {"Qwen3.5-122B-A10B",
       safetensors("Qwen3_5MoeForCausalLM", layers(12, attention(2, 256), 36, delta_net(64)),
                   gib_tenths(2270), 262144),
       24576},
      {"Qwen3-Next-80B-A3B",
       safetensors("Qwen3NextForCausalLM", layers(12, attention(2, 256), 36, delta_net(32)), gib_tenths(1490),
                   262144),
       24576},
      {"GLM-4.5-Air",
       safetensors("Glm4MoeForCausalLM", layers(46, attention(8, 128)), gib_tenths(2010), 131072), 188416},
      {"MiniMax-M2.5",
       safetensors("MiniMaxM2ForCausalLM", layers(62, attention(8, 128)), gib_tenths(4260), 196608), 253952},
      {"gemma-4-26B-A4B",
       safetensors("Gemma4ForCausalLM", layers(5, attention(2, 512), 25, sliding(8, 256, 1024)),
                   gib_tenths(480), 262144),
       20480},
      {"gemma-4-31B",
       safetensors("Gemma4ForCausalLM", layers(10, attention(4, 512), 50, sliding(16, 256, 1024)),
                   gib_tenths(580), 262144),
       81920},
      {"DeepSeek-V3", safetensors("DeepseekV3ForCausalLM", layers(61, latent(576)), 1342000000000, 163840),
       70272},
  };
}

inline models::ModelFacts known(const std::string& name) {
  for (const KnownRow& row : model_table())
    if (row.name == name) return row.facts;
  return {};
}

// A GGUF: the same shape, its file's bytes, and what compute and output buffers depend on.
inline models::ModelFacts gguf(const std::string& name, int64_t file_bytes, int64_t embedding,
                               int64_t feed_forward, int64_t vocabulary) {
  models::ModelFacts facts = known(name);
  facts.format = models::WeightFormat::Gguf;
  facts.weight_bytes = file_bytes;
  facts.embedding_length = embedding;
  facts.feed_forward_length = feed_forward;
  facts.vocabulary_size = vocabulary;
  return facts;
}

}  // namespace strix::test
