// Why: what was found out about the model of one tier, before the spec is laid over it.
// May not: hold a guess.
#pragma once

#include <optional>
#include <string>

#include "models/facts.h"

namespace strix::planner {

// model.facts of the spec is laid over it by plan().
struct KnownModel {
  std::optional<models::ModelFacts> facts;
  std::optional<models::ModelFacts> draft;  // of speculative.model
  std::string missing;  // why there are none: "not in the catalogue, and no file was read"
};

}  // namespace strix::planner
