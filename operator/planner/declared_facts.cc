#include "planner/declared_facts.h"

#include <algorithm>

#include "planner/checked.h"

namespace strix::planner {
namespace {

std::vector<models::LayerFacts> layers_of(const api::DeclaredFacts& declared) {
  int64_t elements =
      (Checked(declared.kv_heads.value_or(0)) * declared.head_dim.value_or(0)).value().value_or(0);
  constexpr int64_t layers_most = 4096;  // validate() says so to the author; here it bounds the loop
  int64_t count = std::clamp<int64_t>(declared.layers.value_or(0), 0, layers_most);
  std::vector<models::LayerFacts> layers(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    models::LayerFacts& layer = layers[static_cast<size_t>(i)];
    layer.key_elements = layer.value_elements = elements;
    if (i >= declared.sliding_layers.value_or(0)) continue;
    layer.kind = models::LayerKind::Sliding;
    layer.window_tokens = declared.sliding_window_tokens.value_or(0);
  }
  return layers;
}

}  // namespace

std::optional<models::ModelFacts> with_declared(std::optional<models::ModelFacts> read,
                                                const api::Model& model) {
  if (!model.facts) return read;
  const api::DeclaredFacts& declared = *model.facts;
  models::ModelFacts facts = read.value_or(models::ModelFacts{});
  if (!read) {
    facts.format = model.file.empty() ? models::WeightFormat::Safetensors : models::WeightFormat::Gguf;
    facts.layers_unknown = "model.facts gives no layers";
  }
  if (declared.layers && declared.kv_heads && declared.head_dim) {
    facts.layers = layers_of(declared);
    facts.layers_unknown.clear();
  }
  if (declared.weight_bytes) {
    // They are what the author says that is loaded, whatever type the read ones were stored in.
    facts.weight_bytes = declared.weight_bytes;
    facts.dtype.clear();
  }
  if (declared.context_length_tokens) facts.context_length_most_tokens = declared.context_length_tokens;
  facts.source = read ? "model.facts over " + facts.source : "model.facts";
  return facts;
}

}  // namespace strix::planner
