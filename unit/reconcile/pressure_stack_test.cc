#include "api/conditions.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "reconcile/board.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::actions_of;
using fake::StackWorld;
using fake::tier_in;

namespace {

void serve(StackWorld& world, const std::string& name) {
  api::Pod& pod = world.add_pod(name, PodStage::Serving);
  world.probes[pod.metadata.uid] = fake::a_reading(ProbePhase::Serving, 8192);
}

// The node says that it is short of memory and that "two" is to go.
void run_short(StackWorld& world) {
  world.pressures["strix-halo"] = {PressureLevel::Acting, {"llm/strix-two"}};
}

const api::Condition& pressure(const api::StackStatus& status) {
  const api::Condition* found = api::find_condition(status.conditions, names::condition_memory_pressure);
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE(
    "a tier that its node's pressure parks is drained in the window, and status says why and until when") {
  StackWorld world(2);
  world.serve_all();
  run_short(world);
  Decision decision = world.decide();
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].kind == WindowRequest::Kind::Stop);
  CHECK(decision.requests[0].tier == "two");
  CHECK(tier_in(decision.status, "two").reason == "MemoryPressure");
  CHECK(tier_in(decision.status, "one").state == "Ready");
}

TEST_CASE("a tier that loads is taken down at once under pressure") {
  StackWorld world(2);
  world.add_services();
  serve(world, "one");
  world.add_pod("two", PodStage::Loading);
  run_short(world);
  auto deleted = actions_of<DeletePod>(world.decide());
  REQUIRE(deleted.size() == 1);
  CHECK(deleted[0].tier == "two");
}

TEST_CASE("once it is gone the stack is ready without it, and nothing more is done") {
  StackWorld world(2);
  world.add_services();
  serve(world, "one");
  run_short(world);
  Decision decision = world.settle();
  const api::TierStatus& two = tier_in(decision.status, "two");
  CHECK(two.state == "Parked");
  CHECK(two.message.find("node strix-halo ran out of memory; it is started again when ") == 0);
  CHECK(decision.status.summary.status == "Parked: two");
  CHECK(decision.status.summary.ready == "1/1");
  const api::Condition* ready = api::find_condition(decision.status.conditions, names::condition_ready);
  CHECK(ready->status == "True");
  CHECK(ready->reason == "ReadyTiersParked");
  const api::Condition* fits = api::find_condition(decision.status.conditions, names::condition_memory_fits);
  CHECK(fits->status == "True");
  CHECK(actions_of<CreatePod>(decision).empty());
}

TEST_CASE("before its node has said anything, a tier that was parked by pressure stays so") {
  StackWorld world(2);
  world.add_services();
  serve(world, "one");
  run_short(world);
  world.settle();
  world.pressures.clear();
  CHECK(actions_of<CreatePod>(world.decide()).empty());
  world.pressures["strix-halo"] = {PressureLevel::None, {}};
  CHECK(actions_of<CreatePod>(world.decide()).size() == 1);
}

TEST_CASE("the condition MemoryPressure says what is measured, and Unknown where nobody measures") {
  StackWorld world(2);
  const std::pair<PressureLevel, std::pair<const char*, const char*>> rows[] = {
      {PressureLevel::Unknown, {"Unknown", "NotMeasured"}},
      {PressureLevel::None, {"False", "MemoryAvailable"}},
      {PressureLevel::Warning, {"True", "MemoryLow"}},
      {PressureLevel::Acting, {"True", "MemoryPressure"}}};
  CHECK(pressure(world.decide().status).status == "Unknown");
  for (const auto& [level, said] : rows) {
    world.pressures["strix-halo"] = {level, {}};
    Decision decision = world.decide();
    CHECK(pressure(decision.status).status == said.first);
    CHECK(pressure(decision.status).reason == said.second);
    bool told = std::any_of(decision.events.begin(), decision.events.end(),
                            [&](const Event& event) { return event.reason == said.second; });
    CHECK(told == (level >= PressureLevel::Warning));
  }
}

TEST_CASE("a stack tells each node which of its tiers have their place there, parked ones too") {
  StackWorld world(2);
  world.serve_all();
  run_short(world);
  auto tiers = world.decide().tiers["strix-halo"];
  REQUIRE(tiers.size() == 2);
  for (const auto& tier : tiers) CHECK(tier.parked == (tier.pod == "llm/strix-two"));
  world.tier("two").activation = api::Activation::Off;
  CHECK(world.decide().tiers["strix-halo"].size() == 1);
}

TEST_CASE("the board wakes a node when a tier's priority changes, and stacks when the node's word does") {
  Board board;
  PressureTier tier;
  tier.pod = "llm/s-one";
  tier.stack = {"llm", "s"};
  auto post = [&] {
    return board.post({"llm", "s"}, {}, {{"halo", fake::halo_profile()}}, {{"halo", {tier}}});
  };
  CHECK(post().size() == 1);
  CHECK(post().empty());
  tier.priority = 10;
  CHECK(post().size() == 1);
  CHECK(board.tiers_of("halo").at(0).priority == 10);
  CHECK(board.press("halo", {PressureLevel::Warning, {}}).size() == 1);
  CHECK(board.press("halo", {PressureLevel::Warning, {}}).empty());
  CHECK(board.press("halo", {PressureLevel::Acting, {"llm/s-one"}}).size() == 1);
}
