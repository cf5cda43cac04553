#include "planner/start_order.h"

#include <algorithm>
#include <set>

#include "planner/claim.h"

namespace strix::planner {
namespace {

using Names = std::set<std::string>;

const api::Tier* find_tier(const std::vector<const api::Tier*>& tiers, const std::string& name) {
  for (const api::Tier* tier : tiers)
    if (tier->name == name) return tier;
  return nullptr;
}

// What the default order sorts by: GPU tiers by footprint, then CPU tiers as declared. The small one first,
// since vLLM charges itself with whatever its neighbours do while it profiles: the less is in flight the
// better.
struct Rank {
  bool cpu = false;
  int64_t footprint_bytes = 0;
  auto operator<=>(const Rank&) const = default;
};

Rank rank_of(const api::StackSpec& spec, const api::Tier& tier, const FootprintBytes& footprints) {
  if (tier.effective_accelerator() == api::Accelerator::None) return {.cpu = true, .footprint_bytes = 0};
  if (auto known = footprints.find(tier.name); known != footprints.end())
    return {.cpu = false, .footprint_bytes = known->second};
  const api::StackNode* node = find_node(spec, node_of(spec, tier));
  return {.cpu = false,
          .footprint_bytes = declared_claim(tier, node ? node->profile : api::NodeProfile{}).known_bytes()};
}

// In default order; a name that is there twice (which the API server refuses) counts once.
std::vector<const api::Tier*> by_rank(const api::StackSpec& spec, const FootprintBytes& footprints) {
  std::vector<std::pair<Rank, const api::Tier*>> ranked;
  Names seen;
  for (const api::Tier& tier : spec.tiers)
    if (seen.insert(tier.name).second) ranked.emplace_back(rank_of(spec, tier, footprints), &tier);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const api::Tier*> tiers;
  for (const auto& [rank, tier] : ranked) tiers.push_back(tier);
  return tiers;
}

// The first thing in startAfter that is a tier and has not been placed. Unknown names wait for nobody.
const api::Tier* unmet(const api::Tier& tier, const std::vector<const api::Tier*>& left) {
  for (const std::string& name : tier.start_after)
    if (const api::Tier* before = find_tier(left, name)) return before;
  return nullptr;
}

// From a tier that cannot be placed, along what it waits for, until a name comes twice.
std::vector<const api::Tier*> cycle_from(const std::vector<const api::Tier*>& left) {
  std::vector<const api::Tier*> path;
  for (const api::Tier* tier = left.front(); tier; tier = unmet(*tier, left)) {
    auto again = std::find(path.begin(), path.end(), tier);
    if (again != path.end()) return {again, path.end()};
    path.push_back(tier);
  }
  return path;
}

std::vector<std::string> predecessors_of(const api::StackSpec& spec, const api::Tier& tier,
                                         const std::vector<const api::Tier*>& placed) {
  std::vector<std::string> predecessors;
  for (const api::Tier* before : placed) {
    const auto& after = tier.start_after;
    bool waits = after.empty() ? node_of(spec, *before) == node_of(spec, tier)
                               : std::find(after.begin(), after.end(), before->name) != after.end();
    // A tier that is off never serves: waiting for it would be for ever.
    if (waits && before->activation != api::Activation::Off) predecessors.push_back(before->name);
  }
  return predecessors;
}

}  // namespace

StartOrder start_order(const api::StackSpec& spec, const FootprintBytes& footprints) {
  StartOrder order;
  std::vector<const api::Tier*> left = by_rank(spec, footprints), placed;
  while (!left.empty()) {
    auto ready = std::find_if(left.begin(), left.end(), [&](auto* tier) { return !unmet(*tier, left); });
    if (ready == left.end()) {
      for (const api::Tier* tier : cycle_from(left)) {
        order.cycle.push_back(tier->name);
        left.erase(std::find(left.begin(), left.end(), tier));
      }
      continue;
    }
    const api::Tier& tier = **ready;
    order.tiers.push_back(tier.name);
    order.predecessors[tier.name] = predecessors_of(spec, tier, placed);
    placed.push_back(&tier);
    left.erase(ready);
  }
  return order;
}

std::string node_of(const api::StackSpec& spec, const api::Tier& tier) {
  if (!tier.node.empty()) return find_node(spec, tier.node) ? tier.node : std::string();
  return spec.nodes.size() == 1 ? spec.nodes.front().name : std::string();
}

const api::StackNode* find_node(const api::StackSpec& spec, const std::string& name) {
  for (const api::StackNode& node : spec.nodes)
    if (node.name == name) return &node;
  return nullptr;
}

}  // namespace strix::planner
