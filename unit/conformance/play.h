// Why: plays one sequence to both servers, step by step, and says where they first differ: in an answer, or
// in what there is afterwards.
// May not: know which side is right.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "conformance/script.h"
#include "conformance/side.h"

namespace strix::conformance {

struct Difference {
  size_t step = 0;
  std::string what;  // both answers, or both sides' view of what differs
};

// How often each request was answered how, over all sequences: "AdmitPod: Conflict".
using Tally = std::map<std::string, int64_t>;

struct Patience {
  int64_t millis = 20'000;  // for a collector that acts by itself
};

// Errors: of a side that cannot be read.
Result<std::optional<Difference>> play(const std::vector<Step>& steps, Side& left, Side& right,
                                       Patience patience, Tally& tally);

// Leaves out what the first difference does not need.
Result<std::vector<Step>> shrink(std::vector<Step> steps, Side& left, Side& right, Patience patience);

}  // namespace strix::conformance
