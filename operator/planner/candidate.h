// Why: one tier on its way through the plan: what it would hold, whether that fits beside others, and what to
// say when it does not.
// May not: be used outside plan.cc; it points into the input of one plan.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/combination.h"
#include "planner/engine_settings.h"
#include "planner/plan.h"

namespace strix::planner {

class Candidate {
 public:
  // `node` is null where the spec does not say on which one it sits. `gpu_bytes`: the GPU memory that its own
  // engine sees there.
  Candidate(const api::Tier& tier, const NodePlan* node, KnownModel known, EngineSettings settings,
            const std::vector<CombinationFinding>& combinations, int64_t gpu_bytes);
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  const api::Tier& tier() const { return tier_; }
  const NodePlan* node() const { return node_; }
  const Claim& claim() const { return figures_.claim; }
  bool is(TierState state) const { return state_ == state; }
  void set_state(TierState state) { state_ = state; }
  const std::vector<Finding>& findings() const { return findings_; }

  // What it holds but for its cache; absent where that is unknown.
  std::optional<int64_t> bytes_before_cache() const;
  void fail_by_cycle(const std::vector<std::string>& cycle);

  // The bound that breaks with it on top of others.
  std::optional<Shortfall> lack_beside(const std::vector<Entry>& others) const;
  // Takes the largest context that still fits, where the author left both context and memory open.
  void grow_beside(const std::vector<Entry>& others);
  // A context that its engine is known to refuse is not asked for again. What it holds stays: the estimate
  // was for that.
  void take_learned(const api::StackSpec& spec, const std::vector<api::Learned>& learned);
  // `before` in keep order: those that stay because they come first. What stays since this one goes is no
  // reason for its going.
  void explain_parking(const std::vector<Candidate*>& before, api::WhenShort when_short);

  TierPlan tier_plan() const;

 private:
  void read_facts();
  void take_combinations(const std::vector<CombinationFinding>& combinations);
  void compute();
  void check_alone();
  void fail(FindingCode code, std::string message);
  void note(FindingCode code, Severity severity, std::string message);
  Subject subject(const api::Tier& tier) const;
  int64_t device_bytes() const;  // what a fraction is a share of
  int64_t share_bytes() const;   // what its fraction comes to
  // The same tier with another context and with what that needs derived.
  Figures at_context(int64_t context_tokens) const;
  std::string needs_text(Bound bound) const;
  std::string lack_text(const Shortfall& lack, const std::vector<Entry>& others) const;
  std::string smaller_way_out(const std::vector<Entry>& others) const;
  std::string smaller_fraction_way_out(const std::vector<Entry>& others) const;

  const api::Tier& tier_;
  const NodePlan* node_;
  KnownModel known_;
  EngineSettings settings_;
  api::NodeProfile profile_;  // of the node, with the GPU memory that its own engine sees
  bool facts_known_ = false, runnable_ = true;
  TierState state_ = TierState::Resident;
  Figures figures_;
  std::string context_inputs_, engine_inputs_;
  api::Learned learned_;  // what of it holds
  std::vector<Finding> findings_;
};

}  // namespace strix::planner
