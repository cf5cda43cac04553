#include "reconcile/window.h"

#include "catch.h"
#include "fake/stack_world.h"
#include "reconcile/pod_stage.h"

using namespace strix;
using namespace strix::reconcile;
using fake::a_pod;
using fake::cpu_claim;
using fake::gpu_claim;
using fake::noon;
using Kind = WindowRequest::Kind;

namespace {

// A node on which nothing was given back for a while.
NodeObserved quiet() {
  NodeObserved node;
  node.now = {noon, 10'000'000};
  node.node = "strix-halo";
  node.leader = "strix-operator-1";
  node.facts = std::make_shared<const api::Node>(fake::a_node());
  node.profile = fake::halo_profile();
  node.released = node.now.boot - 600'000;
  return node;
}

void put(NodeObserved& node, api::Pod pod) {
  node.pods.push_back(std::make_shared<const api::Pod>(std::move(pod)));
}

// The pod is there as well, gated for a claim and serving for a stop.
WindowRequest& ask(NodeObserved& node, Kind kind, const std::string& name, const planner::Claim& claim,
                   int order = 0, WallMillis stack_created = noon - 3'600'000,
                   const std::string& stack = "strix") {
  api::Pod pod = a_pod(name, kind == Kind::Claim ? PodStage::Gated : PodStage::Serving, claim);
  WindowRequest request;
  request.kind = kind;
  request.stack = {"llm", stack};
  request.stack_uid = "uid-" + stack;
  request.stack_created = stack_created;
  request.order = order;
  request.node = node.node;
  request.tier = name;
  request.pod = {pod.metadata.key(), pod.metadata.uid, pod.metadata.resource_version};
  request.claim = claim;
  put(node, std::move(pod));
  return node.requests.emplace_back(std::move(request));
}

std::string granted(const WindowDecision& decision) {
  return decision.granted ? decision.granted->pod.name.name : "";
}

Verdict told(const WindowDecision& decision, const std::string& pod) {
  auto found = decision.verdicts.find("llm/" + pod);
  return found == decision.verdicts.end() ? Verdict{} : found->second;
}

void set_facts(NodeObserved& node, const std::function<void(api::Node&)>& change) {
  api::Node facts = *node.facts;
  change(facts);
  node.facts = std::make_shared<const api::Node>(facts);
}

}  // namespace

TEST_CASE("a tier alone on a quiet node is let in") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "a", gpu_claim(350));
  WindowDecision decision = decide_window(node);
  CHECK(granted(decision) == "a");
  CHECK(decision.verdicts.empty());
  CHECK(decision.vouch.empty());
  CHECK_FALSE(decision.retry_after_millis);
}

TEST_CASE("nobody asks, and nothing happens") {
  WindowDecision decision = decide_window(quiet());
  CHECK_FALSE(decision.granted);
  CHECK(decision.verdicts.empty());
  CHECK_FALSE(decision.retry_after_millis);
}

TEST_CASE("gated pods that another leader vouched for are vouched for first, and nothing is granted") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "a", gpu_claim(350));
  ask(node, Kind::Stop, "b", gpu_claim(100));
  api::Pod old = a_pod("old", PodStage::Gated, gpu_claim(100));
  old.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
  put(node, old);
  WindowDecision decision = decide_window(node);
  REQUIRE(decision.vouch.size() == 1);
  CHECK(decision.vouch[0].name.name == "old");
  CHECK(decision.vouch[0].resource_version == "5");
  CHECK_FALSE(decision.granted);
  CHECK(told(decision, "a").reason == "LoadWindow");
  CHECK(told(decision, "b").reason == "LoadWindow");
  CHECK(told(decision, "a").message == "waits for the load window of node strix-halo: it is being prepared");
}

TEST_CASE("only gated pods that stay are vouched for") {
  NodeObserved node = quiet();
  for (PodStage stage : {PodStage::Serving, PodStage::NotAnswering, PodStage::Ended}) {
    api::Pod pod = a_pod("p" + std::to_string(static_cast<int>(stage)), stage);
    pod.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
    put(node, pod);
  }
  api::Pod going = a_pod("going", PodStage::Gated);
  going.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
  going.metadata.deleted = noon;
  put(node, going);
  CHECK(decide_window(node).vouch.empty());
}

