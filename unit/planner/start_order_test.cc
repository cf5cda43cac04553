#include "planner/start_order.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "catch.h"
#include "generator.h"

using namespace strix;
using namespace strix::planner;

namespace {

using Names = std::vector<std::string>;

api::Tier tier(const std::string& name, std::optional<int> milli, Names after = {}) {
  api::Tier tier;
  tier.name = name;
  tier.engine = milli ? api::Engine::Vllm : api::Engine::LlamaCpp;
  tier.gpu_fraction_milli = milli;
  tier.start_after = std::move(after);
  return tier;
}

api::StackSpec stack(std::vector<api::Tier> tiers) {
  api::StackSpec spec;
  api::StackNode halo;
  halo.name = "halo";
  halo.profile.gpu_memory_bytes = 124 * gib;
  halo.profile.unified_memory_bytes = 128 * gib;
  spec.nodes = {halo};
  spec.tiers = std::move(tiers);
  return spec;
}

}  // namespace

TEST_CASE("GPU tiers start first, the smaller before the larger, then CPU tiers as declared") {
  auto order = start_order(
      stack({tier("reviewer", {}), tier("coder", 600), tier("utility", {}), tier("orchestrator", 350)}));
  CHECK(order.tiers == Names{"orchestrator", "coder", "reviewer", "utility"});
  CHECK(order.cycle.empty());
  CHECK(order.predecessors["orchestrator"].empty());
  CHECK(order.predecessors["coder"] == Names{"orchestrator"});
  CHECK(order.predecessors["reviewer"] == Names{"orchestrator", "coder"});
  CHECK(order.predecessors["utility"] == Names{"orchestrator", "coder", "reviewer"});
}

TEST_CASE("equal footprints start as declared") {
  CHECK(start_order(stack({tier("b", 300), tier("a", 300), tier("c", 300)})).tiers == Names{"b", "a", "c"});
}

TEST_CASE("startAfter wins over the default order, and is all that such a tier waits for") {
  auto order =
      start_order(stack({tier("orchestrator", 350, {"utility"}), tier("coder", 600), tier("utility", {})}));
  CHECK(order.tiers == Names{"coder", "utility", "orchestrator"});
  CHECK(order.predecessors["orchestrator"] == Names{"utility"});
  CHECK(order.predecessors["utility"] == Names{"coder"});
}

TEST_CASE("nobody waits for a tier that is off") {
  auto tiers =
      std::vector{tier("orchestrator", 350), tier("coder", 600), tier("utility", {}, {"orchestrator"})};
  tiers[0].activation = api::Activation::Off;
  auto order = start_order(stack(tiers));
  CHECK(order.tiers == Names{"orchestrator", "coder", "utility"});
  CHECK(order.predecessors["coder"].empty());
  CHECK(order.predecessors["utility"].empty());
}

TEST_CASE("tiers of different nodes wait for each other only where startAfter says so") {
  auto spec = stack({tier("a", 100), tier("b", 200), tier("c", 300), tier("d", 400, {"a"})});
  spec.nodes.push_back(spec.nodes[0]);
  spec.nodes[1].name = "other";
  for (size_t i = 0; i < 4; ++i) spec.tiers[i].node = i % 2 ? "other" : "halo";
  auto order = start_order(spec);
  CHECK(order.tiers == Names{"a", "b", "c", "d"});
  CHECK(order.predecessors["b"].empty());
  CHECK(order.predecessors["c"] == Names{"a"});
  CHECK(order.predecessors["d"] == Names{"a"});
}

TEST_CASE("a cycle is reported in its own order, and the others keep theirs") {
  auto order =
      start_order(stack({tier("x", {}), tier("a", 100, {"c"}), tier("b", 200, {"a"}), tier("c", 300, {"b"}),
                         tier("after", {}, {"a"}), tier("self", {}, {"self"})}));
  CHECK(order.cycle == Names{"a", "c", "b", "self"});
  CHECK(order.tiers == Names{"x", "after"});
  CHECK(order.predecessors["after"].empty());
}

TEST_CASE("names that are no tier, and names that are there twice, do no harm") {
  auto order = start_order(stack({tier("a", 100, {"ghost", "b", "b"}), tier("b", 200), tier("b", 300)}));
  CHECK(order.tiers == Names{"b", "a"});
  CHECK(order.predecessors["a"] == Names{"b"});
  CHECK(start_order({}).tiers.empty());
}

TEST_CASE("a tier sits on the node it names, or on the only one") {
  auto spec = stack({tier("a", 100)});
  CHECK(node_of(spec, spec.tiers[0]) == "halo");
  spec.tiers[0].node = "nowhere";
  CHECK(node_of(spec, spec.tiers[0]).empty());
  spec.nodes.push_back(spec.nodes[0]);
  spec.nodes[1].name = "other";
  spec.tiers[0].node = "";
  CHECK(node_of(spec, spec.tiers[0]).empty());
  CHECK(find_node(spec, "other") == &spec.nodes[1]);
  CHECK(find_node(spec, "ghost") == nullptr);
}

TEST_CASE("every tier appears once, edges point backwards, and a second look says the same") {
  for (uint64_t seed = 0; seed < 10000; ++seed) {
    test::Generator random(seed);
    bool acyclic = random.chance(50);
    api::StackSpec spec = random.stack(16, acyclic);
    StartOrder order = start_order(spec);
    CAPTURE(seed);
    std::map<std::string, size_t> place;
    for (const std::string& name : order.tiers)
      if (!place.emplace(name, place.size()).second) FAIL("twice: " << name);
    std::set<std::string> cycle(order.cycle.begin(), order.cycle.end());
    if (cycle.size() != order.cycle.size()) FAIL("twice in the cycle");
    if (place.size() + cycle.size() != spec.tiers.size()) FAIL("a tier is missing");
    if (acyclic && !cycle.empty()) FAIL("a cycle where there is none");
    for (const api::Tier& tier : spec.tiers) {
      if (cycle.count(tier.name)) continue;
      for (const std::string& before : order.predecessors.at(tier.name)) {
        if (!place.count(before) || place[before] >= place[tier.name]) FAIL("an edge points forward");
        bool listed =
            std::find(tier.start_after.begin(), tier.start_after.end(), before) != tier.start_after.end();
        if (listed == tier.start_after.empty()) FAIL("an edge that nobody asked for");
      }
      for (const std::string& before : tier.start_after)
        if (place.count(before) && place[before] >= place[tier.name]) FAIL("startAfter does not hold");
    }
    StartOrder again = start_order(spec);
    if (again.tiers != order.tiers || again.cycle != order.cycle) FAIL("not deterministic");
  }
}
