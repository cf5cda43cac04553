#include <functional>

#include "api/conditions.h"
#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;

namespace {

// What kstatus computes of a resource that it does not know (cli-utils, pkg/kstatus/status, generic.go): the
// rules that Flux and Argo CD wait by.
std::string kstatus(const api::InferenceStack& stack) {
  if (stack.metadata.deleting()) return "Terminating";
  if (stack.status.observed_generation != stack.metadata.generation) return "InProgress";
  for (const auto& condition : stack.status.conditions) {
    if (condition.type == "Reconciling" && condition.status == "True") return "InProgress";
    if (condition.type == "Stalled" && condition.status == "True") return "Failed";
  }
  const api::Condition* ready = api::find_condition(stack.status.conditions, "Ready");
  if (!ready) return "Current";
  return ready->status == "True" ? "Current" : "InProgress";
}

std::string status_of(const api::InferenceStack& stack, std::string_view type) {
  const api::Condition* found = api::find_condition(stack.status.conditions, type);
  return found ? found->status : "absent";
}

void fail_with(StackWorld& world, const std::string& tier, const std::string& failure_class,
               engines::Treatment treatment) {
  api::Pod& pod = world.add_pod(tier, PodStage::Ended, noon - 10'000);
  world.diagnoses[pod.metadata.uid] = {failure_class, treatment, "what the log said", {}};
}

struct Row {
  std::string situation;
  std::function<void(StackWorld&)> arrange;
  std::string ready, reconciling, stalled, kstatus;
  std::string reason = {};  // of Ready; empty: any
};

const std::vector<Row> table = {
    // --- first visit, starting, rolling, backing off, node not found or not ready, model missing ---
    {"first visit", [](StackWorld&) {}, "False", "True", "absent", "InProgress"},
    {"a tier loads", [](StackWorld& w) { w.add_pod("one", PodStage::Loading); }, "False", "True", "absent",
     "InProgress", "Starting"},
    {"a tier answers and is not warm",
     [](StackWorld& w) {
       w.add_pod("one", PodStage::Loading);
       w.probe("one", ProbePhase::WarmingUp);
     },
     "False", "True", "absent", "InProgress", "Starting"},
    {"a changed tier waits for its stop",
     [](StackWorld& w) {
       w.serve_all();
       w.tier("two").context_length_tokens = 4096;
     },
     "False", "True", "absent", "InProgress", "Stopping"},
    {"a tier drains",
     [](StackWorld& w) {
       w.serve_all();
       fake::put_into(*w.pod("two"), PodStage::Draining, noon - 1'000);
       w.tier("two").context_length_tokens = 4096;
     },
     "False", "True", "absent", "InProgress", "Stopping"},
    {"a tier failed and is tried again",
     [](StackWorld& w) {
       w.serve_all();
       fake::put_into(*w.pod("two"), PodStage::Ended, noon - 1'000);
     },
     "False", "True", "absent", "InProgress", "BackingOff"},
    {"a tier fell silent",
     [](StackWorld& w) {
       w.serve_all();
       w.probe("two", ProbePhase::NotAnswering, "health was refused");
     },
     "False", "True", "absent", "InProgress"},
    {"no such node", [](StackWorld& w) { w.nodes.clear(); }, "False", "True", "absent", "InProgress",
     "NodeNotFound"},
    {"two such nodes",
     [](StackWorld& w) {
       w.nodes.push_back(fake::a_node("strix-other"));
       w.nodes.back().metadata.labels["kubernetes.io/hostname"] = "strix-halo";
     },
     "False", "True", "absent", "InProgress", "NodeAmbiguous"},
    {"the node is not ready",
     [](StackWorld& w) {
       w.serve_all();
       w.nodes.front().ready = false;
     },
     "False", "True", "absent", "InProgress", "NodeNotReady"},
    {"the model is missing",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       fail_with(w, "two", "ModelMissing", engines::Treatment::AwaitModel);
     },
     "False", "True", "absent", "InProgress", "Waiting"},
    // --- invalid spec, Refuse and too big, quarantined, given up ---
    {"the spec is invalid", [](StackWorld& w) { w.tier("two").port = w.tier("one").port; }, "False", "absent",
     "True", "Failed", "InvalidSpec"},
    {"the spec became invalid while all served",
     [](StackWorld& w) {
       w.serve_all();
       w.tier("two").port = w.tier("one").port;
     },
     "False", "absent", "True", "Failed", "InvalidSpec"},
    {"too big, and whenShort is Refuse",
     [](StackWorld& w) {
       w.tier("one").gpu_fraction_milli = w.tier("two").gpu_fraction_milli = 600;
       w.stack.spec.when_short = api::WhenShort::Refuse;
     },
     "False", "absent", "True", "Failed", "MemoryShort"},
    {"a tier that cannot run by its own numbers",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       w.tier("two").gpu_fraction_milli = 990;
     },
     "False", "absent", "True", "Failed", "MemoryShort"},
    {"a combination that is known to crash",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       w.tier("two").quantization = "fp8";
     },
     "False", "absent", "True", "Failed", "CombinationRefused"},
    {"a combination that nobody has verified",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       w.tier("two").quantization = "hqq";
     },
     "False", "absent", "True", "Failed", "CombinationUnverified"},
    {"quarantined",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       fail_with(w, "two", "GpuFault", engines::Treatment::Quarantine);
     },
     "False", "absent", "True", "Failed", "Quarantined"},
    {"given up",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       fail_with(w, "two", "FlagMismatch", engines::Treatment::GiveUp);
     },
     "False", "absent", "True", "Failed", "GivenUp"},
    // --- all that should be resident is serving ---
    {"all serve", [](StackWorld& w) { w.serve_all(); }, "True", "absent", "absent", "Current",
     "AllTiersServing"},
    {"one is off, the other serves",
     [](StackWorld& w) {
       w.serve_all();
       w.pods.pop_back();
       w.tier("two").activation = api::Activation::Off;
     },
     "True", "absent", "absent", "Current", "AllTiersServing"},
    // --- the same, others parked by policy ---
    {"one serves, the other is parked",
     [](StackWorld& w) {
       w.tier("one").gpu_fraction_milli = w.tier("two").gpu_fraction_milli = 600;
       w.serve_all();
       w.pods.pop_back();
     },
     "True", "absent", "absent", "Current", "ReadyTiersParked"},
    // --- suspended and stopped ---
    {"suspended and stopped", [](StackWorld& w) { w.stack.spec.suspend = true; }, "True", "absent", "absent",
     "Current", "Suspended"},
    {"suspended and still stopping",
     [](StackWorld& w) {
       w.serve_all();
       w.stack.spec.suspend = true;
     },
     "False", "True", "absent", "InProgress", "Stopping"},
    // --- and the one that no table has to name ---
    {"being deleted",
     [](StackWorld& w) {
       w.serve_all();
       w.stack.metadata.deleted = noon;
     },
     "False", "True", "absent", "Terminating", "Deleting"},
};

}  // namespace

TEST_CASE("the table of what Flux and Argo CD read, row by row") {
  for (const Row& row : table) {
    INFO(row.situation);
    StackWorld world(2);
    row.arrange(world);
    world.settle();
    world.store(world.decide().status);
    CHECK(status_of(world.stack, "Ready") == row.ready);
    CHECK(status_of(world.stack, "Reconciling") == row.reconciling);
    CHECK(status_of(world.stack, "Stalled") == row.stalled);
    CHECK(kstatus(world.stack) == row.kstatus);
    if (!row.reason.empty()) {
      const api::Condition* ready = api::find_condition(world.stack.status.conditions, "Ready");
      REQUIRE(ready);
      CHECK(ready->reason == row.reason);
    }
  }
}

TEST_CASE("a stack that nobody has looked at yet, or not since its spec changed, is in progress") {
  StackWorld world(2);
  CHECK(world.stack.status.observed_generation == -1);
  CHECK(kstatus(world.stack) == "InProgress");
  world.serve_all();
  world.settle();
  CHECK(kstatus(world.stack) == "Current");
  world.stack.metadata.generation += 1;
  CHECK(kstatus(world.stack) == "InProgress");
}