TEST_CASE("before anybody takes the window, what an earlier leader might still drain is vouched for") {
  NodeObserved node = quiet();
  for (PodStage stage : {PodStage::Serving, PodStage::NotAnswering, PodStage::Ended}) {
    api::Pod pod = a_pod("p" + std::to_string(static_cast<int>(stage)), stage);
    pod.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
    put(node, pod);
  }
  ask(node, Kind::Stop, "a", gpu_claim(100));
  WindowDecision decision = decide_window(node);
  CHECK(decision.vouch.size() == 2);
  CHECK_FALSE(decision.granted);
  CHECK(told(decision, "a").reason == "LoadWindow");
}

TEST_CASE("stops come before claims, the older stack before the newer, and within a stack its own order") {
  struct Asker {
    Kind kind;
    const char* name;
    int order;
    WallMillis created;
    const char* stack;
  };
  struct Row {
    const char* what;
    std::vector<Asker> askers;
    const char* first;
  };
  const std::vector<Row> rows = {
      {"a stop of a new stack before a claim of an old one",
       {{Kind::Claim, "a", 0, noon - 9000, "old"}, {Kind::Stop, "b", 0, noon - 1000, "new"}},
       "b"},
      {"the older stack",
       {{Kind::Claim, "a", 0, noon - 1000, "new"}, {Kind::Claim, "b", 7, noon - 9000, "old"}},
       "b"},
      {"of one age, by name",
       {{Kind::Claim, "a", 0, noon, "zebra"}, {Kind::Claim, "b", 0, noon, "adder"}},
       "b"},
      {"the order within a stack",
       {{Kind::Claim, "a", 2, noon, "s"}, {Kind::Claim, "b", 0, noon, "s"}, {Kind::Claim, "c", 1, noon, "s"}},
       "b"},
      {"stops in reverse order",
       {{Kind::Stop, "a", -1, noon, "s"}, {Kind::Stop, "b", -2, noon, "s"}, {Kind::Stop, "c", 0, noon, "s"}},
       "b"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    NodeObserved node = quiet();
    for (const auto& asker : row.askers)
      ask(node, asker.kind, asker.name, gpu_claim(50), asker.order, asker.created, asker.stack);
    for (int turn = 0; turn < 2; ++turn) {  // whatever order they were posted in
      WindowDecision decision = decide_window(node);
      CHECK(granted(decision) == row.first);
      CHECK(decision.verdicts.size() == row.askers.size() - 1);
      for (const auto& [pod, verdict] : decision.verdicts)
        CHECK(verdict.message ==
              "waits for the load window of node strix-halo: llm/" + std::string(row.first) + " goes first");
      std::reverse(node.requests.begin(), node.requests.end());
    }
  }
}

TEST_CASE("nothing is granted while another pod of the node loads, drains or terminates") {
  struct Row {
    PodStage stage;
    bool shut;
    const char* message;
  };
  const Row rows[] = {
      {PodStage::Gated, false, ""},
      {PodStage::Loading, true,
       "waits for the load window of node strix-halo: llm/other loads since 2026-02-03T11:59:00Z"},
      {PodStage::Serving, false, ""},
      {PodStage::NotAnswering, false, ""},
      {PodStage::Draining, true,
       "waits for the load window of node strix-halo: llm/other drains since 2026-02-03T11:59:00Z"},
      {PodStage::Terminating, true,
       "waits for the load window of node strix-halo: llm/other is being stopped since 2026-02-03T11:59:00Z"},
      {PodStage::Ended, false, ""},
  };
  for (Kind kind : {Kind::Claim, Kind::Stop}) {
    for (const auto& row : rows) {
      for (bool orphan : {false, true}) {
        CAPTURE(static_cast<int>(row.stage), static_cast<int>(kind), orphan);
        NodeObserved node = quiet();
        ask(node, kind, "a", gpu_claim(50));
        api::Pod other = a_pod("other", row.stage, cpu_claim(gib));
        if (!orphan) other.metadata.owners = {{"InferenceStack", "another", "stack-2", true}};
        put(node, other);
        WindowDecision decision = decide_window(node);
        CHECK(decision.granted.has_value() != row.shut);
        CHECK(told(decision, "a").message == row.message);
        if (row.shut) CHECK(told(decision, "a").reason == "LoadWindow");
      }
    }
  }
}

TEST_CASE("a pod that terminates says since when, which is not when its grace ends") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "a", gpu_claim(50));
  api::Pod other = a_pod("other", PodStage::Serving, gpu_claim(100));
  other.metadata.deleted = noon + 90'000;
  other.metadata.deletion_grace_seconds = 120;
  put(node, other);
  CHECK(told(decide_window(node), "a").message ==
        "waits for the load window of node strix-halo: llm/other is being stopped since "
        "2026-02-03T11:59:30Z");
}

