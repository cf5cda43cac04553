// Why: from the rows that cover a tier's engine to what it is given and counted with.
// May not: decide whether it may run: combination.h does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/inference_stack.h"
#include "planner/capability_table.h"
#include "planner/engine_constants.h"

namespace strix::planner {

struct EngineSettings {
  EngineConstants constants;
  std::vector<api::EnvVar> environment;
  std::vector<std::string> arguments;
};

EngineSettings settings_of(const CapabilityTable& table, const EngineSetup& setup,
                           const EngineConstants& base);

// Whether a row may set it: "pinsKvCache", "spareBlocks", ...
bool is_constant(std::string_view name);

}  // namespace strix::planner
