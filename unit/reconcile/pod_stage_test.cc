#include "reconcile/pod_stage.h"

#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;

namespace {

constexpr WallMillis minute = 60'000;

api::Pod running(const char* status, std::string_view reason) {
  api::Pod pod = fake::a_pod("p", PodStage::Loading);
  pod.conditions.push_back({std::string(names::readiness_gate), status, std::string(reason), "", noon});
  return pod;
}

api::Pod deleted(api::Pod pod) {
  pod.metadata.deleted = noon;
  return pod;
}

api::Pod gated_by(std::vector<std::string> gates) {
  api::Pod pod = fake::a_pod("p", PodStage::Gated);
  pod.scheduling_gates = std::move(gates);
  return pod;
}

api::Pod in_phase(api::Pod pod, const char* phase) {
  pod.phase = phase;
  return pod;
}

}  // namespace

TEST_CASE("the stage is read off the pod alone") {
  const std::string ours(names::scheduling_gate);
  struct Row {
    const char* what;
    api::Pod pod;
    PodStage stage;
    bool memory, window;
  };
  const std::vector<Row> rows = {
      {"our gate", gated_by({ours}), PodStage::Gated, false, false},
      {"our gate among others", gated_by({"example.com/a", ours}), PodStage::Gated, false, false},
      {"somebody else's gate alone", gated_by({"example.com/a"}), PodStage::Loading, true, true},
      {"our gate, deleted", deleted(gated_by({ours})), PodStage::Gated, false, false},
      {"no condition", fake::a_pod("p", PodStage::Loading), PodStage::Loading, true, true},
      {"pending", in_phase(fake::a_pod("p", PodStage::Loading), "Pending"), PodStage::Loading, true, true},
      {"phase unknown", in_phase(running("True", names::serving_warm), "Unknown"), PodStage::Serving, true,
       false},
      {"condition of no reason", running("False", ""), PodStage::Loading, true, true},
      {"condition unknown", running("Unknown", ""), PodStage::Loading, true, true},
      {"condition of a stranger's reason", running("False", "Tuesday"), PodStage::Loading, true, true},
      {"serving", running("True", names::serving_warm), PodStage::Serving, true, false},
      {"serving, reason unknown", running("True", "Tuesday"), PodStage::Serving, true, false},
      {"silent", running("False", names::serving_not_answering), PodStage::NotAnswering, true, false},
      {"draining", running("False", names::serving_draining), PodStage::Draining, true, true},
      {"loading, deleted", deleted(fake::a_pod("p", PodStage::Loading)), PodStage::Terminating, true, true},
      {"serving, deleted", deleted(running("True", names::serving_warm)), PodStage::Terminating, true, true},
      {"failed", in_phase(running("True", names::serving_warm), "Failed"), PodStage::Ended, false, false},
      {"succeeded", in_phase(fake::a_pod("p", PodStage::Loading), "Succeeded"), PodStage::Ended, false,
       false},
      {"failed, gated", in_phase(gated_by({ours}), "Failed"), PodStage::Ended, false, false},
      {"failed, deleted", in_phase(deleted(fake::a_pod("p", PodStage::Loading)), "Failed"), PodStage::Ended,
       false, false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    CHECK(stage_of(row.pod) == row.stage);
    CHECK(holds_memory(row.pod) == row.memory);
    CHECK(holds_window(row.pod) == row.window);
  }
}

TEST_CASE("what a test puts into a stage is in it") {
  for (PodStage stage : {PodStage::Gated, PodStage::Loading, PodStage::Serving, PodStage::NotAnswering,
                         PodStage::Draining, PodStage::Terminating, PodStage::Ended})
    CHECK(stage_of(fake::a_pod("p", stage)) == stage);
}

TEST_CASE("the scheduler's word on the node comes before the annotation") {
  api::Pod pod = fake::a_pod("p", PodStage::Gated);
  CHECK(pod.node_name.empty());
  CHECK(node_of(pod) == "strix-halo");
  pod.node_name = "elsewhere";
  CHECK(node_of(pod) == "elsewhere");
  CHECK(node_of(api::Pod{}).empty());
}

TEST_CASE("times of a pod are its own, and unknown ones are zero") {
  api::Pod pod = fake::a_pod("p", PodStage::Loading);
  CHECK(admitted_at(pod) == noon - minute);
  CHECK(ended_at(pod) == 0);
  pod.metadata.annotations[std::string(names::annotation_admitted_at)] = "yesterday";
  CHECK(admitted_at(pod) == 0);
  pod.metadata.annotations.clear();
  CHECK(admitted_at(pod) == 0);
}

TEST_CASE("an ended pod ended when its engine did, or when it began where nobody knows") {
  api::Pod pod = fake::a_pod("p", PodStage::Ended);
  CHECK(ended_at(pod) == noon - minute);
  pod.engine->finished = 0;
  pod.metadata.annotations[std::string(names::annotation_admitted_at)] = format_time(noon - 3 * minute);
  CHECK(ended_at(pod) == noon - 2 * minute);  // created after it was let in: the later of the two
  pod.engine.reset();
  pod.metadata.annotations[std::string(names::annotation_admitted_at)] = format_time(noon - minute);
  CHECK(ended_at(pod) == noon - minute);
  pod.phase = "Running";
  CHECK(ended_at(pod) == 0);
}

TEST_CASE("a run is counted from the readiness gate to the end") {
  api::Pod pod = fake::a_pod("p", PodStage::Ended);
  CHECK(served_millis(pod) == 0);  // never served
  pod.conditions.push_back({std::string(names::readiness_gate), "True", "", "", noon - 11 * minute});
  CHECK(served_millis(pod) == 10 * minute);
  pod.conditions[0].last_transition = noon;  // clocks differ between machines
  CHECK(served_millis(pod) == 0);
  pod.conditions[0] = {std::string(names::readiness_gate), "False", "NotAnswering", "", noon - 11 * minute};
  CHECK(served_millis(pod) == 0);
}

TEST_CASE("a pod that terminates was told so when its grace period began") {
  api::Pod pod = fake::a_pod("p", PodStage::Terminating);
  CHECK(pod.metadata.deleted == noon - minute + 30'000);
  CHECK(terminating_since(pod) == noon - minute);
  CHECK(terminating_since(fake::a_pod("p", PodStage::Serving)) == 0);
}

TEST_CASE("a claim is what the annotation says, and unknown where it says nothing") {
  planner::Claim claim = fake::gpu_claim(350);
  api::Pod pod = fake::a_pod("p", PodStage::Serving, claim);
  CHECK(claim_of(pod) == claim);
  CHECK(claim_is_known(pod));
  for (const char* text : {"", "{}", "null", "[1]", R"({"gpu":true,"gpuBytes":"1","gpuFractionMilli":1})",
                           R"({"gpu":false,"gpuBytes":0,"gpuFractionMilli":0,"hostBytes":-1})"}) {
    CAPTURE(text);
    pod.metadata.annotations[std::string(names::annotation_claim)] = text;
    CHECK_FALSE(claim_is_known(pod));
    CHECK(claim_of(pod).gpu);  // it takes a device, for all we know
  }
  pod.metadata.annotations.clear();
  CHECK_FALSE(claim_is_known(pod));
}

TEST_CASE("status keeps whole seconds, and so do the times that are compared with it") {
  api::Pod pod = fake::a_pod("p", PodStage::Loading);
  pod.metadata.annotations[std::string(names::annotation_admitted_at)] = format_micro_time(noon + 789);
  CHECK(admitted_at(pod) == noon);
  pod.phase = "Failed";
  pod.engine.reset();
  CHECK(ended_at(pod) == noon);
}
