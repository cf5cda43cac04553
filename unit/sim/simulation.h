// Why: one run from a plan to its end: the world, the replicas that elect a leader among them, what befalls
// them, and then calm, in which everything has to settle and stay so.
// May not: keep anything for the next run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/plan.h"
#include "sim/rules.h"

namespace strix::sim {

struct Outcome {
  std::optional<Violation> broken;
  int64_t passes = 0, writes = 0, steps = 0, virtual_millis = 0;
  std::vector<std::string> story;  // where it was to be told
};

Outcome run(const Plan& plan, Defect defect, bool told);

}  // namespace strix::sim
