#include "models/facts.h"

namespace strix::models {

std::string_view to_string(LayerKind kind) {
  switch (kind) {
    case LayerKind::Full:
      return "full";
    case LayerKind::Sliding:
      return "sliding";
    case LayerKind::Linear:
      return "linear";
    case LayerKind::Latent:
      return "latent";
    case LayerKind::Shared:
      return "shared";
  }
  return "unknown";
}

int64_t growing_elements_per_token(const ModelFacts& facts) {
  int64_t elements = 0;
  for (const LayerFacts& layer : facts.layers) {
    bool grows = layer.kind == LayerKind::Full || layer.kind == LayerKind::Latent;
    if (grows) elements += layer.key_elements + layer.value_elements;
  }
  return elements;
}

}  // namespace strix::models
