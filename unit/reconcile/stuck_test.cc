#include "api/conditions.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "reconcile/pod_stage.h"
#include "reconcile/window.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;

namespace {

api::Pod going(const std::string& name, WallMillis gone_by) {
  api::Pod pod = fake::a_pod(name, PodStage::Terminating, fake::gpu_claim(300));
  pod.metadata.deleted = gone_by;
  return pod;
}

NodeObserved node_with(const api::Pod& pod, const planner::Claim& asked) {
  NodeObserved node;
  node.now = {noon, 10'000'000};
  node.node = "strix-halo";
  node.leader = "strix-operator-1";
  node.facts = std::make_shared<const api::Node>(fake::a_node());
  node.profile = fake::halo_profile();
  node.released = node.now.boot - 600'000;
  node.pods.push_back(std::make_shared<const api::Pod>(pod));
  api::Pod gated = fake::a_pod("asks", PodStage::Gated, asked);
  WindowRequest request;
  request.stack = {"llm", "strix"};
  request.node = node.node;
  request.tier = "asks";
  request.pod = {gated.metadata.key(), gated.metadata.uid, gated.metadata.resource_version};
  request.claim = asked;
  node.pods.push_back(std::make_shared<const api::Pod>(gated));
  node.requests.push_back(request);
  return node;
}

}  // namespace

TEST_CASE("a node is stuck a minute after a pod's grace period ended, and not before") {
  CHECK_FALSE(is_stuck(going("p", noon), {noon + 59'999, 0}));
  CHECK(is_stuck(going("p", noon), {noon + 60'000, 0}));
  CHECK_FALSE(is_stuck(fake::a_pod("p", PodStage::Serving, fake::gpu_claim(300)), {noon + 600'000, 0}));
  CHECK(stuck_from(fake::a_pod("p", PodStage::Loading, fake::gpu_claim(300)), {noon, 0}) == 0);
}

TEST_CASE("until then the window is held, and it is looked at again at that moment") {
  auto decision = decide_window(node_with(going("strix-old", noon - 40'000), fake::gpu_claim(300)));
  CHECK_FALSE(decision.granted);
  CHECK(decision.verdicts.begin()->second.reason == "LoadWindow");
  CHECK(decision.retry_after_millis == 20'000);
}

TEST_CASE("a stuck node takes no GPU claim, and goes on with CPU tiers") {
  auto old = going("strix-old", noon - 61'000);
  auto gpu = decide_window(node_with(old, fake::gpu_claim(300)));
  CHECK_FALSE(gpu.granted);
  CHECK(gpu.verdicts.begin()->second.reason == "NodeStuck");
  CHECK(gpu.verdicts.begin()->second.message.find("reboot the node") != std::string::npos);
  CHECK(decide_window(node_with(old, fake::cpu_claim(gib))).granted);
}

TEST_CASE("what a stuck pod holds stays in the ledger") {
  auto node = node_with(going("strix-old", noon - 61'000), fake::cpu_claim(120 * gib));
  auto decision = decide_window(node);
  CHECK_FALSE(decision.granted);
  CHECK(decision.verdicts.begin()->second.reason == "MemoryShort");
}

TEST_CASE("a pod of a removed tier is told while it is being stopped, and when it will not go") {
  fake::StackWorld world(2);
  world.serve_all();
  api::Pod& old = *world.pod("two");
  world.stack.spec.tiers.pop_back();
  world.settle();
  fake::put_into(old, PodStage::Terminating, noon);
  auto ready = [&] { return api::find_condition(world.stack.status.conditions, names::condition_ready); };
  world.settle();
  CHECK(world.stack.status.summary.status == "Stopping two");
  CHECK(ready()->message.starts_with("two: pod strix-two is going since"));
  world.tick(old.termination_grace_seconds * 1000 + stuck_patience_millis);
  world.settle();
  CHECK(world.stack.status.summary.status == "NodeStuck");
  CHECK(api::find_condition(world.stack.status.conditions, names::condition_node_ready)->reason ==
        "NodeStuck");
  CHECK(ready()->message.find("reboot it") != std::string::npos);
}
