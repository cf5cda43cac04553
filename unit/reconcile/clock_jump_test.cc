// What a machine that slept, or a clock that was set, does to each deadline that is written down by the wall.
#include <functional>

#include "catch.h"
#include "reconcile/failure.h"
#include "reconcile/gates.h"
#include "reconcile/tier_silent.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::View;

namespace {

constexpr int64_t hour = 3'600'000;

struct Deadline {
  const char* what;
  std::function<void(StackWorld&)> begin;  // an hour ago
  int64_t millis;
};

const std::vector<Deadline>& deadlines() {
  static const std::vector<Deadline> all = {
      {"start-up",
       [](StackWorld& w) {
         w.tier("one").probe.startup_deadline_seconds = 600;
         w.add_pod("one", PodStage::Loading, noon - hour);
         w.probe("one", ProbePhase::Loading);
       },
       600'000},
      {"what keeps a pod from starting",
       [](StackWorld& w) {
         w.tier("one").probe.startup_deadline_seconds = 7'200;
         auto& engine = *w.add_pod("one", PodStage::Loading, noon - hour).engine;
         engine.running = false;
         engine.waiting_reason = "CreateContainerError";
       },
       start_patience_millis},
      {"drain",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Draining, noon - hour);
         w.probe("one", ProbePhase::Serving);
         w.stack.spec.suspend = true;
       },
       120'000},
      {"a machine that has just come back",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::NotAnswering, noon - 2 * hour);
         w.probe("one", ProbePhase::NotAnswering);
         w.probes.begin()->second.wedged_since = noon - 1'000;
         w.nodes.front().ready_since = noon - hour;
       },
       node_settle_millis},
  };
  return all;
}

bool acts(const StackWorld& world) {
  View view(world);
  const TierContext& one = view.tier("one");
  TierOutcome outcome = one.wanted ? step_up(one) : step_down(one, true);
  return !outcome.actions.empty() || outcome.status.restarts > 0;
}

}  // namespace

TEST_CASE("a deadline that passed in one jump begins anew, and is kept from then on") {
  for (const auto& deadline : deadlines()) {
    CAPTURE(deadline.what);
    StackWorld world(1);
    deadline.begin(world);
    CHECK(acts(world));
    world.now.wall_steady_since = noon;
    CHECK_FALSE(acts(world));
    world.tick(deadline.millis - 1'000);
    CHECK_FALSE(acts(world));
    world.tick(1'000);
    CHECK(acts(world));
  }
}

TEST_CASE("a clock that was set back makes no deadline longer") {
  for (const auto& deadline : deadlines()) {
    CAPTURE(deadline.what);
    StackWorld world(1);
    deadline.begin(world);
    world.now.wall = world.now.wall_steady_since = noon - 3 * hour;
    CHECK_FALSE(acts(world));
    world.tick(deadline.millis);
    CHECK(acts(world));
  }
}

TEST_CASE("a pod that had no time to go makes no node stuck") {
  api::Pod pod = fake::a_pod("p", PodStage::Serving, fake::gpu_claim(300));
  fake::put_into(pod, PodStage::Terminating, noon - hour);
  int64_t grace_millis = pod.termination_grace_seconds * 1000;
  CHECK(is_stuck(pod, {noon, 0}));
  CHECK_FALSE(is_stuck(pod, {noon, 0, noon, 0}));
  Now late{noon + grace_millis + stuck_patience_millis, 0, noon, 0};
  CHECK(stuck_from(pod, late) == late.wall);
  CHECK(is_stuck(pod, late));
}

TEST_CASE(
    "a back-off that a sleeping machine was spared is over, and one in the time to come is not that long") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Gated);
  api::TierStatus& status = world.status("one");
  status.consecutive_failures = 1;
  status.last_failure = api::Failure{};
  status.last_failure->failure_class = names::failure_exited;
  status.last_failure->time = noon - hour;
  status.last_failure->subject =
      std::string(world.pod("one")->metadata.annotation(names::annotation_template_hash));
  world.now.wall_steady_since = noon;
  CHECK(next_try(View(world).tier("one")) <= noon);
  status.last_failure->time = noon + hour;
  WallMillis next = next_try(View(world).tier("one"));
  CHECK(next > noon);
  CHECK(next < noon + hour / 2);
}
