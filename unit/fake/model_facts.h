// Why: several tests need a model whose cache is easy to reckon with: 131,072 bytes a token, in 8 GiB of
// weights.
// May not: say anything of a real one.
#pragma once

#include "api/inference_stack.h"
#include "base/bytes.h"

namespace strix::fake {

// 32 layers, 8 heads of 128, trained for that context.
inline api::DeclaredFacts model_facts(int64_t context_tokens) {
  api::DeclaredFacts facts;
  facts.layers = 32;
  facts.kv_heads = 8;
  facts.head_dim = 128;
  facts.weight_bytes = 8 * gib;
  facts.context_length_tokens = context_tokens;
  return facts;
}

}  // namespace strix::fake
