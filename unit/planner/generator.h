// Why: seeded random stacks and claims for property tests; the seed is printed where one fails.
// May not: use std::uniform_int_distribution, whose numbers differ between libraries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "base/bytes.h"
#include "planner/claim.h"

namespace strix::test {

class Generator {
 public:
  explicit Generator(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}

  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  int64_t between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return between(1, 100) <= percent; }

  api::NodeProfile profile() {
    api::NodeProfile profile;
    profile.gfx_target = "gfx1151";
    profile.unified_memory_bytes = between(1, 130 * gib);
    profile.gpu_memory_bytes = between(1, profile.unified_memory_bytes);
    profile.system_reserve_bytes = between(0, 8 * gib);
    profile.max_gpu_fraction_milli = static_cast<int>(between(10, 1000));
    return profile;
  }

  // Mostly sane; now and then of a size that sums overflow with.
  planner::Claim claim(const api::NodeProfile& profile) {
    planner::Claim claim;
    bool huge = chance(2);
    if (chance(60)) {
      claim.gpu = true;
      claim.gpu_fraction_milli = static_cast<int>(between(1, 600));
      claim.gpu_bytes = planner::fraction_bytes(profile.gpu_memory_bytes, claim.gpu_fraction_milli);
      if (huge) claim.gpu_bytes = planner::bytes_most;
    }
    if (chance(70)) claim.host_bytes = huge ? planner::bytes_most : between(0, 60 * gib);
    return claim;
  }

  // Names t0, t1, ... in random order; startAfter may name anything, itself and unknown tiers included.
  api::StackSpec stack(int tiers_max, bool acyclic) {
    api::StackSpec spec;
    int64_t node_count = between(1, 3);
    for (int64_t i = 0; i < node_count; ++i) {
      api::StackNode node;
      node.name = "n" + std::to_string(i);
      node.profile = profile();
      spec.nodes.push_back(node);
    }
    int64_t count = between(1, tiers_max);
    for (int64_t i = 0; i < count; ++i) {
      api::Tier tier;
      tier.name = "t" + std::to_string(i);
      if (node_count > 1 || chance(30)) tier.node = "n" + std::to_string(between(0, node_count - 1));
      tier.engine = chance(50) ? api::Engine::Vllm : api::Engine::LlamaCpp;
      if (chance(30)) tier.accelerator = chance(50) ? api::Accelerator::Gpu : api::Accelerator::None;
      if (chance(80)) tier.gpu_fraction_milli = static_cast<int>(between(1, 1000));
      if (chance(20)) tier.activation = api::Activation::Off;
      while (chance(40)) {
        int64_t other = between(0, acyclic ? i : count + 1);
        if (!acyclic || other < i) tier.start_after.push_back("t" + std::to_string(other));
      }
      spec.tiers.push_back(tier);
    }
    for (size_t i = spec.tiers.size(); i > 1; --i)
      std::swap(spec.tiers[i - 1], spec.tiers[static_cast<size_t>(between(0, static_cast<int64_t>(i) - 1))]);
    return spec;
  }

 private:
  uint64_t state_;
};

}  // namespace strix::test
