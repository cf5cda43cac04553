#include "planner/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>

#include "planner/candidate.h"
#include "planner/checked.h"
#include "planner/combination.h"
#include "planner/engine_settings.h"
#include "planner/learned.h"
#include "planner/words.h"

namespace strix::planner {
namespace {

using Candidates = std::vector<Candidate*>;

api::NodeProfile measured_profile(const PlanInput& input, const api::StackNode& node) {
  api::NodeProfile profile = node.profile;
  auto measured = input.measured.find(node.name);
  if (measured == input.measured.end()) return profile;
  profile.unified_memory_bytes = measured->second.unified_memory_bytes.value_or(profile.unified_memory_bytes);
  profile.gpu_memory_bytes = measured->second.gpu_memory_bytes.value_or(profile.gpu_memory_bytes);
  return profile;
}

Finding differs(const std::string& node, const char* what, int64_t declared, int64_t measured) {
  return {
      .code = FindingCode::NodeDiffers,
      .severity = Severity::Warning,
      .tier = {},
      .node = node,
      .message = fmt::format("{} has {} of {}, not the {} that its profile says: the plan counts with what "
                             "was measured. Write {}Mi to make them agree.",
                             node, gib_text(measured), what, gib_text(declared), measured / mib)};
}

// Highest priority first, ties earlier in start order first: who may stay. Keeping each one that still fits
// makes the set of the others the lexicographically smallest, since what fits fits without its neighbour.
Candidates in_keep_order(const Candidates& in_start_order) {
  Candidates all = in_start_order;
  std::stable_sort(all.begin(), all.end(), [](const Candidate* a, const Candidate* b) {
    return a->tier().priority > b->tier().priority;
  });
  return all;
}

class Planner {
 public:
  explicit Planner(const PlanInput& input)
      : input_(input), table_(input.capabilities ? *input.capabilities : built_in_capabilities()) {}

  Plan run() {
    add_nodes();
    add_candidates();
    order_candidates();
    for (const NodePlan& node : plan_.nodes) fill(node);
    refuse();
    for (Candidate* candidate : ordered_) candidate->take_learned(input_.spec, input_.learned);
    for (NodePlan& node : plan_.nodes) add_up(node);
    for (const Candidate* candidate : ordered_) {
      plan_.tiers.push_back(candidate->tier_plan());
      const auto& own = candidate->findings();
      plan_.findings.insert(plan_.findings.end(), own.begin(), own.end());
    }
    plan_.fits = std::all_of(plan_.tiers.begin(), plan_.tiers.end(), [](const TierPlan& tier) {
      return tier.state == TierState::Resident || tier.state == TierState::Off;
    });
    return std::move(plan_);
  }

 private:
  void add_nodes() {
    for (const api::StackNode& node : input_.spec.nodes) {
      NodePlan planned{.name = node.name, .profile = measured_profile(input_, node), .bounds = {}};
      api::NodeProfile& now = planned.profile;
      now.gpu_memory_bytes = least_gpu_bytes(node, now.gpu_memory_bytes);
      if (now.unified_memory_bytes != node.profile.unified_memory_bytes)
        plan_.findings.push_back(
            differs(node.name, "unifiedMemory", node.profile.unified_memory_bytes, now.unified_memory_bytes));
      if (now.gpu_memory_bytes != node.profile.gpu_memory_bytes)
        plan_.findings.push_back(
            differs(node.name, "gpuMemory", node.profile.gpu_memory_bytes, now.gpu_memory_bytes));
      plan_.nodes.push_back(std::move(planned));
    }
  }

  void add_candidates() {
    for (const api::Tier& tier : input_.spec.tiers) {
      const NodePlan* node = plan_.node(node_of(input_.spec, tier));
      auto known = input_.models.find(tier.name);
      KnownModel model = known == input_.models.end() ? KnownModel{} : known->second;
      EngineSetup setup = setup_of(input_.spec, tier, model, table_);
      auto settings = settings_of(table_, setup, input_.constants);
      auto combinations = combination_findings(input_.spec, tier, model, table_, setup);
      candidates_.emplace_back(tier, node, std::move(model), std::move(settings), combinations,
                               gpu_bytes_seen_by(tier));
    }
  }

  std::optional<int64_t> measured_by_engine(const api::Tier& tier) const {
    const api::StackNode* node = find_node(input_.spec, node_of(input_.spec, tier));
    if (!node || tier.effective_accelerator() != api::Accelerator::Gpu) return std::nullopt;
    return measured_gpu_bytes(input_.learned, gpu_inputs(input_.spec, tier, *node));
  }

  int64_t gpu_bytes_seen_by(const api::Tier& tier) const {
    const api::StackNode* node = find_node(input_.spec, node_of(input_.spec, tier));
    if (!node) return 0;
    return measured_by_engine(tier).value_or(measured_profile(input_, *node).gpu_memory_bytes);
  }

  // No more is promised than the engine that sees the least of the GPU's memory can map.
  int64_t least_gpu_bytes(const api::StackNode& node, int64_t most_bytes) const {
    int64_t least = most_bytes;
    for (const api::Tier& tier : input_.spec.tiers)
      if (node_of(input_.spec, tier) == node.name)
        least = std::min(least, measured_by_engine(tier).value_or(least));
    return least;
  }

