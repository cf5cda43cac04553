#include "reconcile/tier_silent.h"

#include "catch.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::pass;
using test::View;

namespace {

template <class T>
bool does(const TierOutcome& outcome) {
  return outcome.actions.size() == 1 && std::holds_alternative<T>(outcome.actions.front());
}

// Tier one fell silent an hour after it had started, two minutes ago.
void wedge(StackWorld& world) {
  api::Pod& pod = world.add_pod("one", PodStage::NotAnswering, noon - 120'000);
  pod.engine->started = noon - 3'720'000;
  world.probes[pod.metadata.uid] = {ProbePhase::NotAnswering, "health answered 503", noon - 120'000, {}, {}};
  world.probes[pod.metadata.uid].wedged_since = noon - 1'000;
}

}  // namespace

TEST_CASE("a wedged engine is a failure that is counted once, and is stopped in the window") {
  StackWorld world(1);
  wedge(world);
  TierOutcome first = pass(world);
  CHECK(first.actions.empty());
  CHECK_FALSE(first.request);
  CHECK(first.status.state == "BackOff");
  CHECK(first.status.reason == "Wedged");
  CHECK(first.status.restarts == 1);
  REQUIRE(first.status.last_failure);
  CHECK(
      first.status.last_failure->message ==
      "the engine runs and has not answered since 2026-02-03T11:58:00Z (health answered 503); it is stopped "
      "and started again");

  TierOutcome second = pass(world);
  CHECK(second.status.restarts == 1);
  CHECK(second.actions.empty());
  REQUIRE(second.request);
  CHECK(second.request->kind == WindowRequest::Kind::Stop);
  CHECK(second.status.state == "Stopping");

  world.verdicts["llm/strix-one"] = {names::reason_load_window, "strix-two loads"};
  CHECK(pass(world).status.message.ends_with("; strix-two loads"));

  // Let through: there is nothing to wait for in its drain.
  api::Pod& pod = *world.pod("one");
  pod.conditions = {
      {std::string(names::readiness_gate), "False", std::string(names::serving_draining), "", noon}};
  TierOutcome third = pass(world);
  CHECK(does<DeletePod>(third));
  CHECK(third.status.restarts == 1);

  world.pods.clear();
  CHECK(does<CreatePod>(pass(world)));
  world.add_pod("one", PodStage::Gated);
  TierOutcome again = pass(world);
  CHECK(again.status.state == "BackOff");
  CHECK_FALSE(again.request);
}

TEST_CASE("a run that was long before the engine hung starts the back-off anew") {
  for (bool long_run : {true, false}) {
    CAPTURE(long_run);
    StackWorld world(1);
    world.status("one").consecutive_failures = 4;
    wedge(world);
    if (!long_run) world.pod("one")->engine->started = noon - 180'000;
    CHECK(pass(world).status.consecutive_failures == (long_run ? 1 : 5));
  }
}

TEST_CASE("what is only silent, or on a machine that is away or has just come back, is left alone") {
  struct Case {
    const char* what;
    std::function<void(StackWorld&)> change;
    const char *reason, *message;
  };
  const Case cases[] = {
      {"silent for a while", [](StackWorld& w) { w.probes.begin()->second.wedged_since = 0; }, "NotAnswering",
       "clients are kept away: health answered 503"},
      {"node not ready",
       [](StackWorld& w) {
         w.nodes.front().ready = false;
         w.nodes.front().ready_message = "Kubelet stopped posting node status.";
       },
       "NodeNotReady",
       "node strix-halo is not Ready: Kubelet stopped posting node status.; what runs there is left alone"},
      {"node gone", [](StackWorld& w) { w.nodes.clear(); }, "NodeNotFound",
       "there is no node strix-halo any more: Kubernetes takes pod strix-one away, and the tier starts again "
       "on "
       "the node that has the labels of spec.nodes then"},
      {"back for ten seconds", [](StackWorld& w) { w.nodes.front().ready_since = noon - 10'000; },
       "NotAnswering", "clients are kept away: health answered 503"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    StackWorld world(1);
    wedge(world);
    c.change(world);
    TierOutcome outcome = pass(world);
    CHECK(outcome.actions.empty());
    CHECK_FALSE(outcome.request);
    CHECK(outcome.status.state == "NotAnswering");
    CHECK(outcome.status.reason == c.reason);
    CHECK(outcome.status.message == c.message);
    CHECK(outcome.status.restarts == 0);
  }
}

TEST_CASE("a machine that has just come back is looked at again when it has settled") {
  StackWorld world(1);
  wedge(world);
  world.nodes.front().ready_since = noon - 10'000;
  CHECK(pass(world).retry_after_millis == node_settle_millis - 10'000);
  world.tick(node_settle_millis);
  CHECK(pass(world).status.reason == "Wedged");
}

TEST_CASE("a silent tier is asked as one that served, also by an operator that has just started") {
  StackWorld world(1);
  wedge(world);
  TierOutcome outcome = pass(world);
  REQUIRE(outcome.target);
  CHECK(outcome.target->was_silent);
  CHECK_FALSE(outcome.target->was_serving);
}
