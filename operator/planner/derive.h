// Why: from what the spec of one tier says, and the facts of its model, to what it is told and what it holds.
// The author may give context, fraction, cache, or leave them open.
// May not: look at other tiers.
#pragma once

#include <cstdint>
#include <optional>

#include "planner/claim.h"
#include "planner/effective.h"
#include "planner/finding.h"
#include "planner/footprint.h"

namespace strix::planner {

inline constexpr int64_t context_grid_tokens = 1024;
inline constexpr int fraction_grid_milli = 10;
// What a tier with contextLength auto and no memory setting is worth keeping for: the least that it is
// planned with before it grows into what is left.
inline constexpr int64_t least_useful_context_tokens = 8192;

struct Figures {
  Effective effective;
  Footprint footprint;  // at the effective context
  Claim claim;
  // What the cache that it is given could hold at most, for one request.
  int64_t largest_context_tokens = 0;
  int64_t concurrency_hundredths = 0;  // sequences of full length at once
  int64_t kv_tokens = 0;               // all of those together; 0: not known
  std::optional<Finding> error;        // it cannot run by its own numbers; tier is set, node is not
};

// The most tokens that the model may be asked for: its own maximum, or what ropeScaling makes of it. Absent:
// nobody says.
std::optional<int64_t> most_context_tokens(const api::Tier& tier, const models::ModelFacts& facts);

// Whether the tier takes what is left: contextLength auto, and neither fraction nor kvCache.
bool grows_into_the_rest(const api::Tier& tier);

// `context_tokens` stands for "auto" where the tier grows into the rest; absent: the least useful one.
Figures derive(const Subject& subject, std::optional<int64_t> context_tokens);

// The same tier with a smaller context and all the memory that it had.
Figures at_smaller_context(const Subject& subject, Figures figures, int64_t context_tokens);

// The smallest fraction on the grid whose request is at least so many bytes. Absent: more than all of it.
std::optional<int> smallest_fraction_milli(int64_t device_bytes, int64_t request_bytes);

// The tier's numbers where its model is unknown: what is declared, and an error where that is not enough.
Figures declared_figures(const api::Tier& tier, const api::NodeProfile& profile);

}  // namespace strix::planner