  void order_candidates() {
    FootprintBytes footprints;
    for (const Candidate& candidate : candidates_)
      if (auto bytes = candidate.bytes_before_cache()) footprints[candidate.tier().name] = *bytes;
    plan_.order = start_order(input_.spec, footprints);
    for (const auto* names : {&plan_.order.tiers, &plan_.order.cycle})
      for (const std::string& name : *names)
        for (Candidate& candidate : candidates_)
          if (candidate.tier().name == name &&
              std::find(ordered_.begin(), ordered_.end(), &candidate) == ordered_.end())
            ordered_.push_back(&candidate);
    for (Candidate* candidate : ordered_) {
      const auto& cycle = plan_.order.cycle;
      if (std::find(cycle.begin(), cycle.end(), candidate->tier().name) != cycle.end())
        candidate->fail_by_cycle(cycle);
    }
  }

  // Who runs on this node, and then what those that take the rest grow to.
  void fill(const NodePlan& node) {
    Candidates resident, queue, before;
    for (Candidate* candidate : ordered_)
      if (candidate->node() == &node && candidate->is(TierState::Resident)) queue.push_back(candidate);
    for (Candidate* candidate : in_keep_order(queue)) {
      if (candidate->lack_beside(entries(resident)))
        candidate->set_state(TierState::Parked);
      else
        resident.push_back(candidate);
    }
    for (Candidate* candidate : resident) candidate->grow_beside(entries(without(resident, candidate)));
    for (Candidate* candidate : in_keep_order(queue)) {
      if (candidate->is(TierState::Parked))
        candidate->explain_parking(before, input_.spec.when_short);
      else
        before.push_back(candidate);
    }
  }

  // A stack that does not fit starts nothing, where its author wants that.
  void refuse() {
    if (input_.spec.when_short != api::WhenShort::Refuse) return;
    std::string parked;
    for (const Candidate* candidate : ordered_)
      if (candidate->is(TierState::Parked)) parked += (parked.empty() ? "" : ", ") + candidate->tier().name;
    if (parked.empty()) return;
    for (Candidate* candidate : ordered_)
      if (candidate->is(TierState::Parked) || candidate->is(TierState::Resident))
        candidate->set_state(TierState::Refused);
    plan_.findings.push_back(
        {.code = FindingCode::Refused,
         .severity = Severity::Error,
         .tier = {},
         .node = {},
         .message =
             fmt::format("not all tiers fit, and memoryPolicy.whenShort is Refuse: nothing is started. "
                         "It fits without {}; with whenShort Park the others would run.",
                         parked)});
  }

  void add_up(NodePlan& node) {
    Candidates resident, wanted;
    for (Candidate* candidate : ordered_) {
      if (candidate->node() != &node) continue;
      bool counts = candidate->is(TierState::Resident) || candidate->is(TierState::Parked) ||
                    candidate->is(TierState::Refused);
      if (candidate->is(TierState::Resident)) resident.push_back(candidate);
      if (counts) wanted.push_back(candidate);
    }
    Totals now = total_of(entries(resident)), all = total_of(entries(wanted));
    const api::NodeProfile& profile = node.profile;
    node.bounds = {BoundPlan{Bound::GpuFraction, profile.max_gpu_fraction_milli, now.gpu_fraction_milli,
                             all.gpu_fraction_milli},
                   BoundPlan{Bound::GpuBytes, profile.gpu_memory_bytes, now.gpu_bytes, all.gpu_bytes},
                   BoundPlan{Bound::Everything, profile.unified_memory_bytes - profile.system_reserve_bytes,
                             now.all_bytes(), all.all_bytes()}};
  }

  static std::vector<Entry> entries(const Candidates& candidates) {
    std::vector<Entry> all;
    for (const Candidate* candidate : candidates) all.push_back({candidate->tier().name, candidate->claim()});
    return all;
  }

  static Candidates without(Candidates candidates, const Candidate* one) {
    candidates.erase(std::remove(candidates.begin(), candidates.end(), one), candidates.end());
    return candidates;
  }

  const PlanInput& input_;
  const CapabilityTable& table_;
  Plan plan_;
  std::list<Candidate> candidates_;
  Candidates ordered_;
};

}  // namespace

std::string_view to_string(TierState state) {
  switch (state) {
    case TierState::Resident:
      return "resident";
    case TierState::Parked:
      return "parked";
    case TierState::Refused:
      return "refused";
    case TierState::Error:
      return "error";
    case TierState::Off:
      return "off";
  }
  return "unknown";
}

const TierPlan* Plan::tier(const std::string& name) const {
  for (const TierPlan& tier : tiers)
    if (tier.name == name) return &tier;
  return nullptr;
}

const NodePlan* Plan::node(const std::string& name) const {
  for (const NodePlan& node : nodes)
    if (node.name == name) return &node;
  return nullptr;
}

Plan plan(const PlanInput& input) {
  return Planner(input).run();
}

api::StackSpec pinned(const api::StackSpec& spec, const Plan& plan) {
  api::StackSpec closed = spec;
  for (api::Tier& tier : closed.tiers) {
    const TierPlan* planned = plan.tier(tier.name);
    if (!planned || !planned->facts_known || !planned->runnable) continue;
    tier.context_length_tokens = planned->effective.context_tokens;
    tier.context_length_auto = false;
    if (tier.gpu_fraction_milli || tier.kv_cache_bytes || tier.engine != api::Engine::Vllm) continue;
    if (planned->effective.kv_bytes)
      tier.kv_cache_bytes = *planned->effective.kv_bytes - planned->footprint.spare_bytes;
    else
      tier.gpu_fraction_milli = planned->effective.fraction_milli;
  }
  return closed;
}

}  // namespace strix::planner
