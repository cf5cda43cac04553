// Why: from a hub repository's config.json to what each layer keeps, counted as vLLM counts it.
// May not: guess: a model type without a row in config_family.cc has no layers, and says so.
#pragma once

#include <string_view>

#include "base/result.h"
#include "models/facts.h"

namespace strix::models {

struct ConfigJson {
  ModelFacts facts;          // without weights
  bool ties_output = false;  // the output matrix is the token table: lm_head is not loaded
};

// Errors: Invalid, with the field that is missing or makes no sense.
Result<ConfigJson> read_config_json(std::string_view text);

}  // namespace strix::models
