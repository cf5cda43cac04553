#include "planner/combination.h"

#include "api/conditions.h"
#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::StackWorld;
using fake::tier_in;

namespace {

const api::Condition& condition(const api::StackStatus& status, std::string_view type) {
  const api::Condition* found = api::find_condition(status.conditions, type);
  REQUIRE(found);
  return *found;
}

// The plan of the world's stack by the built-in table with one more row in front.
Shared<planner::Plan> plan_with(const StackWorld& world, const std::string& row) {
  auto over = planner::CapabilityTable::parse("combinations:\n- {" + row +
                                              ", instead: wait, source: here, date: \"2026-11\"}\n");
  REQUIRE(over.ok());
  auto table = planner::CapabilityTable::layered(*over, planner::built_in_capabilities());
  return std::make_shared<const planner::Plan>(planner::plan_of_spec(world.stack.spec, table));
}

}  // namespace

TEST_CASE("a refused combination is that tier's spec error: it is not started, and the others run") {
  struct Case {
    const char *quantization, *reason;
  };
  for (const Case& c :
       {Case{"fp8", "CombinationRefused"}, Case{"awq", "NeedsEager"}, Case{"hqq", "CombinationUnverified"}}) {
    CAPTURE(c.quantization);
    StackWorld world(3);
    world.tier("two").quantization = c.quantization;
    auto errors = planner::combination_errors(world.stack.spec, planner::built_in_capabilities());
    REQUIRE(errors.size() == 1);
    Decision decision = world.settle();
    std::string created;
    for (const auto& pod : fake::actions_of<CreatePod>(decision)) created += pod.tier + " ";
    CHECK(created == "one three ");
    const api::TierStatus& refused = tier_in(decision.status, "two");
    CHECK(refused.state == "Waiting");
    CHECK(refused.reason == c.reason);
    CHECK(refused.message == errors[0].message);
    CHECK(condition(decision.status, names::condition_stalled).reason == c.reason);
    CHECK(condition(decision.status, names::condition_stalled).message == errors[0].message);
    CHECK(condition(decision.status, names::condition_memory_fits).status == "True");
    CHECK(decision.status.summary.ready == "0/3");
    world.tier("two").accept_unverified = world.tier("two").enforce_eager = true;
    bool lifted = std::string_view(c.reason) != "CombinationRefused";
    CHECK(fake::actions_of<CreatePod>(world.decide()).size() == (lifted ? 3u : 2u));
  }
}

TEST_CASE("a pod at its gate does not ask for the window once its combination is refused") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Gated);
  world.plan = plan_with(world,
                         "where: {engine: vllm, gfxTargets: [gfx1151], versions: \">=0.1\"}, "
                         "verdict: Works, reason: r");
  CHECK(tier_in(world.decide().status, "one").reason == "LoadWindow");
  world.tier("one").accept_unverified = true;
  world.plan =
      plan_with(world, "where: {engine: vllm, images: [\"*/kyuz0/*\"]}, verdict: Refused, reason: r");
  Decision decision = world.decide();
  CHECK(tier_in(decision.status, "one").reason == "CombinationRefused");
  CHECK(decision.requests.empty());
}

TEST_CASE("what serves goes on serving when a newer table refuses it, and says so") {
  StackWorld world(2);
  world.serve_all();
  world.plan =
      plan_with(world, "where: {engine: vllm, images: [\"*/kyuz0/*\"]}, verdict: Refused, reason: it burns");
  Decision decision = world.settle();
  CHECK(fake::actions_of<DeletePod>(decision).empty());
  CHECK(decision.requests.empty());
  const api::TierStatus& one = tier_in(decision.status, "one");
  CHECK(one.state == "Ready");
  CHECK(one.reason == "CombinationRefused");
  CHECK(one.message.find("serves, and would not be started again: one: the image docker.io/kyuz0/") == 0);
  CHECK(condition(decision.status, names::condition_ready).status == "True");
  CHECK_FALSE(api::find_condition(decision.status.conditions, names::condition_stalled));
}

TEST_CASE("an environment that a newer table has is a reason for a new pod, in its turn") {
  StackWorld world(1);
  world.serve_all();
  auto over = planner::CapabilityTable::parse(
      "settings:\n- {where: {engine: vllm}, topic: mine, environment: {A: b}, source: here, date: "
      "\"2026-11\"}\n");
  REQUIRE(over.ok());
  auto table = planner::CapabilityTable::layered(*over, planner::built_in_capabilities());
  world.plan = std::make_shared<const planner::Plan>(planner::plan_of_spec(world.stack.spec, table));
  Decision decision = world.decide();
  CHECK(tier_in(decision.status, "one").reason == "Replacing");
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].kind == WindowRequest::Kind::Stop);
}
