#include "reconcile/tier_frozen.h"

#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::actions_of;
using fake::noon;
using fake::StackWorld;
using fake::tier_in;

namespace {

// Tiers one and two serve, their status says so, and then a port is none.
void invalid(StackWorld& world) {
  world.serve_all();
  world.store(world.settle().status);
  world.tier("two").port = 0;
  world.store(world.decide().status);
}

std::string serving_set(const Decision& decision) {
  std::string text;
  for (const auto& set : actions_of<SetServing>(decision)) text += set.serving ? "serve " : "silence ";
  return text;
}

}  // namespace

TEST_CASE("what serves while its spec is invalid is asked on where it listens, and nothing is done") {
  StackWorld world(2);
  invalid(world);
  Decision decision = world.decide();
  CHECK(decision.actions.empty());
  CHECK(decision.requests.empty());
  REQUIRE(decision.targets.size() == 2);
  for (const auto& target : decision.targets) {
    CHECK(target.was_serving);
    CHECK(target.tier.port == (target.tier.name == "one" ? 8001 : 8002));
    CHECK(target.tier.model.repository == "example/coder");
  }
  CHECK(tier_in(decision.status, "two").state == "Ready");
}

TEST_CASE("what falls silent while its spec is invalid has no clients until it answers again") {
  StackWorld world(2);
  invalid(world);
  world.probe("two", ProbePhase::NotAnswering, "no answer in time");
  Decision silent = world.decide();
  CHECK(serving_set(silent) == "silence ");
  CHECK(tier_in(silent.status, "two").state == "NotAnswering");
  CHECK(tier_in(silent.status, "one").state == "Ready");
  world.store(silent.status);
  fake::put_into(*world.pod("two"), PodStage::NotAnswering, noon);
  CHECK(world.decide().actions.empty());
  // Nobody could start it again.
  world.probes[world.pod("two")->metadata.uid].wedged_since = noon;
  CHECK(world.decide().actions.empty());
  CHECK(world.decide().requests.empty());

  world.probe("two", ProbePhase::Serving);
  Decision back = world.decide();
  CHECK(serving_set(back) == "serve ");
  world.store(back.status);
  fake::put_into(*world.pod("two"), PodStage::Serving, noon);
  Decision last = world.decide();
  CHECK(tier_in(last.status, "two").state == "Ready");
  world.store(last.status);
  CHECK(world.decide().actions.empty());
}

TEST_CASE(
    "a stop that had begun when the spec became invalid is called off, and gives the load window back") {
  for (bool answers : {true, false}) {
    CAPTURE(answers);
    StackWorld world(2);
    invalid(world);
    fake::put_into(*world.pod("two"), PodStage::Draining, noon - 1'000);
    world.probe("two", answers ? ProbePhase::Serving : ProbePhase::NotAnswering);
    CHECK(serving_set(world.decide()) == (answers ? "serve " : "silence "));
  }
}
