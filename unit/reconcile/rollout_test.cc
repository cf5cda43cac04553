// Changes of what is wanted, and of what is known: the smallest number of stops, and none without a reason.
#include <functional>

#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::actions_of;
using fake::noon;
using fake::StackWorld;

namespace {

bool stops_anything(const Decision& decision) {
  return !decision.requests.empty() || !actions_of<DeletePod>(decision).empty() ||
         !actions_of<CreatePod>(decision).empty();
}

std::vector<std::string> stops(const Decision& decision) {
  std::vector<std::string> tiers;
  for (const auto& request : decision.requests)
    if (request.kind == WindowRequest::Kind::Stop) tiers.push_back(request.tier);
  return tiers;
}

// Tiers one and two on the first node, three and four on a second.
void spread(StackWorld& world) {
  world.stack.spec.nodes.push_back(fake::a_stack_node("other", "other-halo"));
  world.nodes.push_back(fake::a_node("other-halo"));
  for (const char* name : {"one", "two"}) world.tier(name).node = "halo";
  for (const char* name : {"three", "four"}) world.tier(name).node = "other";
}

}  // namespace

TEST_CASE("what needs no new pod stops nothing") {
  struct Case {
    const char* what;
    std::function<void(StackWorld&)> edit;
  };
  const Case cases[] = {
      {"priority", [](StackWorld& w) { w.tier("one").priority = 90; }},
      {"startAfter", [](StackWorld& w) { w.tier("one").start_after = {"two"}; }},
      {"drainTimeoutSeconds", [](StackWorld& w) { w.tier("one").drain_timeout_seconds = 7; }},
      {"probe",
       [](StackWorld& w) {
         w.tier("one").probe = {"/up", 60};
       }},
      {"restart",
       [](StackWorld& w) {
         w.tier("one").restart = {1, 2};
       }},
      {"service", [](StackWorld& w) { w.tier("one").service.type = "NodePort"; }},
      {"order of tiers", [](StackWorld& w) { std::swap(w.stack.spec.tiers[0], w.stack.spec.tiers[1]); }},
      {"memoryPolicy", [](StackWorld& w) { w.stack.spec.when_short = api::WhenShort::Refuse; }},
      {"systemReserve", [](StackWorld& w) { w.stack.spec.nodes[0].profile.system_reserve_bytes += gib; }},
      {"maxGpuFraction", [](StackWorld& w) { w.stack.spec.nodes[0].profile.max_gpu_fraction_milli = 900; }},
      {"gpuMemory", [](StackWorld& w) { w.stack.spec.nodes[0].profile.gpu_memory_bytes = 120 * gib; }},
      {"clear-failures",
       [](StackWorld& w) {
         w.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "now";
       }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    StackWorld world(2);
    world.edit_served(c.edit);
    CHECK_FALSE(stops_anything(world.decide()));
  }
}

TEST_CASE("what is known better corrects the ledger's entry of a pod that runs") {
  StackWorld world(2);
  world.serve_all();
  CHECK(actions_of<NoteClaim>(world.decide()).empty());
  world.stack.spec.nodes[0].profile.gpu_memory_bytes = 120 * gib;
  auto notes = actions_of<NoteClaim>(world.decide());
  REQUIRE(notes.size() == 2);
  CHECK(planner::decode_claim(notes[0].claim)->gpu_bytes == 12 * gib);
  for (const auto& note : notes) {
    api::Pod& pod = *world.pod(note.tier);
    CHECK(note.pod.resource_version == pod.metadata.resource_version);
    pod.metadata.annotations[std::string(names::annotation_claim)] = note.claim;
  }
  CHECK(actions_of<NoteClaim>(world.decide()).empty());
}

TEST_CASE("an entry that somebody spoiled is put right; one that is not the plan's is left alone") {
  StackWorld world(1);
  world.serve_all();
  auto& claim = world.pod("one")->metadata.annotations[std::string(names::annotation_claim)];
  std::string right = claim;
  claim = "much";
  REQUIRE(actions_of<NoteClaim>(world.decide()).size() == 1);
  CHECK(actions_of<NoteClaim>(world.decide())[0].claim == right);
  SECTION("it holds more than its own numbers allow now: what it holds is not known better") {
    world.stack.spec.nodes[0].profile.gpu_memory_bytes = 120 * gib;
    world.stack.spec.nodes[0].profile.max_gpu_fraction_milli = 10;
    claim = right;
    CHECK(actions_of<NoteClaim>(world.decide()).empty());
  }
  SECTION("it is being replaced") {
    world.tier("one").gpu_fraction_milli = 200;
    CHECK(actions_of<NoteClaim>(world.decide()).empty());
  }
}

TEST_CASE("a gated pod asks for the window with the entry that it carries") {
  StackWorld world(1);
  world.add_services();
  world.add_pod("one", PodStage::Gated);
  REQUIRE(world.decide().requests.size() == 1);
  world.stack.spec.nodes[0].profile.gpu_memory_bytes = 120 * gib;
  Decision decision = world.decide();
  CHECK(decision.requests.empty());
  REQUIRE(actions_of<NoteClaim>(decision).size() == 1);
  world.pod("one")->metadata.annotations[std::string(names::annotation_claim)] =
      actions_of<NoteClaim>(decision)[0].claim;
  decision = world.decide();
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].claim == claim_of(*world.pod("one")));
}

