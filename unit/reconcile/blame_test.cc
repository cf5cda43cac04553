#include "reconcile/blame.h"

#include "catch.h"
#include "reconcile/failure.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::View;

namespace {

const char* const hang_log =
    "HW Exception by GPU node-1 (Agent handle: 0x5) reason :GPU Hang\nAborted (core dumped)";

// Each tier has a model of its own.
void give_models(StackWorld& world) {
  for (auto& tier : world.stack.spec.tiers) tier.model.repository = "example/" + tier.name;
}

// One whose engine died of the GPU at `ended`, and had served before, or not.
api::Pod& dies(StackWorld& world, const std::string& tier, WallMillis ended, bool served) {
  api::Pod& pod = world.add_pod(tier, PodStage::Ended, ended);
  if (served) pod.conditions = {{std::string(names::readiness_gate), "True", "", "", ended - 1'200'000}};
  world.diagnoses[pod.metadata.uid] = *engines::diagnose(api::Engine::Vllm, hang_log);
  return pod;
}

std::optional<std::string> blamed(const StackWorld& world, const std::string& tier) {
  return faulty_tier(View(world).tier(tier));
}

// All passes until nothing is due within ten seconds, statuses stored as they come.
void settle(StackWorld& world) {
  for (int i = 0; i < 12; ++i) {
    world.store(world.decide().status);
    world.tick(1'000);
  }
}

std::string class_of(StackWorld& world, const std::string& tier) {
  const auto& failure = world.status(tier).last_failure;
  return failure ? failure->failure_class : "none";
}

}  // namespace

TEST_CASE("a GPU fault is laid at the one tier that did it, whoever died with it") {
  struct Row {
    const char* what;
    int64_t one_ended, two_ended;  // before noon, in ms
    bool one_served, two_served;
    const char* blamed;
  };
  for (const Row& row : {
           Row{"both served: the first that ended", 3'000, 2'000, true, true, "one"},
           Row{"both served: the first that ended, the other way", 2'000, 3'000, true, true, "two"},
           Row{"the one that was loading, though it ended last", 3'000, 1'000, true, false, "two"},
           Row{"the one that was loading, in the same second", 2'000, 2'000, false, true, "one"},
           Row{"far apart: each its own", 2'000, 33'000, true, true, "one"},
       }) {
    INFO(row.what);
    StackWorld world(2);
    give_models(world);
    dies(world, "one", noon - row.one_ended, row.one_served);
    dies(world, "two", noon - row.two_ended, row.two_served);
    CHECK(blamed(world, "one") == row.blamed);
    bool far = row.two_ended - row.one_ended > reset_reach_millis;
    CHECK(blamed(world, "two") == (far ? "two" : row.blamed));
  }
}

TEST_CASE("of two that ended in the same second the one that was let in last is blamed") {
  StackWorld world(2);
  give_models(world);
  auto let_in = [](api::Pod& pod, WallMillis at) {
    pod.metadata.annotations[std::string(names::annotation_admitted_at)] = format_micro_time(at);
  };
  let_in(dies(world, "one", noon - 2'000, true), noon - 3'000'000);
  let_in(dies(world, "two", noon - 2'000, true), noon - 2'000'000);
  CHECK(blamed(world, "one") == "two");
  CHECK(blamed(world, "two") == "two");
}

TEST_CASE("nobody is blamed while others on that GPU may still go, or a log is not read") {
  StackWorld world(2);
  give_models(world);
  dies(world, "one", noon - 1'000, true);
  api::Pod& two = world.add_pod("two", PodStage::Serving);
  CHECK_FALSE(blamed(world, "one"));
  world.tick(reset_wait_millis - 1'000);
  CHECK(blamed(world, "one") == "one");

  std::string uid = two.metadata.uid;
  world.pods.pop_back();
  api::Pod& ended = dies(world, "two", noon - 2'000, true);
  world.logs_awaited = {ended.metadata.uid};
  CHECK_FALSE(blamed(world, "one"));
  world.logs_awaited.clear();
  CHECK(blamed(world, "one") == "two");
}

TEST_CASE(
    "who is on another node, holds no GPU, belongs to somebody else or died of something else is no "
    "suspect") {
  auto with = [](auto change) {
    StackWorld world(2);
    give_models(world);
    dies(world, "one", noon - 6'000, true);
    change(world, dies(world, "two", noon - 8'000, true));
    return blamed(world, "one");
  };
  CHECK(with([](StackWorld&, api::Pod&) {}) == "two");
  CHECK(with([](StackWorld&, api::Pod& pod) { pod.node_name = "other"; }) == "one");
  CHECK(with([](StackWorld&, api::Pod& pod) {
          pod.metadata.annotations[std::string(names::annotation_claim)] =
              planner::encode_claim(fake::cpu_claim(gib));
        }) == "one");
  CHECK(with([](StackWorld&, api::Pod& pod) { pod.metadata.owners.clear(); }) == "one");
  CHECK(with([](StackWorld& w, api::Pod& pod) { w.diagnoses.erase(pod.metadata.uid); }) == "one");
}

TEST_CASE("a reset quarantines one tier, and the others on the GPU are tried again") {
  StackWorld world(3);
  give_models(world);
  dies(world, "one", noon - 2'000, true);
  dies(world, "two", noon - 1'000, false);
  dies(world, "three", noon - 1'000, true);
  settle(world);
  CHECK(class_of(world, "one") == "GpuReset");
  CHECK(class_of(world, "two") == "GpuFault");
  CHECK(class_of(world, "three") == "GpuReset");
  CHECK(world.status("two").state == "Quarantined");
  CHECK(world.status("one").last_failure->message == "the GPU was taken from it by a fault of tier two");
  CHECK(world.status("one").state != "Quarantined");
  CHECK(world.status("three").state != "Quarantined");
}

TEST_CASE("what was blamed stays blamed when a neighbour's end becomes known later") {
  StackWorld world(2);
  give_models(world);
  dies(world, "one", noon - 8'000, true);
  settle(world);
  CHECK(class_of(world, "one") == "GpuFault");
  dies(world, "two", noon - 1'000, true);
  world.diagnoses.erase(world.pod("one")->metadata.uid);  // read once
  settle(world);
  CHECK(class_of(world, "one") == "GpuFault");
  CHECK(class_of(world, "two") == "GpuReset");
}

namespace {

// Tier one's pod was to be gone a minute ago and its container runs.
api::Pod& is_stuck_at_noon(StackWorld& world, bool served) {
  world.nodes.front().ready_since = noon - 86'400'000;
  api::Pod& pod = world.add_pod("one", PodStage::Terminating, noon - 60'000);
  pod.metadata.deleted = noon - stuck_patience_millis;
  pod.engine->started = noon - 3'600'000;
  if (served)
    pod.conditions = {{std::string(names::readiness_gate), "False", std::string(names::serving_draining), "",
                       noon - 200'000}};
  return pod;
}

void was_wedged(StackWorld& world) {
  api::Failure failure;
  failure.failure_class = names::failure_wedged;
  failure.time = noon - 300'000;
  world.status("one").last_failure = failure;
  world.status("one").consecutive_failures = 1;
  world.status("one").restarts = 1;
}

bool hangs(const StackWorld& world) {
  return hang_failure(View(world).tier("one")).has_value();
}

}  // namespace

TEST_CASE("an engine that fell silent, or never served, and cannot be killed hangs in the GPU's driver") {
  StackWorld loading(1);
  is_stuck_at_noon(loading, false);
  CHECK(hangs(loading));
  StackWorld wedged(1);
  is_stuck_at_noon(wedged, true);
  was_wedged(wedged);
  CHECK(hangs(wedged));
}

TEST_CASE("a pod that does not go for another reason is not laid at its model") {
  struct Row {
    const char* what;
    void (*change)(StackWorld&, api::Pod&);
  };
  for (const Row& row : {
           Row{"it served until it was stopped",
               [](StackWorld&w, api::Pod&) { w.stack.status.tiers.clear(); }},
           Row{"the silence was that of an earlier pod",
               [](StackWorld&, api::Pod&pod) { pod.engine->started = noon - 290'000; }},
           Row{"it is not late yet", [](StackWorld&, api::Pod&pod) { pod.metadata.deleted += 1'000; }},
           Row{"it holds no GPU",
               [](StackWorld&, api::Pod&pod) {
                 pod.metadata.annotations[std::string(names::annotation_claim)] =
                     planner::encode_claim(fake::cpu_claim(gib));
               }},
           Row{"its engine has ended, and something else keeps the pod",
               [](StackWorld&, api::Pod&pod) { pod.engine->running = false; }},
           Row{"the kubelet is away", [](StackWorld&w, api::Pod&) { w.nodes.front().ready = false; }},
           Row{"the kubelet has only just come back",
               [](StackWorld&w, api::Pod&) { w.nodes.front().ready_since = noon - 60'000; }},
           Row{"the node is gone", [](StackWorld&w, api::Pod&) { w.nodes.clear(); }},
           Row{"its spec has changed since",
               [](StackWorld&w, api::Pod&) { w.tier("one").context_length_tokens = 4096; }},
       }) {
    INFO(row.what);
    StackWorld world(1);
    api::Pod& pod = is_stuck_at_noon(world, true);
    was_wedged(world);
    row.change(world, pod);
    CHECK_FALSE(hangs(world));
  }
}

TEST_CASE("after the reboot that a hang needs the tier is quarantined, and its neighbour starts") {
  StackWorld world(2);
  give_models(world);
  is_stuck_at_noon(world, true);
  was_wedged(world);
  settle(world);
  CHECK(world.status("one").reason == "NodeStuck");
  CHECK(class_of(world, "one") == "GpuFault");
  CHECK(world.status("one").last_failure->message.starts_with(
      "its engine fell silent and could not be killed"));
  CHECK(world.status("one").restarts == 1);  // counted when its stop began

  world.pods.clear();
  world.nodes.front().boot_id = "boot-2";
  world.nodes.front().ready_since = world.now.wall - 5'000;
  settle(world);
  CHECK(world.status("one").state == "Quarantined");
  CHECK(world.status("two").state != "Quarantined");

  world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "rebooted";
  settle(world);
  CHECK(world.status("one").state != "Quarantined");
}

TEST_CASE("a hang that is known is told once") {
  StackWorld world(1);
  is_stuck_at_noon(world, false);
  settle(world);
  world.tick(3'600'000);
  CHECK(fake::actions_of<ApplyStatus>(world.decide()).empty());
}

namespace {

// Of an engine that was loading, or serving, when its node went down; the node is back.
api::Pod& went_down(StackWorld& world, WallMillis at, bool served) {
  world.nodes.front().boot_id = "boot-2";
  api::Pod& pod = world.add_pod("one", PodStage::Ended, at);
  pod.engine->exit_code = 137;
  pod.metadata.annotations[std::string(names::annotation_boot_id)] = "boot-1";
  if (served) pod.conditions = {{std::string(names::readiness_gate), "True", "", "", at - 1'200'000}};
  return pod;
}

}  // namespace

TEST_CASE("a tier whose load takes its node down twice in a row is not started a third time") {
  StackWorld world(1);
  went_down(world, noon - 60'000, false);
  CHECK(test::pass(world).status.reason == "RebootedWhileLoading");
  CHECK(test::pass(world).status.state == "BackOff");
  world.pods.clear();
  went_down(world, noon - 10'000, false);
  test::pass(world);
  CHECK(test::pass(world).status.state == "GivenUp");
  CHECK(class_of(world, "one") == "RebootLoop");
  world.tick(86'400'000);
  CHECK(test::pass(world).actions.empty());
  world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "again";
  CHECK(test::pass(world).actions.size() == 1);
}

TEST_CASE("what served, told why it ended, or was let in after the boot was not rebooted in its load") {
  struct Row {
    const char* what;
    void (*change)(StackWorld&, api::Pod&);
    const char* failure_class;
  };
  for (const Row& row : {
           Row{"it loaded", [](StackWorld&, api::Pod&) {}, "RebootedWhileLoading"},
           Row{"it served",
               [](StackWorld&, api::Pod&pod) {
                 pod.conditions = {{std::string(names::readiness_gate), "True", "", "", noon}};
               },
               "NodeRebooted"},
           Row{"its log tells",
               [](StackWorld&w, api::Pod&pod) {
                 w.diagnoses[pod.metadata.uid] = {"EngineDied", engines::Treatment::BackOff, "it died", {}};
               },
               "EngineDied"},
           Row{"its node was shut down in order",
               [](StackWorld&, api::Pod&pod) { pod.reason = "NodeShutdown"; }, "NodeShutdown"},
           Row{"the same boot", [](StackWorld&w, api::Pod&) { w.nodes.front().boot_id = "boot-1"; },
               "Killed"},
           Row{"let in by an operator that noted no boot",
               [](StackWorld&, api::Pod&pod) {
                 pod.metadata.annotations.erase(std::string(names::annotation_boot_id));
               },
               "Killed"},
           Row{"its node is gone", [](StackWorld&w, api::Pod&) { w.nodes.clear(); }, "Killed"},
       }) {
    INFO(row.what);
    StackWorld world(1);
    row.change(world, went_down(world, noon - 60'000, false));
    CHECK(test::pass(world).status.last_failure->failure_class == row.failure_class);
  }
}

TEST_CASE("a reboot in a load that follows another failure counts as the first") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Ended, noon - 120'000);
  test::pass(world);
  world.pods.clear();
  went_down(world, noon - 60'000, false);
  test::pass(world);
  CHECK(class_of(world, "one") == "RebootedWhileLoading");
}

TEST_CASE("a reboot in a load, a good run and another reboot in a load are not two in a row") {
  StackWorld world(1);
  went_down(world, noon - 60'000, false);
  test::pass(world);
  world.pods.clear();
  world.tick(good_run_millis);
  api::Pod& good = world.add_pod("one", PodStage::Draining, noon + good_run_millis);
  good.engine->started = noon;
  good.metadata.annotations[std::string(names::annotation_template_hash)] = "of another image";
  test::pass(world);
  world.pods.clear();
  went_down(world, noon + good_run_millis + 60'000, false);
  test::pass(world);
  CHECK(class_of(world, "one") == "RebootedWhileLoading");
}

TEST_CASE("reboots in the loads of two different pods are not two in a row") {
  StackWorld world(1);
  went_down(world, noon - 60'000, false);
  test::pass(world);
  world.pods.clear();
  world.tier("one").context_length_tokens = 4096;
  went_down(world, noon - 10'000, false);
  test::pass(world);
  CHECK(class_of(world, "one") == "RebootedWhileLoading");
}

TEST_CASE("a hang is looked for again when the kubelet has been back for long enough") {
  StackWorld world(1);
  api::Pod& pod = is_stuck_at_noon(world, true);
  was_wedged(world);
  int64_t patience_millis = pod.metadata.deletion_grace_seconds * 1000 + stuck_patience_millis;
  world.nodes.front().ready_since = noon - 10'000;
  TierOutcome outcome = test::pass(world);
  CHECK(outcome.status.last_failure->failure_class == "Wedged");
  CHECK(outcome.retry_after_millis == patience_millis - 10'000);
  world.tick(*outcome.retry_after_millis);
  CHECK(test::pass(world).status.last_failure->failure_class == "GpuFault");
}