TEST_CASE("a pod that somebody let in by hand shuts the window too") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "a", gpu_claim(50));
  api::Pod other = a_pod("other", PodStage::Loading);
  other.metadata.annotations.erase(std::string(names::annotation_admitted_at));
  other.metadata.labels.erase(std::string(names::label_admitted));
  put(node, other);
  WindowDecision decision = decide_window(node);
  CHECK_FALSE(decision.granted);
  CHECK(told(decision, "a").message == "waits for the load window of node strix-halo: llm/other loads");
}

TEST_CASE("facts that are missing or against it are a verdict and never a grant") {
  struct Row {
    const char* what;
    std::function<void(NodeObserved&)> change;
    const char* reason;
    const char* message;
    bool stops_too;
  };
  const std::vector<Row> rows = {
      {"no node", [](NodeObserved& n) { n.facts = nullptr; }, "NodeNotFound", "there is no node strix-halo",
       true},
      {"not Ready",
       [](NodeObserved& n) {
         set_facts(n, [](api::Node& f) {
           f.ready = false;
           f.ready_message = "kubelet stopped posting node status";
         });
       },
       "NodeNotReady", "node strix-halo is not Ready: kubelet stopped posting node status", false},
      {"cordoned", [](NodeObserved& n) { set_facts(n, [](api::Node& f) { f.unschedulable = true; }); },
       "NodeNotReady", "node strix-halo is cordoned; `kubectl uncordon strix-halo` lets the tier start",
       false},
      {"no device plugin",
       [](NodeObserved& n) {
         n.requests[0].device_resource = "squat.ai/dri";
         set_facts(n, [](api::Node& f) { f.allocatable.clear(); });
       },
       "DeviceNotAllocatable",
       "node strix-halo offers 0 of squat.ai/dri and 0 are in use; a device plugin that lends it more often, "
       "or strategy Privileged, lets the tier start",
       false},
      {"all devices lent",
       [](NodeObserved& n) {
         n.requests[0].device_resource = "squat.ai/dri";
         set_facts(n, [](api::Node& f) { f.allocatable["squat.ai/dri"] = 1; });
         api::Pod other = a_pod("other", PodStage::Serving, gpu_claim(100));
         other.devices = {"squat.ai/dri"};
         put(n, std::move(other));
       },
       "DeviceNotAllocatable",
       "node strix-halo offers 1 of squat.ai/dri and 1 are in use; a device plugin that lends it more often, "
       "or strategy Privileged, lets the tier start",
       false},
      {"no profile", [](NodeObserved& n) { n.profile = {}; }, "MemoryShort", "", false},
  };
  for (const auto& row : rows) {
    for (Kind kind : {Kind::Claim, Kind::Stop}) {
      CAPTURE(row.what, static_cast<int>(kind));
      NodeObserved node = quiet();
      ask(node, kind, "a", gpu_claim(350));
      row.change(node);
      WindowDecision decision = decide_window(node);
      bool refused = kind == Kind::Claim || row.stops_too;
      CHECK(decision.granted.has_value() != refused);
      if (!refused) continue;
      CHECK(told(decision, "a").reason == row.reason);
      if (*row.message) CHECK(told(decision, "a").message == row.message);
    }
  }
}

TEST_CASE("a CPU tier asks for no device, and devices of CPU tiers are not counted") {
  NodeObserved node = quiet();
  set_facts(node, [](api::Node& f) { f.allocatable["squat.ai/dri"] = 1; });
  put(node, a_pod("other", PodStage::Serving, cpu_claim(gib)));
  ask(node, Kind::Claim, "a", gpu_claim(350)).device_resource = "squat.ai/dri";
  CHECK(granted(decide_window(node)) == "a");
}

