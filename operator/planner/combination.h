// Why: what is known to crash, hang or end at once is refused before a pod exists: by `validate`, by the
// admission path and by the reconciler, each of which asks here and says what is said here.
// May not: guess: where nothing says how the weights are quantised, nothing is refused for it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "api/validate.h"
#include "planner/capability_table.h"
#include "planner/finding.h"
#include "planner/known_model.h"

namespace strix::planner {

struct CombinationFinding {
  FindingCode code = FindingCode::CombinationRefused;
  Severity severity = Severity::Error;
  std::string path;     // of the field that it is about: "spec.tiers[coder].quantization"
  std::string message;  // begins with the tier's name
};

// The engine of a tier as the rows of the table see it.
EngineSetup setup_of(const api::StackSpec& spec, const api::Tier& tier, const KnownModel& model,
                     const CapabilityTable& table);

// How a tier's weights are quantised: "" where they are not; absent: nobody says. From `quantization`, or
// else from the model's files or the catalogue.
std::optional<std::string> quantization_of(const api::Tier& tier, const KnownModel& model);

// `setup` is setup_of() the same.
std::vector<CombinationFinding> combination_findings(const api::StackSpec& spec, const api::Tier& tier,
                                                     const KnownModel& model, const CapabilityTable& table,
                                                     const EngineSetup& setup);

// The errors among them, of every tier that is not Off, in the order of the spec. Empty: nothing is refused.
std::vector<api::FieldError> combination_errors(const api::StackSpec& spec,
                                                const std::map<std::string, KnownModel>& models,
                                                const CapabilityTable& table);
// With what the catalogue knows of the models: as in a cluster.
std::vector<api::FieldError> combination_errors(const api::StackSpec& spec, const CapabilityTable& table);

}  // namespace strix::planner
