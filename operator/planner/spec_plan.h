// Why: in a cluster nobody has read the model's files; what is known of a model then comes from the
// catalogue, with model.facts of the spec laid over it by plan().
// May not: guess: a model that the catalogue does not list has no facts, and a sentence that says so.
#pragma once

#include <map>
#include <string>

#include "api/inference_stack.h"
#include "models/catalogue.h"
#include "planner/plan.h"

namespace strix::planner {

// By tier. A repository's row has its weights too; of a GGUF file the quantisation is not the repository's.
std::map<std::string, KnownModel> known_models(const api::StackSpec& spec,
                                               const models::Catalogue& catalogue);

// The plan of a stack from its spec, the built-in catalogue, a table of capabilities, and what its engines
// said before.
Plan plan_of_spec(const api::StackSpec& spec, const CapabilityTable& capabilities = built_in_capabilities(),
                  const std::vector<api::Learned>& learned = {});

}  // namespace strix::planner
