#include "api/conditions.h"
#include "api/manifest.h"
#include "catch.h"
#include "fake/model_facts.h"
#include "planner/spec_plan.h"
#include "reconcile/gates.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::StackWorld;
using fake::tier_in;

namespace {

// Two GPU tiers that fit alone and not together.
void crowd(StackWorld& world) {
  world.tier("one").gpu_fraction_milli = 600;
  world.tier("two").gpu_fraction_milli = 600;
}

const api::Condition& condition(const api::StackStatus& status, std::string_view type) {
  const api::Condition* found = api::find_condition(status.conditions, type);
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE(
    "of two tiers that do not fit together the later one is parked, and the stack is ready without it") {
  StackWorld world(2);
  crowd(world);
  world.add_services();
  api::Pod& pod = world.add_pod("one", PodStage::Serving);
  world.probes[pod.metadata.uid] = fake::a_reading(ProbePhase::Serving, 8192);
  Decision decision = world.settle();
  CHECK(fake::actions_of<CreatePod>(decision).empty());
  const api::TierStatus& parked = tier_in(decision.status, "two");
  CHECK(parked.state == "Parked");
  CHECK(parked.reason == "Parked");
  CHECK(parked.message.find("two (priority 50) is parked") == 0);
  CHECK(decision.status.summary.status == "Parked: two");
  CHECK(decision.status.summary.ready == "1/1");
  CHECK(condition(decision.status, names::condition_ready).status == "True");
  CHECK(condition(decision.status, names::condition_ready).reason == "ReadyTiersParked");
  CHECK(condition(decision.status, names::condition_memory_fits).status == "False");
  CHECK_FALSE(api::find_condition(decision.status.conditions, names::condition_stalled));
  CHECK_FALSE(api::find_condition(decision.status.conditions, names::condition_reconciling));
}

TEST_CASE("the lowest priority is parked, and does not hold up what starts after it") {
  StackWorld world(3);
  world.tier("one").gpu_fraction_milli = 600;
  world.tier("two").gpu_fraction_milli = 600;
  world.tier("one").priority = 10;
  world.tier("three").gpu_fraction_milli = 100;  // the smallest starts first
  Decision decision = world.decide();
  CHECK(tier_in(decision.status, "one").state == "Parked");
  auto created = fake::actions_of<CreatePod>(decision);
  REQUIRE(created.size() == 2);
  CHECK(created[0].tier == "three");
  CHECK(created[1].tier == "two");
  world.add_pod("three", PodStage::Serving);
  test::View view(world);
  CHECK(view.tier("two").predecessors.size() == 2);
  CHECK_FALSE(first_that_holds(gates_before_window(), view.tier("two")));
}

TEST_CASE("a tier that runs is drained when one of higher priority needs its place") {
  StackWorld world(2);
  world.serve_all();
  crowd(world);
  world.tier("two").priority = 90;
  Decision decision = world.decide();
  CHECK(tier_in(decision.status, "one").state == "Stopping");
  CHECK(tier_in(decision.status, "one").reason == "Parked");
  bool stops = false;
  for (const auto& request : decision.requests)
    stops = stops || (request.tier == "one" && request.kind == WindowRequest::Kind::Stop);
  CHECK(stops);
}

TEST_CASE("with whenShort Refuse a stack that does not fit starts nothing") {
  StackWorld world(3);
  crowd(world);
  world.stack.spec.when_short = api::WhenShort::Refuse;
  Decision decision = world.decide();
  CHECK(fake::actions_of<CreatePod>(decision).empty());
  CHECK(decision.requests.empty());
  for (const char* tier : {"one", "two", "three"})
    CHECK(tier_in(decision.status, tier).reason == "MemoryShort");
  CHECK(condition(decision.status, names::condition_stalled).reason == "MemoryShort");
}

TEST_CASE("what a spec leaves open the plan closes, and the pod is made of that") {
  StackWorld world(1);
  api::Tier& tier = world.tier("one");
  tier.gpu_fraction_milli.reset();
  tier.model.facts = fake::model_facts(32768);
  Decision decision = world.decide();
  auto created = fake::actions_of<CreatePod>(decision);
  REQUIRE(created.size() == 1);
  CHECK(created[0].body.find("--gpu-memory-utilization") != std::string::npos);
  test::View view(world);
  CHECK(view.tier("one").effective.fraction_milli);
  CHECK(view.tier("one").claim.gpu_bytes > 8 * gib);

  tier.context_length_tokens = 0;
  tier.context_length_auto = true;
  test::View grown(world);
  CHECK(grown.tier("one").effective.context_tokens == 32768);
}

TEST_CASE("the stacks that people start from fit as they are written") {
  for (const char* path : {"manifests/samples/four-tiers.yaml", "e2e/stacks/four-tiers.yaml"}) {
    INFO(path);
    auto stack = test::decode_yaml(test::read_source(path));
    REQUIRE(stack.ok());
    planner::Plan plan = planner::plan_of_spec(stack->spec);
    for (const auto& finding : plan.findings) UNSCOPED_INFO(finding.message);
    CHECK(plan.fits);
  }
}
