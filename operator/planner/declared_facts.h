// Why: what an author writes in model.facts wins over what was read from files or the catalogue.
// May not: fill gaps by guessing.
#pragma once

#include <optional>

#include "api/inference_stack.h"
#include "models/facts.h"

namespace strix::planner {

// `read` (or nothing) with what is declared laid over it. Absent when there is neither.
std::optional<models::ModelFacts> with_declared(std::optional<models::ModelFacts> read,
                                                const api::Model& model);

}  // namespace strix::planner
