// Why: from a GGUF's metadata to what each layer keeps, counted as llama.cpp counts it.
// May not: guess: an architecture without a row in gguf_architecture.cc has weights and no layers.
#pragma once

#include "base/result.h"
#include "models/facts.h"
#include "models/gguf.h"

namespace strix::models {

// Errors: Invalid, with the key that is missing or makes no sense, and for files that are no model.
Result<ModelFacts> facts_of_gguf(const Gguf& gguf);

}  // namespace strix::models
