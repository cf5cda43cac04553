// Why: from what a tier was used for to the settings that would suit that better: a context that requests
// really need, a cache that is neither short nor mostly empty. A recommendation is on the planner's grid, is
// one that the planner admits beside the other tiers, and says what was seen.
// May not: change a spec, or recommend a change that brings nothing: each is a restart.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "api/inference_stack.h"
#include "planner/plan.h"
#include "tuning/history.h"

namespace strix::tuning {

struct Case {
  const api::StackSpec& spec;
  const api::Tier& tier;
  const planner::Plan& plan;  // of `spec`
  // As `plan` was made: with what is known of models and nodes.
  std::function<planner::Plan(const api::StackSpec&)> plan_of;
  int64_t kv_tokens = 0;  // read back from the engine; 0: as planned
  Seen seen;
};

enum class Finding {
  Observing,  // too little was seen to say
  Unknown,    // nothing is known of its model to compute with
  Suits,      // what is set suits what was seen
  Recommends,
  NoRoom,  // more would be better, and the planner admits no more
};

struct Advice {
  Finding finding = Finding::Observing;
  api::Recommended recommended;  // of Recommends; `since` is not set
  std::string message;           // of NoRoom: what was seen, and why it stays
};

// Of a tier that the plan has running.
Advice advise(const Case& subject);

// How long is observed before anything is said, and how long a recommendation stands before it is replaced:
// a quarter of the window, an hour at least.
int64_t dwell_millis(int64_t window_millis);

// `fresh` as it is told: a recommendation is replaced or withdrawn when it has stood for its time, and only
// by one that differs in more than a step. `last`: what status says; `now`: for `since`.
Advice settled(const std::optional<api::Recommended>& last, Advice fresh, int64_t window_millis,
               WallMillis now);

// --- when something is worth saying ------------------------------------------------------------------------

inline constexpr int64_t requests_least = 20;     // that say how long requests are
inline constexpr int64_t preemptions_least = 10;  // in two intervals at least; fewer are a coincidence
inline constexpr int64_t refusals_least = 3;      // the same
inline constexpr int64_t intervals_least = 2;
// A request came to so much of the context: those that were refused were longer.
inline constexpr int near_limit_milli = 750;
inline constexpr int at_limit_milli = 950;  // llama-server tells the longest exactly, and no refusals
// What is recommended over what was seen.
inline constexpr int margin_milli = 1250;
// A smaller context is worth a restart when it is so much smaller and frees so much.
inline constexpr int shrink_milli = 750;
inline constexpr int64_t freed_bytes_least = int64_t{512} << 20;
inline constexpr int fraction_step_milli = 20;  // one less than this is left alone
inline constexpr int64_t kv_cache_grid_bytes = int64_t{256} << 20;

}  // namespace strix::tuning
