// What must hold of every plan, tried on random stacks. Each case is told by its number: the generator is
// seeded with it.
#include <algorithm>

#include "base/bytes.h"
#include "cases.h"
#include "catch.h"
#include "generator.h"
#include "planner/explain.h"

using namespace strix;
using namespace strix::planner;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int cases = 5000;
#else
constexpr int cases = 100000;
#endif

models::ModelFacts any_model(test::Generator& random) {
  int64_t count = random.between(1, 3) * 4, heads = int64_t{1} << random.between(0, 3);
  auto full = test::attention(heads, 64 * random.between(1, 2));
  std::vector<models::LayerFacts> layers = test::layers(count, full);
  if (random.chance(20)) layers = test::layers(count / 2, full, count / 2, test::sliding(heads, 128, 1024));
  if (random.chance(15)) layers = test::layers(count / 4, full, count / 2, test::linear(4096, 524288));
  auto facts = test::safetensors("any", layers, random.between(1, 60) * gib / random.between(1, 8), 0);
  facts.context_length_most_tokens =
      random.chance(90) ? std::optional(random.between(2, 256) * 1024) : std::nullopt;
  if (random.chance(70)) {
    facts.embedding_length = 1024 * random.between(1, 8);
    facts.feed_forward_length = 4096 * random.between(1, 6);
    facts.vocabulary_size = 151936;
  }
  if (random.chance(20)) facts.repackable_bytes_by_type["Q4_K"] = *facts.weight_bytes / 2;
  return facts;
}

api::Tier any_tier(test::Generator& random, int number, bool with_memory) {
  std::string name = "t" + std::to_string(number);
  bool vllm = random.chance(60);
  int64_t context = random.chance(25) ? 0 : random.between(1, 64) * 1024 + random.between(0, 1) * 7;
  api::Tier tier =
      vllm ? test::vllm_tier(name, "a/b", context, 0) : test::llama_tier(name, "a.gguf", context);
  if (random.chance(25))
    tier.accelerator = random.chance(50) ? api::Accelerator::Gpu : api::Accelerator::None;
  if (with_memory && random.chance(50)) {
    bool takes_fraction = vllm || tier.effective_accelerator() == api::Accelerator::Gpu;
    if (takes_fraction && random.chance(60))
      tier.gpu_fraction_milli = static_cast<int>(random.between(5, 70)) * 10;
    else
      tier.kv_cache_bytes = random.between(1, 16) * gib;
  }
  tier.priority = static_cast<int>(random.between(0, 3)) * 25;
  tier.max_sequences = static_cast<int>(random.between(1, 8));
  tier.enforce_eager = random.chance(30);
  if (!vllm && random.chance(30)) tier.kv_cache_type = "q8_0";
  if (random.chance(5)) tier.activation = api::Activation::Off;
  if (random.chance(10)) tier.requests.memory = std::to_string(random.between(1, 40)) + "Gi";
  if (number > 0 && random.chance(15))
    tier.start_after = {"t" + std::to_string(random.between(0, number - 1))};
  return tier;
}

PlanInput any_input(test::Generator& random, int tiers_most, bool with_memory = true) {
  PlanInput input;
  int64_t unified = random.between(24, 128) * gib + random.between(0, 1000);
  input.spec.nodes = {test::halo(unified, unified * random.between(50, 100) / 100, random.between(2, 8) * gib,
                                 static_cast<int>(random.between(80, 100)) * 10)};
  input.constants.vllm_pins_kv_cache = random.chance(80);
  if (random.chance(10)) input.spec.when_short = api::WhenShort::Refuse;
  int64_t count = random.between(1, tiers_most);
  for (int i = 0; i < count; ++i) {
    input.spec.tiers.push_back(any_tier(random, i, with_memory));
    if (random.chance(95)) test::know(input, "t" + std::to_string(i), any_model(random));
  }
  return input;
}

bool bounds_hold(const Plan& plan) {
  for (const NodePlan& node : plan.nodes)
    for (const BoundPlan& bound : node.bounds)
      if (bound.resident > bound.limit && bound.resident > 0) return false;
  return true;
}

// Figures add up to what the claim says, for a tier whose claim is not only declared.
bool claim_covers(const TierPlan& tier) {
  return tier.state == TierState::Error || tier.state == TierState::Off || !tier.facts_known ||
         tier.claim.known_bytes() >= tier.footprint.all_bytes();
}

const api::Tier& tier_of(const PlanInput& input, const std::string& name) {
  return *std::find_if(input.spec.tiers.begin(), input.spec.tiers.end(),
                       [&](const api::Tier& tier) { return tier.name == name; });
}

}  // namespace

TEST_CASE(
    "property: a plan never breaks a bound, claims cover footprints, and its own output gives it again") {
  int fitting = 0, parking = 0;
  for (int i = 0; i < cases; ++i) {
    test::Generator random(static_cast<uint64_t>(i));
    PlanInput input = any_input(random, 5);
    Plan first = plan(input);
    fitting += first.fits;
    parking += std::any_of(first.tiers.begin(), first.tiers.end(),
                           [](const TierPlan& tier) { return tier.state == TierState::Parked; });
    PlanInput again = input;
    again.spec = pinned(input.spec, first);
    Plan second = plan(again);
    bool holds = bounds_hold(first);
    bool covers = std::all_of(first.tiers.begin(), first.tiers.end(), claim_covers);
    bool stable = second.order.tiers == first.order.tiers && second.nodes == first.nodes;
    for (size_t k = 0; stable && k < first.tiers.size(); ++k) {
      const TierPlan &a = first.tiers[k], &b = second.tiers[k];
      stable = a.name == b.name && a.state == b.state && a.effective == b.effective && a.claim == b.claim &&
               a.footprint == b.footprint;
    }
    if (holds && covers && stable) continue;
    CAPTURE(i, explain_table(first, {}), explain_table(second, {}));
    REQUIRE(holds);
    REQUIRE(covers);
    REQUIRE(stable);
  }
  CHECK(fitting > cases / 20);
  CHECK(parking > cases / 20);
}

