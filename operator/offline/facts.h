// Why: offline, what is known of nodes and models comes from files that the user names.
// May not: fail for a model that is not there: the catalogue may know it.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "planner/plan.h"

namespace strix::offline {

// Documents of {name, unifiedMemory, gpuMemory}: what was measured of an entry of spec.nodes. Errors: those
// of reading, and Invalid with file, line and field.
Result<std::map<std::string, planner::Measured>> read_node_facts(const std::string& file);

// The built-in table behind the rows of a file; of no file where the name is empty. Errors: those of reading,
// and Invalid with file, line, row and field.
Result<planner::CapabilityTable> read_capabilities(const std::string& file);

// Lays what the files in `folder` say over `known`, tier by tier. Errors: a model that is there and cannot be
// read.
Status read_models(const api::StackSpec& spec, const std::string& folder,
                   std::map<std::string, planner::KnownModel>& known);

}  // namespace strix::offline