TEST_CASE("each bound of the ledger is a verdict with its numbers") {
  struct Row {
    const char* what;
    planner::Claim held, asked;
    const char* message;  // the beginning
  };
  const std::vector<Row> rows = {
      {"fraction", gpu_claim(600), gpu_claim(400),
       "a needs gpuFraction 0.40, but 0.60 of 0.95 is held (llm/other 0.60): 0.05 short."},
      {"GPU bytes",
       gpu_claim(500),
       {true, 100, 70 * gib, gib},
       "a needs 70.0Gi, but 62.0Gi of 124.0Gi GPU memory is held (llm/other 62.0Gi): 8.0Gi short."},
      {"everything", gpu_claim(500, 10 * gib), cpu_claim(60 * gib),
       "a needs 60.0Gi, but 72.0Gi of 122.0Gi (128.0Gi less 6.0Gi systemReserve) is held (llm/other 72.0Gi): "
       "10.0Gi short."},
  };
  for (const auto& row : rows) {
    for (PodStage stage : {PodStage::Serving, PodStage::NotAnswering, PodStage::Ended}) {
      CAPTURE(row.what, static_cast<int>(stage));
      NodeObserved node = quiet();
      put(node, a_pod("other", stage, row.held));
      ask(node, Kind::Claim, "a", row.asked);
      WindowDecision decision = decide_window(node);
      CHECK(decision.granted.has_value() == (stage == PodStage::Ended));
      if (stage == PodStage::Ended) continue;
      CHECK(told(decision, "a").reason == "MemoryShort");
      CHECK(told(decision, "a").message.substr(0, std::string(row.message).size()) == row.message);
    }
  }
}

TEST_CASE("one that does not fit does not hold up one that does") {
  NodeObserved node = quiet();
  put(node, a_pod("other", PodStage::Serving, gpu_claim(600)));
  ask(node, Kind::Claim, "large", gpu_claim(400), 0);
  ask(node, Kind::Claim, "small", gpu_claim(100), 1);
  WindowDecision decision = decide_window(node);
  CHECK(granted(decision) == "small");
  CHECK(told(decision, "large").reason == "MemoryShort");
}

TEST_CASE("memory that was just given back settles before the next GPU tier measures it") {
  NodeObserved node = quiet();
  node.released = node.now.boot - 500;
  ask(node, Kind::Claim, "a", gpu_claim(350), 0);
  ask(node, Kind::Claim, "b", cpu_claim(gib), 1);
  WindowDecision decision = decide_window(node);
  CHECK_FALSE(decision.granted);  // nor does the CPU tier overtake it
  CHECK(decision.retry_after_millis == release_settle_millis - 500);
  CHECK(told(decision, "a").reason == "MemorySettling");
  CHECK(told(decision, "b").reason == "LoadWindow");

  node.released = node.now.boot - release_settle_millis;
  CHECK(granted(decide_window(node)) == "a");
}

TEST_CASE("a CPU tier, and a stop, do not wait for memory to settle") {
  for (bool stop : {false, true}) {
    NodeObserved node = quiet();
    node.released = node.now.boot;
    ask(node, stop ? Kind::Stop : Kind::Claim, "a", stop ? gpu_claim(100) : cpu_claim(gib));
    CHECK(granted(decide_window(node)) == "a");
  }
}

