#include "reconcile/restarts.h"

#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;

namespace {

std::string text(const std::vector<Restart>& restarts) {
  std::string all;
  for (const auto& restart : restarts) all += restart.tier + ":" + restart.reason + " ";
  return all;
}

// What is counted from here to the next pass, which is stored.
std::string next(StackWorld& world) {
  api::StackStatus before = world.stack.status;
  world.store(world.decide().status);
  return text(restarts_between(before, world.stack.status));
}

}  // namespace

TEST_CASE("a tier that failed is counted once, by the class of its failure") {
  StackWorld world(2);
  world.serve_all();
  CHECK(next(world).empty());
  fake::put_into(*world.pod("two"), PodStage::Ended, noon - 10'000);
  world.pod("two")->engine->exit_code = 137;
  CHECK(next(world) == "two:Killed ");
  CHECK(next(world).empty());
  world.pods.pop_back();
  world.add_pod("two", PodStage::Loading, noon);
  CHECK(next(world).empty());
  fake::put_into(*world.pod("two"), PodStage::Ended, noon - 5'000);
  CHECK(next(world) == "two:Exited ");
}

TEST_CASE("a tier that is stopped for its change is counted once, when it stops") {
  StackWorld world(2);
  world.serve_all();
  fake::put_into(*world.pod("two"), PodStage::Loading, noon);
  world.probe("two", ProbePhase::Loading);
  next(world);
  for (const char* tier : {"one", "two"}) world.tier(tier).context_length_tokens = 4096;
  CHECK(next(world) == "two:Replacing ");  // one waits for its turn
  CHECK(next(world).empty());
  fake::put_into(*world.pod("one"), PodStage::Draining, noon);
  CHECK(next(world) == "one:Replacing ");
  CHECK(next(world).empty());
  world.pods.clear();
  CHECK(next(world).empty());
}

TEST_CASE("a tier that nobody wants, or that had not started, is not restarted") {
  StackWorld world(2);
  world.serve_all();
  fake::put_into(*world.pod("two"), PodStage::Gated, noon);
  next(world);
  world.tier("two").context_length_tokens = 4096;
  CHECK(next(world).empty());
  world.stack.spec.suspend = true;
  fake::put_into(*world.pod("one"), PodStage::Draining, noon);
  CHECK(next(world).empty());
}
