// Why: rule 2: what is held plus what is about to be claimed stays within three bounds, per node.
// May not: know pods or stacks; it adds up claims.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "planner/claim.h"

namespace strix::planner {

struct Entry {
  std::string holder;  // "llm/strix-coder": for messages
  Claim claim;
};

struct Totals {
  int gpu_fraction_milli = 0;
  int64_t gpu_bytes = 0;
  int64_t host_bytes = 0;     // known ones
  bool host_complete = true;  // false: some entry's host bytes are unknown
  int64_t all_bytes() const { return gpu_bytes + host_bytes; }
};

enum class Bound { GpuFraction, GpuBytes, Everything };

struct Shortfall {
  Bound bound = Bound::GpuFraction;
  int64_t wanted = 0, held = 0, limit = 0;  // thousandths for GpuFraction, otherwise bytes
  // "coder needs gpuFraction 0.60, but 0.45 of 0.95 is held (llm/strix-orchestrator 0.45): 0.10 short. It
  // fits with gpuFraction 0.50." One sentence with numbers, and one with a way out.
  std::string message;
};

Totals total_of(const std::vector<Entry>& entries);

// The first bound that `claim` of `holder` would break on top of `held`, in the order of Bound; absent when
// it fits. All sums are checked: an overflow is a shortfall.
std::optional<Shortfall> shortfall(const api::NodeProfile& profile, const std::vector<Entry>& held,
                                   const std::string& holder, const Claim& claim);

// The strictest of several stacks' profiles for one node: smallest totals, largest reserve.
api::NodeProfile strictest(const std::vector<api::NodeProfile>& profiles);

}  // namespace strix::planner