TEST_CASE("two tiers that change their shares both stop before either grows") {
  StackWorld world(2);
  world.tier("one").gpu_fraction_milli = 350;
  world.tier("two").gpu_fraction_milli = 600;
  world.serve_all();
  world.settle();
  std::swap(world.tier("one").gpu_fraction_milli, world.tier("two").gpu_fraction_milli);
  CHECK(stops(world.decide()) == std::vector<std::string>{"two", "one"});
  // One is gone and wants to come back: the other has not stopped yet, and comes first.
  std::erase_if(world.pods, [](const api::Pod& pod) { return pod.metadata.name == "strix-two"; });
  world.add_pod("two", PodStage::Gated);
  Decision decision = world.decide();
  NodeObserved node;
  node.now = world.now;
  node.node = "strix-halo";
  node.leader = world.leader;
  node.facts = std::make_shared<const api::Node>(world.nodes.front());
  node.profile = fake::halo_profile();
  node.released = node.now.boot - 600'000;
  for (const auto& pod : world.pods) node.pods.push_back(std::make_shared<const api::Pod>(pod));
  node.requests = decision.requests;
  REQUIRE(node.requests.size() == 2);
  auto told = decide_window(node);
  REQUIRE(told.granted);
  CHECK(told.granted->kind == WindowRequest::Kind::Stop);
  CHECK(told.granted->tier == "one");
}

TEST_CASE("a suspended stack stops on all its nodes at once, in reverse order on each") {
  StackWorld world(4);
  spread(world);
  world.serve_all();
  world.stack.spec.suspend = true;
  CHECK(stops(world.decide()) == std::vector<std::string>{"two", "four"});
  SECTION("but nothing before what starts after it, wherever that is") {
    world.tier("three").start_after = {"two"};
    CHECK(stops(world.decide()) == std::vector<std::string>{"four"});
    std::erase_if(world.pods, [](const api::Pod& pod) { return pod.metadata.name == "strix-four"; });
    CHECK(stops(world.decide()) == std::vector<std::string>{"three"});
    std::erase_if(world.pods, [](const api::Pod& pod) { return pod.metadata.name == "strix-three"; });
    CHECK(stops(world.decide()) == std::vector<std::string>{"two"});
  }
}

TEST_CASE("a tier waits for a window on its own node alone") {
  StackWorld world(4);
  spread(world);
  world.add_services();
  world.add_pod("one", PodStage::Loading);
  world.probe("one", ProbePhase::Loading);
  for (const char* name : {"two", "three", "four"}) world.add_pod(name, PodStage::Gated);
  Decision decision = world.decide();
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].tier == "three");
  CHECK(decision.requests[0].node == "other-halo");
}
