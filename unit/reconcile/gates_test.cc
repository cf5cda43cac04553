#include "reconcile/gates.h"

#include <functional>

#include "catch.h"
#include "reconcile/failure.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::View;

namespace {

std::vector<std::string> names_of(const std::vector<Gate>& gates) {
  std::vector<std::string> all;
  for (const auto& gate : gates) all.emplace_back(gate.name);
  return all;
}

std::vector<std::string> holding(const std::vector<Gate>& gates, const TierContext& context) {
  std::vector<std::string> all;
  for (const auto& gate : gates)
    if (gate.holds(context)) all.emplace_back(gate.name);
  return all;
}

struct Row {
  const char* what;
  std::function<void(StackWorld&)> change;
  const char* gate;  // the only one that holds; empty: none
  const char* reason;
  const char* message;
};

// Of tier two, whose predecessor one serves.
void check_rows(const std::vector<Gate>& gates, const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    CAPTURE(row.what);
    StackWorld world;
    world.add_pod("one", PodStage::Serving);
    row.change(world);
    View view(world);
    const TierContext& two = view.tier("two");
    std::vector<std::string> expected;
    if (*row.gate) expected.emplace_back(row.gate);
    CHECK(holding(gates, two) == expected);
    auto verdict = first_that_holds(gates, two);
    CHECK(verdict.has_value() == !expected.empty());
    if (!verdict) continue;
    CHECK(verdict->reason == row.reason);
    CHECK(verdict->message == row.message);
  }
}

api::Failure failure(const StackWorld& world, const char* failure_class, WallMillis time) {
  View view(world);
  const TierContext& two = view.tier("two");
  return {.failure_class = failure_class,
          .message = "the engine said why",
          .time = time,
          .subject = subject_of(failure_class, world.stack.spec, *two.tier, two.rendered->template_hash),
          .cleared = world.stack.metadata.annotation(names::annotation_clear_failures)};
}

void fail_two(StackWorld& world, const char* failure_class, WallMillis time, int in_a_row = 1) {
  api::Failure what = failure(world, failure_class, time);
  world.status("two").last_failure = what;
  world.status("two").consecutive_failures = in_a_row;
}

}  // namespace

TEST_CASE("the gates before a pod, in order") {
  CHECK(names_of(gates_before_pod()) ==
        std::vector<std::string>{"NameTaken", "NodeUnknown", "CannotRun", "HeldBack"});
}

TEST_CASE("the gates before the load window, in order") {
  CHECK(names_of(gates_before_window()) == std::vector<std::string>{"NodeNotReady", "ImagePullFailed",
                                                                    "BackOff", "Predecessor", "Finalizer",
                                                                    "ImagePulling"});
}

TEST_CASE("each gate before a pod holds alone, for its own reason") {
  check_rows(
      gates_before_pod(),
      {{"nothing against it", [](StackWorld&) {}, "", "", ""},
       {"its own pod", [](StackWorld& w) { w.add_pod("two", PodStage::Gated); }, "", "", ""},
       {"an orphan of ours",
        [](StackWorld& w) { w.add_pod("two", PodStage::Serving).metadata.owners.clear(); }, "", "", ""},
       {"a stranger's pod",
        [](StackWorld& w) {
          w.add_pod("two", PodStage::Serving).metadata.owners = {{"Deployment", "d", "uid-d", true}};
        },
        "NameTaken", "PodNameTaken",
        "pod strix-two exists and belongs to something else; delete or rename it"},
       {"a bare pod without our labels",
        [](StackWorld& w) {
          auto& meta = w.add_pod("two", PodStage::Serving).metadata;
          meta.owners.clear();
          meta.labels.clear();
        },
        "NameTaken", "PodNameTaken",
        "pod strix-two exists and belongs to something else; delete or rename it"},
       {"an earlier stack's pod that is going",
        [](StackWorld& w) {
          w.add_pod("two", PodStage::Terminating).metadata.owners = {
              {"InferenceStack", "strix", "old", true}};
        },
        "NameTaken", "PreviousPodTerminating", "waits until pod strix-two of an earlier stack is gone"},
       {"the API server refused",
        [](StackWorld& w) {
          w.refusals["two"] = {"Refused", "the API server refuses pod/llm/strix-two: no"};
        },
        "NameTaken", "Refused", "the API server refuses pod/llm/strix-two: no"},
       {"the API server refused another",
        [](StackWorld& w) {
          w.refusals["one"] = {"Refused", "no"};
        },
        "", "", ""},
       {"no such node", [](StackWorld& w) { w.nodes.clear(); }, "NodeUnknown", "NodeNotFound",
        "no node has the labels kubernetes.io/hostname=strix-halo of spec.nodes halo"},
       {"a node that is being deleted", [](StackWorld& w) { w.nodes.front().metadata.deleted = noon; },
        "NodeUnknown", "NodeNotFound",
        "no node has the labels kubernetes.io/hostname=strix-halo of spec.nodes halo"},
       {"two such nodes",
        [](StackWorld& w) {
          w.nodes.push_back(fake::a_node("twin"));
          w.nodes.back().metadata.labels["kubernetes.io/hostname"] = "strix-halo";
        },
        "NodeUnknown", "NodeAmbiguous",
        "2 nodes have the labels kubernetes.io/hostname=strix-halo of spec.nodes halo (strix-halo, twin); "
        "one "
        "must"},
       {"it cannot fit by its own numbers", [](StackWorld& w) { w.tier("two").gpu_fraction_milli = 960; },
        "CannotRun", "MemoryShort",
        "two needs gpuFraction 0.96, but halo has a maxGpuFraction of 0.95: 0.01 short. It fits with "
        "gpuFraction 0.95."}});
}

