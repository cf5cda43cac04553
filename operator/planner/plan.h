// Why: before any pod exists it is known what each tier will hold, whether all fit the one pool, in which
// bound they fail, by how much, and what would fit instead.
// May not: read files or the cluster, or change what the author wrote: pinned() only says what it came to.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "planner/capability_table.h"
#include "planner/derive.h"
#include "planner/engine_constants.h"
#include "planner/finding.h"
#include "planner/known_model.h"
#include "planner/ledger.h"
#include "planner/start_order.h"

namespace strix::planner {

// What was measured of a node; it wins over what the profile declares.
struct Measured {
  std::optional<int64_t> unified_memory_bytes;  // what the kernel reports, plus the carve-out
  std::optional<int64_t> gpu_memory_bytes;      // what the engine saw as the device's total
};

struct PlanInput {
  api::StackSpec spec;
  std::map<std::string, KnownModel> models;       // by tier
  std::map<std::string, Measured> measured;       // by entry of spec.nodes
  EngineConstants constants;                      // where the table does not say otherwise
  const CapabilityTable* capabilities = nullptr;  // null: the built-in one
  std::vector<api::Learned> learned;              // status.learned
};

enum class TierState {
  Resident,  // should run
  Parked,    // fits by itself, not beside those that come first
  Refused,   // the stack does not fit, and whenShort is Refuse
  Error,     // cannot run by its own numbers
  Off,       // activation: Off; computed as if alone, counted nowhere
};
std::string_view to_string(TierState state);

struct TierPlan {
  std::string name, node;
  api::Engine engine = api::Engine::Vllm;
  bool on_gpu = false;
  int priority = 50;
  TierState state = TierState::Resident;
  bool facts_known = false;  // false: nothing below but what is declared
  bool runnable = true;      // false: an error of its own, also where it is Off
  std::string facts_source;
  std::optional<int64_t> most_context_tokens;  // of the model
  int64_t growing_bytes_per_token = 0;
  Effective effective;
  Footprint footprint;
  Claim claim;
  int64_t largest_context_tokens = 0;
  int64_t concurrency_hundredths = 0;  // vLLM: sequences of full length at once
  // What its cache holds, counted in sequences of full length; 0: not known, or left to the engine.
  int64_t kv_tokens = 0;
  int64_t gpu_total_bytes = 0;                // that its engine is counted to see
  int64_t share_bytes = 0;                    // what its fraction comes to
  std::string context_inputs, engine_inputs;  // as learned.h has them
  api::Learned learned;                       // what it was planned with, since it still holds
  bool operator==(const TierPlan&) const = default;
};

struct BoundPlan {
  Bound bound = Bound::GpuFraction;
  int64_t limit = 0;
  int64_t resident = 0;  // of the tiers that should run
  int64_t wanted = 0;    // of those and of the ones that do not fit beside them
  bool operator==(const BoundPlan&) const = default;
};

struct NodePlan {
  std::string name;
  api::NodeProfile profile;  // as measured where that is known
  std::array<BoundPlan, 3> bounds;
  bool operator==(const NodePlan&) const = default;
};

struct Plan {
  std::vector<TierPlan> tiers;  // in start order
  StartOrder order;
  std::vector<NodePlan> nodes;  // as in the spec
  std::vector<Finding> findings;
  bool fits = false;  // every tier that is not Off should run

  const TierPlan* tier(const std::string& name) const;
  const NodePlan* node(const std::string& name) const;
};

Plan plan(const PlanInput& input);

// The spec with everything that was left open closed by what the plan made of it. Its plan is the same.
api::StackSpec pinned(const api::StackSpec& spec, const Plan& plan);

}  // namespace strix::planner
