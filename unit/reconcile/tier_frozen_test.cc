#include "reconcile/tier_frozen.h"

#include <optional>

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

TEST_CASE(
    "what no longer runs while its spec is invalid is not said to serve, and is started once it is valid") {
  struct Case {
    const char* what;
    std::optional<PodStage> stage;  // absent: its pod is gone
    const char *state, *message;
  };
  auto c = GENERATE(
      Case{"ended", PodStage::Ended, "Waiting",
           "its engine has ended; nothing is started while the spec is invalid"},
      Case{"going", PodStage::Terminating, "Stopping", "pod strix-two is going since 2026-02-03T11:59:59Z"},
      Case{"gone", std::nullopt, "Waiting", "nothing is started while the spec is invalid"});
  CAPTURE(c.what);
  StackWorld world(2);
  invalid(world);
  CHECK(world.stack.status.summary.ready == "2/2");
  if (c.stage) fake::put_into(*world.pod("two"), *c.stage, noon - 1'000);
  if (!c.stage) world.pods.pop_back();
  world.store(world.decide().status);
  const api::TierStatus& two = world.status("two");
  CHECK(two.state == c.state);
  CHECK(two.message == c.message);
  CHECK_FALSE(two.kv);
  CHECK_FALSE(two.context_length_tokens);
  CHECK(tier_in(world.stack.status, "one").state == "Ready");
  CHECK(world.stack.status.summary.ready == "1/2");
  CHECK(world.stack.status.summary.status == "Invalid");
  CHECK(world.decide().actions.empty());

  world.tier("two").port = 8002;
  if (c.stage == PodStage::Ended) {
    CHECK(tier_in(world.decide().status, "two").last_failure->failure_class == "Exited");
  } else if (!c.stage) {
    CHECK(actions_of<CreatePod>(world.decide()).size() == 1);
  }
}

TEST_CASE("what had not served when its spec became invalid is taken down, and its status says why") {
  for (PodStage stage : {PodStage::Gated, PodStage::Loading}) {
    StackWorld world(2);
    world.serve_all();
    fake::put_into(*world.pod("two"), stage, noon - 1'000);
    world.probes.erase(world.pod("two")->metadata.uid);
    world.store(world.decide().status);
    world.tier("two").port = 0;
    Decision decision = world.decide();
    CHECK(actions_of<DeletePod>(decision).size() == 1);
    CHECK(tier_in(decision.status, "two").state == "Stopping");
    CHECK(tier_in(decision.status, "two").reason == "InvalidSpec");
    CHECK(tier_in(decision.status, "two").message ==
          "its pod is being deleted; nothing is started while the spec is invalid");
    CHECK(decision.status.summary.ready == "1/2");
  }
}

TEST_CASE("what did not run, and would not, is said as before while the spec is invalid") {
  struct Case {
    const char *state, *reason, *ready;
  };
  auto c = GENERATE(Case{"Off", "Stopped", "1/1"}, Case{"Parked", "Parked", "1/1"},
                    Case{"Parked", "MemoryPressure", "1/1"}, Case{"Stopping", "MemoryPressure", "1/2"},
                    Case{"GivenUp", "FlagMismatch", "1/2"}, Case{"Quarantined", "GpuFault", "1/2"});
  CAPTURE(c.state, c.reason);
  StackWorld world(2);
  invalid(world);
  world.pods.pop_back();
  api::TierStatus& two = world.status("two");
  two.state = c.state;
  two.reason = c.reason;
  two.message = "as it was";
  world.store(world.decide().status);
  CHECK(world.status("two").state == c.state);
  CHECK(world.status("two").reason == c.reason);
  CHECK(world.status("two").message == "as it was");
  CHECK(world.stack.status.summary.ready == c.ready);
  CHECK(world.decide().actions.empty());
}

TEST_CASE("a spec that is invalid from the start has none of its tiers ready") {
  StackWorld world(2);
  world.tier("two").port = 0;
  CHECK(world.decide().status.summary.ready == "0/2");
}