TEST_CASE("property: a derived fraction is the smallest on its grid") {
  int derived = 0;
  for (int i = 0; i < cases; ++i) {
    test::Generator random(static_cast<uint64_t>(i) + 1000000);
    PlanInput input = any_input(random, 1, false);
    Plan planned = plan(input);
    const TierPlan& tier = planned.tiers[0];
    if (tier.state != TierState::Resident || !tier.facts_known || !tier.effective.fraction_milli) continue;
    ++derived;
    int milli = *tier.effective.fraction_milli;
    int64_t device = tier.on_gpu ? planned.nodes[0].profile.gpu_memory_bytes
                                 : planned.nodes[0].profile.unified_memory_bytes;
    int64_t needed = tier.footprint.request_bytes();
    bool on_grid = milli % 10 == 0 && milli >= 10 && milli <= 1000;
    bool enough = fraction_bytes(device, milli) >= needed;
    bool least = milli == 10 || fraction_bytes(device, milli - 10) < needed;
    if (on_grid && enough && least) continue;
    CAPTURE(i, milli, needed, device);
    REQUIRE(on_grid);
    REQUIRE(enough);
    REQUIRE(least);
  }
  CHECK(derived > cases / 10);
}

TEST_CASE("property: a derived context is the largest on its grid") {
  int derived = 0;
  for (int i = 0; i < cases; ++i) {
    test::Generator random(static_cast<uint64_t>(i) + 2000000);
    PlanInput input = any_input(random, 2);
    Plan planned = plan(input);
    for (const TierPlan& tier : planned.tiers) {
      const api::Tier& wanted = tier_of(input, tier.name);
      if (!wanted.context_length_auto || tier.state != TierState::Resident) continue;
      ++derived;
      int64_t tokens = tier.effective.context_tokens, most = tier.most_context_tokens.value_or(8192);
      bool on_grid = tokens % 1024 == 0 && tokens > 0 && tokens <= most;
      bool last = tokens + 1024 > most;
      if (!last) {
        // One step more: the same tier with that context, and the others as they came out.
        PlanInput more = input;
        more.spec = pinned(input.spec, planned);
        for (api::Tier& other : more.spec.tiers) {
          if (other.name != tier.name) continue;
          other = wanted;
          other.context_length_auto = false;
          other.context_length_tokens = tokens + 1024;
          other.priority = -1;  // after all others
        }
        const TierPlan stretched = *plan(more).tier(tier.name);
        last = stretched.state != TierState::Resident;
      }
      if (on_grid && last) continue;
      CAPTURE(i, tier.name, tokens, most, explain_table(planned, {}));
      REQUIRE(on_grid);
      REQUIRE(last);
    }
  }
  CHECK(derived > cases / 20);
}

TEST_CASE("property: more memory at the same GPU total never makes a fitting stack unfit") {
  int fitting = 0;
  for (int i = 0; i < cases; ++i) {
    test::Generator random(static_cast<uint64_t>(i) + 3000000);
    PlanInput input = any_input(random, 4);
    if (!plan(input).fits) continue;
    ++fitting;
    input.spec.nodes[0].profile.unified_memory_bytes += random.between(1, 64 * gib);
    if (plan(input).fits) continue;
    CAPTURE(i);
    REQUIRE(plan(input).fits);
  }
  CHECK(fitting > cases / 20);
}

TEST_CASE("property: the parked are the lexicographically smallest set, lowest priority first") {
  int parking = 0;
  for (int i = 0; i < cases; ++i) {
    test::Generator random(static_cast<uint64_t>(i) + 4000000);
    PlanInput input = any_input(random, 6);
    input.spec.when_short = api::WhenShort::Park;
    // Tiers that take the rest are planned with the least: only those are compared that have one size.
    for (api::Tier& tier : input.spec.tiers)
      if (grows_into_the_rest(tier)) tier.context_length_tokens = 8192, tier.context_length_auto = false;
    Plan planned = plan(input);
    std::vector<const TierPlan*> keep;  // in keep order
    for (const TierPlan& tier : planned.tiers)
      if (tier.state == TierState::Resident || tier.state == TierState::Parked) keep.push_back(&tier);
    std::stable_sort(keep.begin(), keep.end(),
                     [](const TierPlan* a, const TierPlan* b) { return a->priority > b->priority; });
    // All subsets; the first tier is the highest bit, so the best is the largest number.
    unsigned best = 0, chosen = 0, all = 1u << keep.size();
    for (unsigned set = 0; set < all; ++set) {
      std::vector<Entry> entries;
      bool fits = true;
      for (size_t k = 0; fits && k < keep.size(); ++k) {
        if (!(set >> (keep.size() - 1 - k) & 1)) continue;
        fits = !shortfall(planned.nodes[0].profile, entries, keep[k]->name, keep[k]->claim);
        entries.push_back({keep[k]->name, keep[k]->claim});
      }
      if (fits) best = std::max(best, set);
    }
    for (const TierPlan* tier : keep) chosen = chosen << 1 | (tier->state == TierState::Resident ? 1u : 0u);
    parking += chosen + 1 != all;
    if (chosen == best) continue;
    CAPTURE(i, chosen, best);
    REQUIRE(chosen == best);
  }
  CHECK(parking > cases / 20);
}
