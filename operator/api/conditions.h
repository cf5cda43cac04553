// Why: the rules for conditions, kept once: lastTransitionTime moves only when the status value changes.
// May not: decide what a condition says.
#pragma once

#include <vector>

#include "api/inference_stack.h"

namespace strix::api {

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type);

// `wanted` replaces `current`; each condition keeps its lastTransitionTime where its status is unchanged.
std::vector<Condition> merge_conditions(const std::vector<Condition>& current, std::vector<Condition> wanted,
                                        WallMillis now);

}  // namespace strix::api