TEST_CASE("a pod that vanished without ending is held until its time is over") {
  NodeObserved node = quiet();
  node.vanished.push_back({"uid-gone", "llm/gone (vanished)", gpu_claim(600), node.now.boot + 40'000});
  ask(node, Kind::Claim, "a", gpu_claim(400));
  WindowDecision decision = decide_window(node);
  CHECK_FALSE(decision.granted);
  CHECK(told(decision, "a").message.find("is held (llm/gone (vanished) 0.60)") != std::string::npos);
  CHECK(decision.retry_after_millis == 40'000);
  REQUIRE(held_entries(node).size() == 1);

  node.now.boot += 40'000;
  CHECK(granted(decide_window(node)) == "a");
  CHECK(held_entries(node).empty());
}

TEST_CASE("what is held is every admitted pod that has not ended") {
  NodeObserved node = quiet();
  for (PodStage stage : {PodStage::Gated, PodStage::Loading, PodStage::Serving, PodStage::NotAnswering,
                         PodStage::Draining, PodStage::Terminating, PodStage::Ended})
    put(node, a_pod("p" + std::to_string(static_cast<int>(stage)), stage, gpu_claim(10)));
  auto held = held_entries(node);
  CHECK(held.size() == 5);
  CHECK(planner::total_of(held).gpu_fraction_milli == 50);
}

TEST_CASE("beside a pod whose claim cannot be read nothing is promised, and the verdict says what to do") {
  const char* const unreadable[] = {"", "{", "{}", "a lot",
                                    R"({"gpu":true,"gpuBytes":-1,"gpuFractionMilli":1})"};
  for (const char* text : unreadable) {
    for (PodStage stage : {PodStage::Serving, PodStage::NotAnswering, PodStage::Gated, PodStage::Ended}) {
      CAPTURE(text, static_cast<int>(stage));
      NodeObserved node = quiet();
      ask(node, Kind::Claim, "a", gpu_claim(50));
      api::Pod other = a_pod("other", stage);
      other.metadata.annotations[std::string(names::annotation_claim)] = text;
      put(node, other);
      WindowDecision decision = decide_window(node);
      CHECK(decision.granted.has_value() != holds_memory(other));
      if (!holds_memory(other)) continue;
      CHECK(told(decision, "a").reason == "ClaimUnknown");
      CHECK(told(decision, "a").message ==
            "what pod llm/other holds on node strix-halo is not known: its annotation "
            "inference.strix.dev/claim cannot be read; `kubectl delete pod -n llm other` ends the wait");
      ask(node, Kind::Stop, "b", gpu_claim(50));
      CHECK(granted(decide_window(node)) == "b");  // what frees memory goes on
    }
  }
}

TEST_CASE("a pod that vanished with a claim that nobody can read is waited for") {
  NodeObserved node = quiet();
  node.vanished.push_back({"uid-gone", "llm/gone (vanished)", {}, node.now.boot + 40'000, false});
  ask(node, Kind::Claim, "a", gpu_claim(50));
  WindowDecision decision = decide_window(node);
  CHECK_FALSE(decision.granted);
  CHECK(told(decision, "a").reason == "ClaimUnknown");
  CHECK(told(decision, "a").message ==
        "what llm/gone (vanished) holds on node strix-halo is not known; waits until it must have given it "
        "back");
  CHECK(decision.retry_after_millis == 40'000);
  node.now.boot += 40'000;
  CHECK(granted(decide_window(node)) == "a");
}

TEST_CASE("on a node that is short of memory nothing is let in, and stops go on") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "one", gpu_claim(200));
  node.pressure = PressureLevel::Warning;
  WindowDecision decision = decide_window(node);
  REQUIRE(granted(decision).empty());
  REQUIRE(told(decision, "one").reason == "MemoryLow");
  ask(node, Kind::Stop, "two", gpu_claim(200));
  REQUIRE(granted(decide_window(node)) == "two");
  node.requests.pop_back();
  for (PressureLevel level : {PressureLevel::Unknown, PressureLevel::None}) {
    node.pressure = level;
    REQUIRE(granted(decide_window(node)) == "one");
  }
}

TEST_CASE("a tier that takes no device of a resource uses none of it") {
  NodeObserved node = quiet();
  ask(node, Kind::Claim, "a", gpu_claim(350)).device_resource = "squat.ai/dri";
  set_facts(node, [](api::Node& facts) { facts.allocatable["squat.ai/dri"] = 1; });
  api::Pod other = a_pod("other", PodStage::Serving, gpu_claim(350));
  other.devices = {"example.com/gpu"};
  put(node, other);
  CHECK(granted(decide_window(node)) == "a");
  other.metadata.name = "third";
  other.devices = {"squat.ai/dri"};
  put(node, other);
  CHECK(told(decide_window(node), "a").reason == "DeviceNotAllocatable");
}