TEST_CASE("what cannot heal by itself is held back until its cause, or a person, changes something") {
  const std::string clear(names::annotation_clear_failures);
  struct Case {
    const char* what;
    const char* failure_class;
    std::function<void(StackWorld&)> change;
    const char* reason;  // empty: it is tried again
  };
  const std::vector<Case> cases = {
      {"a GPU fault", "GpuFault", [](StackWorld&) {}, "Quarantined"},
      {"a GPU fault, long ago", "GpuFault", [](StackWorld& w) { w.tick(1'000'000'000); }, "Quarantined"},
      {"a GPU fault, and another context", "GpuFault",
       [](StackWorld& w) { w.tier("two").context_length_tokens = 4096; }, "Quarantined"},
      {"a GPU fault, and another image", "GpuFault",
       [](StackWorld& w) { w.stack.spec.vllm.image = "other:1"; }, ""},
      {"a GPU fault, and another model", "GpuFault",
       [](StackWorld& w) { w.tier("two").model.repository = "Qwen/Qwen2.5-14B-Instruct"; }, ""},
      {"a GPU fault, and another quantisation", "GpuFault",
       [](StackWorld& w) { w.tier("two").quantization = "awq"; }, ""},
      {"a GPU fault, cleared by a person", "GpuFault",
       [&](StackWorld& w) { w.stack.metadata.annotations[clear] = "1"; }, ""},
      {"a flag that the image does not know", "FlagMismatch", [](StackWorld&) {}, "GivenUp"},
      {"the same, and the spec changed", "FlagMismatch",
       [](StackWorld& w) { w.tier("two").context_length_tokens = 4096; }, ""},
      {"the same, cleared by a person", "FlagMismatch",
       [&](StackWorld& w) { w.stack.metadata.annotations[clear] = "1"; }, ""},
      {"an exit of no known cause", "Exited", [](StackWorld&) {}, ""},
      {"a class of no row", "Tuesday", [](StackWorld&) {}, ""},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    StackWorld world;
    fail_two(world, c.failure_class, noon - 1000);
    c.change(world);
    View view(world);
    auto verdict = held_back(view.tier("two"));
    CHECK((verdict ? verdict->reason : "") == c.reason);
    if (!verdict) continue;
    CHECK(verdict->message ==
          "the engine said why at 2026-02-03T11:59:59Z; annotate the stack with "
          "inference.strix.dev/clear-failures=<any new value> to try again");
    CHECK(first_that_holds(gates_before_pod(), view.tier("two")) == verdict);
  }
}

TEST_CASE(
    "a GPU fault quarantines its image, model and quantisation for every tier, a wrong flag for its own") {
  StackWorld world;
  fail_two(world, "GpuFault", noon - 1000);
  {
    View view(world);  // one runs the same model from the same image
    auto verdict = held_back(view.tier("one"));
    REQUIRE(verdict);
    CHECK(verdict->reason == "Quarantined");
    CHECK(verdict->message.substr(0, 34) == "as tier two found, the engine said");
  }
  world.tier("one").model.repository = "Qwen/Qwen2.5-14B-Instruct";
  {
    View view(world);
    CHECK_FALSE(held_back(view.tier("one")));
  }
  fail_two(world, "FlagMismatch", noon - 1000);
  View view(world);
  CHECK(held_back(view.tier("two")));
  CHECK_FALSE(held_back(view.tier("one")));
}

TEST_CASE("each gate before the window holds alone, for its own reason") {
  check_rows(
      gates_before_window(),
      {{"nothing against it", [](StackWorld&) {}, "", "", ""},
       {"the node is not Ready",
        [](StackWorld& w) {
          w.nodes.front().ready = false;
          w.nodes.front().ready_message = "kubelet stopped posting node status";
        },
        "NodeNotReady", "NodeNotReady", "node strix-halo is not Ready: kubelet stopped posting node status"},
       {"it failed a moment ago", [](StackWorld& w) { fail_two(w, "Exited", noon - 1000); }, "BackOff",
        "Exited",
        "the engine said why at 2026-02-03T11:59:59Z; the next try is at 2026-02-03T12:00:09Z (failure 1 in "
        "a "
        "row)"},
       {"it failed a minute ago", [](StackWorld& w) { fail_two(w, "Exited", noon - 60'000); }, "", "", ""},
       {"it failed a minute ago, for the fifth time",
        [](StackWorld& w) { fail_two(w, "Exited", noon - 60'000, 5); }, "BackOff", "Exited",
        "the engine said why at 2026-02-03T11:59:00Z; the next try is at 2026-02-03T12:01:55Z (failure 5 in "
        "a "
        "row)"},
       {"it failed, and its spec has changed since",
        [](StackWorld& w) {
          fail_two(w, "Exited", noon - 1000);
          w.tier("two").context_length_tokens = 4096;
        },
        "", "", ""},
       {"its predecessor has no pod", [](StackWorld& w) { w.pods.clear(); }, "Predecessor", "Predecessor",
        "waits until it serves: one (not started)"},
       {"the stack has no finalizer", [](StackWorld& w) { w.stack.metadata.finalizers.clear(); }, "Finalizer",
        "Preparing", "waits until the stack carries its finalizer"}});
}

TEST_CASE("a predecessor is waited for until it serves, whatever it does meanwhile") {
  struct Case {
    const char* what;
    std::function<void(StackWorld&)> change;
    bool waits;
  };
  auto in_stage = [](PodStage stage) { return [stage](StackWorld& w) { w.add_pod("one", stage); }; };
  const std::vector<Case> cases = {
      {"no pod", [](StackWorld&) {}, true},
      {"gated", in_stage(PodStage::Gated), true},
      {"loading", in_stage(PodStage::Loading), true},
      {"serving", in_stage(PodStage::Serving), false},
      {"silent", in_stage(PodStage::NotAnswering), true},
      {"draining", in_stage(PodStage::Draining), true},
      {"terminating", in_stage(PodStage::Terminating), true},
      {"ended", in_stage(PodStage::Ended), true},
      {"serving, and its engine fell silent",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Serving);
         w.probe("one", ProbePhase::NotAnswering, "no answer");
       },
       true},
      {"a stranger's pod of its name serves",
       [](StackWorld& w) { w.add_pod("one", PodStage::Serving).metadata.owners.front().uid = "other"; },
       true},
      {"switched off", [](StackWorld& w) { w.tier("one").activation = api::Activation::Off; }, false},
      {"too large for its node", [](StackWorld& w) { w.tier("one").gpu_fraction_milli = 960; }, false},
      {"too large, and named in startAfter",
       [](StackWorld& w) {
         w.tier("one").gpu_fraction_milli = 960;
         w.tier("two").start_after = {"one"};
       },
       true},
      {"not in startAfter",
       [](StackWorld& w) {
         w.stack.spec.tiers.push_back(fake::a_gpu_tier("three", 8003, 50));
         w.add_pod("three", PodStage::Serving);
         w.tier("two").start_after = {"three"};
       },
       false},
      {"on another node",
       [](StackWorld& w) {
         w.nodes.push_back(fake::a_node("second"));
         w.stack.spec.nodes.push_back(fake::a_stack_node("other", "second"));
         w.tier("one").node = "other";
         w.tier("two").node = "halo";
       },
       false},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    StackWorld world;
    c.change(world);
    View view(world);
    auto verdict = first_that_holds(gates_before_window(), view.tier("two"));
    CHECK(verdict.has_value() == c.waits);
    if (verdict) CHECK(verdict->reason == "Predecessor");
  }
}

TEST_CASE("a predecessor that is held back blocks only who named it") {
  StackWorld world;
  world.tier("one").model.repository = "Qwen/Qwen2.5-14B-Instruct";
  View before(world);
  const TierContext& one = before.tier("one");
  world.status("one").last_failure = api::Failure{
      .failure_class = "FlagMismatch",
      .message = "no such flag",
      .time = noon - 1000,
      .subject = subject_of("FlagMismatch", world.stack.spec, *one.tier, one.rendered->template_hash),
      .cleared = ""};
  CHECK_FALSE(first_that_holds(gates_before_window(), View(world).tier("two")));
  world.tier("two").start_after = {"one"};
  CHECK(first_that_holds(gates_before_window(), View(world).tier("two")));
}

TEST_CASE("who has named nobody does not wait for one that waits for a tier that will not come") {
  StackWorld world(3);
  world.tier("two").start_after = {"one"};
  CHECK(first_that_holds(gates_before_window(), View(world).tier("three")));
  world.tier("one").gpu_fraction_milli = 20;  // of a model that is known: it cannot run by its own numbers
  world.tier("one").model.repository = "Qwen/Qwen2.5-14B-Instruct";
  View view(world);
  REQUIRE(view.tier("one").cannot_run);
  CHECK(first_that_holds(gates_before_window(), view.tier("two")));
  CHECK_FALSE(first_that_holds(gates_before_window(), view.tier("three")));
  world.tier("three").start_after = {"two"};
  CHECK(first_that_holds(gates_before_window(), View(world).tier("three")));
}

TEST_CASE("who has named nobody does not wait for one that waits for its node to be rebooted") {
  StackWorld world(3);
  world.tier("three").engine = api::Engine::LlamaCpp;
  world.tier("three").accelerator = api::Accelerator::None;
  world.tier("three").model = {};
  world.tier("three").model.file = "example-Q4_K_M.gguf";
  world.tier("three").gpu_fraction_milli.reset();
  world.add_pod("one", PodStage::Terminating, noon - 3'600'000);
  world.verdicts["llm/strix-two"] = {std::string(names::reason_node_stuck), "node strix-halo is stuck"};
  world.add_pod("two", PodStage::Gated);
  api::Pod& three = world.add_pod("three", PodStage::Gated);
  Decision decision = world.decide();
  CHECK(fake::tier_in(decision.status, "one").reason == "NodeStuck");
  CHECK(std::any_of(decision.requests.begin(), decision.requests.end(),
                    [&](const auto& request) { return request.pod.uid == three.metadata.uid; }));
}

TEST_CASE("a failure of the neighbours' making is tried again quickly, three times") {
  for (int in_a_row = 1; in_a_row <= 5; ++in_a_row) {
    StackWorld world;
    fail_two(world, "ProfilingRace", noon, in_a_row);
    View view(world);
    int64_t wait = next_try(view.tier("two")) - noon;
    CAPTURE(in_a_row, wait);
    CHECK((wait == 2'000) == (in_a_row <= 3));
  }
}

TEST_CASE("the first gate that holds names the wait") {
  StackWorld world;
  world.nodes.front().ready = false;
  world.stack.metadata.finalizers.clear();
  fail_two(world, "Exited", noon);
  auto first = [&] { return first_that_holds(gates_before_window(), View(world).tier("two"))->reason; };
  CHECK(first() == "NodeNotReady");
  world.nodes.front().ready = true;
  CHECK(first() == "Exited");
  world.tick(3'600'000);
  CHECK(first() == "Predecessor");
  world.add_pod("one", PodStage::Serving);
  CHECK(first() == "Preparing");
  world.stack.metadata.finalizers = {std::string(names::finalizer)};
  CHECK_FALSE(first_that_holds(gates_before_window(), View(world).tier("two")));
}
