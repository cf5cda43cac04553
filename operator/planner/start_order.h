// Why: rule 4: which tier comes up when. The order is total and known before any pod exists, so that
// status can say what a tier waits for.
// May not: look at what runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/inference_stack.h"

namespace strix::planner {

struct StartOrder {
  std::vector<std::string> tiers;  // every tier of the spec, first to start first
  // What each tier waits for: its startAfter where given; otherwise every tier before it in the order
  // that sits on the same node (spec.nodes name). Edges only point backwards.
  std::map<std::string, std::vector<std::string>> predecessors;
  std::vector<std::string> cycle;  // the tiers of a startAfter cycle (then `tiers` holds only the others)
};

// GPU tiers first, the smaller footprint first, then CPU tiers; ties as declared. startAfter wins. Footprints
// by tier, where a plan knows them: of what does not depend on the context, so that the order does not
// either; otherwise what is declared.
using FootprintBytes = std::map<std::string, int64_t>;
StartOrder start_order(const api::StackSpec& spec, const FootprintBytes& footprints = {});

// The spec.nodes name that a tier sits on; empty when the spec does not say (invalid).
std::string node_of(const api::StackSpec& spec, const api::Tier& tier);
const api::StackNode* find_node(const api::StackSpec& spec, const std::string& name);

}  // namespace strix::planner
