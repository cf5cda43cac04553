#include "catch.h"
#include "reconcile/failure.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::pass;
using test::View;

namespace {

bool deletes(const TierOutcome& outcome) {
  return outcome.actions.size() == 1 && std::holds_alternative<DeletePod>(outcome.actions.front());
}

}  // namespace

TEST_CASE("a pod that ended is counted once, told, waited for, and then made again") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Ended, noon - 1'000);
  TierOutcome first = pass(world);
  CHECK(first.actions.empty());
  CHECK(first.retry_after_millis == 1);
  CHECK(first.status.state == "BackOff");
  CHECK(first.status.reason == "Exited");
  CHECK(first.status.restarts == 1);
  CHECK(first.status.consecutive_failures == 1);
  REQUIRE(first.status.last_failure);
  CHECK(first.status.last_failure->time == noon - 1'000);

  TierOutcome second = pass(world);
  CHECK(second.actions.empty());
  CHECK(second.status.restarts == 1);
  CHECK(
      second.status.message ==
      "the engine exited with code 1; its pod's log may say more at 2026-02-03T11:59:59Z; the next try is at "
      "2026-02-03T12:00:09Z (failure 1 in a row)");
  REQUIRE(second.retry_after_millis);
  CHECK(*second.retry_after_millis >= 9'000);
  CHECK(*second.retry_after_millis < 10'000);

  world.tick(*second.retry_after_millis - 1);
  CHECK(pass(world).actions.empty());
  world.tick(1);
  TierOutcome last = pass(world);
  CHECK(deletes(last));
  CHECK(last.status.restarts == 1);

  world.pods.clear();
  TierOutcome again = pass(world);
  CHECK(again.actions.size() == 1);
  CHECK(std::holds_alternative<CreatePod>(again.actions.front()));
  CHECK(again.status.consecutive_failures == 1);
}

TEST_CASE("a pod whose log could not be read yet is not counted, and not made again before it is") {
  StackWorld world(1);
  const api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
  world.logs_awaited = {pod.metadata.uid};
  for (int i = 0; i < 30; ++i) {
    TierOutcome waits = pass(world);
    CHECK(waits.actions.empty());
    CHECK(waits.retry_after_millis == 1'000);
    CHECK(waits.status.state == "BackOff");
    CHECK_FALSE(waits.status.last_failure);
    world.tick(1'000);
  }
  world.logs_awaited.clear();
  world.diagnoses[pod.metadata.uid] =
      *engines::diagnose(api::Engine::Vllm, "Memory access fault by GPU node-1");
  CHECK(pass(world).status.last_failure->failure_class == "GpuFault");
  CHECK(pass(world).status.state == "Quarantined");
}

TEST_CASE("a failed pod of an outdated template is replaced at once") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Ended, noon - 1'000);
  world.tier("one").context_length_tokens = 4096;
  CHECK(deletes(pass(world)));
}

TEST_CASE("failures in a row are counted until a run was good") {
  StackWorld world(1);
  for (int i = 1; i <= 3; ++i) {
    world.pods.clear();
    world.add_pod("one", PodStage::Ended, noon + i * 1'000);
    CHECK(pass(world).status.consecutive_failures == i);
  }
  world.pods.clear();
  api::Pod& pod = world.add_pod("one", PodStage::Ended, noon + 3'600'000);
  pod.conditions = {{std::string(names::readiness_gate), "True", "", "", noon + 3'000'000}};
  TierOutcome after = pass(world);
  CHECK(after.status.consecutive_failures == 1);
  CHECK(after.status.restarts == 4);
}

TEST_CASE("a start that takes too long is a failure that is counted once, and its pod is deleted") {
  StackWorld world(1);
  world.tier("one").probe.startup_deadline_seconds = 60;
  // Let in at a fraction of a second, as it happens.
  world.add_pod("one", PodStage::Loading, noon - 60'000 + 300);
  world.probe("one", ProbePhase::Loading);
  world.tick(1'000);
  TierOutcome first = pass(world);
  CHECK(first.actions.empty());
  CHECK(first.status.state == "BackOff");
  CHECK(first.status.reason == "StartupDeadlineExceeded");
  CHECK(
      first.status.message ==
      "not serving 1m after it was let in (the engine loads the model); probe.startupDeadlineSeconds allows "
      "longer");
  CHECK(first.status.restarts == 1);
  TierOutcome second = pass(world);
  CHECK(deletes(second));
  CHECK(second.status.state == "Stopping");
  CHECK(second.status.restarts == 1);
}

TEST_CASE("an image that cannot be pulled gives the window to somebody else") {
  StackWorld world(1);
  api::Pod& pod = world.add_pod("one", PodStage::Loading, noon + 300);
  pod.engine->running = false;
  pod.engine->waiting_reason = "ImagePullBackOff";
  pod.engine->waiting_message = "no such image";
  world.tick(5'000);
  TierOutcome early = pass(world);
  CHECK(early.status.state == "Starting");
  CHECK(early.status.reason == "ImagePullBackOff");
  REQUIRE(early.retry_after_millis);
  CHECK(*early.retry_after_millis <= start_patience_millis);
  world.tick(20'000);
  TierOutcome first = pass(world);
  CHECK(first.status.state == "BackOff");
  CHECK(first.status.last_failure->failure_class == "ImagePullFailed");
  TierOutcome second = pass(world);
  CHECK(deletes(second));
  CHECK(second.status.restarts == 1);
}

TEST_CASE("a pod that was evicted before its engine ran is counted once") {
  StackWorld world(1);
  api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 60'000 + 300);
  pod.engine.reset();
  pod.reason = "Evicted";
  CHECK(pass(world).status.restarts == 1);
  TierOutcome second = pass(world);
  CHECK(second.status.restarts == 1);
  world.tick(600'000);
  CHECK(deletes(pass(world)));
}

TEST_CASE("what the kubelet did to a pod counts, not what its engine's end looked like") {
  struct Case {
    const char *reason, *failure_class, *message;
  };
  for (const Case& c :
       {Case{"Evicted", "Evicted", "the kubelet evicted it (Evicted: low on memory)"},
        Case{"Terminated", "NodeShutdown", "its node was shut down (Terminated: low on memory)"},
        Case{"NodeShutdown", "NodeShutdown", "its node was shut down (NodeShutdown: low on memory)"},
        Case{"", "Killed", "the engine was killed by signal 9; its pod's log may say more"}}) {
    CAPTURE(c.reason);
    StackWorld world(1);
    api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
    pod.engine->exit_code = 137;
    pod.reason = c.reason;
    pod.message = "low on memory";
    TierOutcome outcome = pass(world);
    REQUIRE(outcome.status.last_failure);
    CHECK(outcome.status.last_failure->failure_class == c.failure_class);
    CHECK(outcome.status.last_failure->message == c.message);
  }
}

TEST_CASE("what cannot come by itself is taken out of the window after a while, and counted once") {
  struct Case {
    const char *what, *waiting, *scheduled, *failure_class, *message;
    int64_t patience_millis;
  };
  for (const Case& c :
       {Case{"no room", "", "Unschedulable", "Unschedulable", "no node takes its pod: 0/1 nodes", 20'000},
        Case{"no Secret", "CreateContainerConfigError", "", "ContainerNotCreated",
             "CreateContainerConfigError: no more is known", 20'000},
        Case{"a volume", "ContainerCreating", "", "ContainerNotCreated",
             "ContainerCreating: its pod's events say what it waits for, such as a volume", 300'000}}) {
    CAPTURE(c.what);
    StackWorld world(1);
    api::Pod& pod = world.add_pod("one", PodStage::Loading, noon);
    pod.engine->running = false;
    pod.engine->waiting_reason = c.waiting;
    if (*c.scheduled) pod.conditions = {{"PodScheduled", "False", c.scheduled, "0/1 nodes", noon}};
    world.tick(c.patience_millis - 1);
    TierOutcome early = pass(world);
    CHECK(early.status.state == "Starting");
    REQUIRE(early.retry_after_millis);
    CHECK(*early.retry_after_millis >= 1);
    world.tick(1);
    TierOutcome first = pass(world);
    CHECK(first.status.reason == c.failure_class);
    CHECK(first.status.message == c.message);
    CHECK(first.actions.empty());
    TierOutcome second = pass(world);
    CHECK(deletes(second));
    CHECK(second.status.restarts == 1);
  }
}

TEST_CASE("what keeps a pod from starting is looked at again in time, and not all the time") {
  struct Case {
    const char* what;
    const char* waiting;
    const char* scheduled;
    bool by_hand;  // somebody removed the gate: nobody knows when
  };
  for (const Case& c : {Case{"no room, by hand", "", "Unschedulable", true},
                        Case{"a crash loop", "CrashLoopBackOff", "", false},
                        Case{"no image, by hand", "ErrImagePull", "", true}}) {
    CAPTURE(c.what);
    StackWorld world(1);
    api::Pod& pod = world.add_pod("one", PodStage::Loading, noon - 60'000);
    pod.engine->running = false;
    pod.engine->waiting_reason = c.waiting;
    if (*c.scheduled) pod.conditions = {{"PodScheduled", "False", c.scheduled, "0/1 nodes", noon}};
    if (c.by_hand) pod.metadata.annotations.erase(std::string(names::annotation_admitted_at));
    pass(world);
    TierOutcome outcome = pass(world);
    CHECK(outcome.status.state == "Starting");
    CHECK(outcome.retry_after_millis.value_or(1'000'000) >= 1'000);
  }
}

TEST_CASE("what the log says is the failure's class and sentence") {
  StackWorld world(1);
  api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
  world.diagnoses[pod.metadata.uid] = {
      "FlagMismatch", engines::Treatment::GiveUp, "the image knows no --x", {}};
  TierOutcome first = pass(world);
  CHECK(first.status.state == "BackOff");
  CHECK(first.status.last_failure->failure_class == "FlagMismatch");
  CHECK(first.status.last_failure->message == "the image knows no --x (exit code 1)");
  world.diagnoses.clear();  // read once
  world.tick(3'600'000);
  TierOutcome second = pass(world);
  CHECK(second.actions.empty());
  CHECK_FALSE(second.retry_after_millis);
  CHECK(second.status.state == "GivenUp");
  CHECK(second.status.last_failure->failure_class == "FlagMismatch");

  world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "again";
  CHECK(deletes(pass(world)));
}

TEST_CASE("what was cleared is known again whatever it was called") {
  const std::string longer(80, 'x');
  for (const std::string& value : {longer, std::string("line\nbreak"), std::string("short")}) {
    CAPTURE(value);
    StackWorld world(1);
    auto clear_with = [&](const std::string& text) {
      world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = text;
    };
    clear_with(value);
    api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
    world.diagnoses[pod.metadata.uid] = {"GpuFault", engines::Treatment::Quarantine, "the GPU hung", {}};
    world.store(world.decide().status);
    world.tick(3'600'000);
    world.store(world.decide().status);
    CHECK(world.status("one").state == "Quarantined");
    CHECK(fake::actions_of<DeletePod>(world.decide()).empty());
    clear_with(value + "!");
    CHECK(fake::actions_of<DeletePod>(world.decide()).size() == 1);
  }
}

TEST_CASE("a tier that is held back waits with the pod that failed, for its log") {
  StackWorld world(1);
  api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
  world.diagnoses[pod.metadata.uid] = {"GpuFault", engines::Treatment::Quarantine, "the GPU hung", {}};
  pass(world);
  TierOutcome held = pass(world);
  CHECK(held.status.state == "Quarantined");
  CHECK(held.actions.empty());
  // Somebody deletes the pod: no other is made.
  world.pods.clear();
  TierOutcome gone = pass(world);
  CHECK(gone.status.state == "Quarantined");
  CHECK(gone.actions.empty());
}

TEST_CASE("a gated pod of a tier that backs off waits for its time") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Ended, noon - 1'000);
  pass(world);
  world.pods.clear();
  world.add_pod("one", PodStage::Gated);
  TierOutcome waiting = pass(world);
  CHECK(waiting.status.state == "BackOff");
  CHECK(waiting.status.reason == "Exited");
  CHECK_FALSE(waiting.request);
  REQUIRE(waiting.retry_after_millis);
  world.tick(*waiting.retry_after_millis);
  TierOutcome asking = pass(world);
  CHECK(asking.request);
  CHECK(asking.status.state == "Waiting");
}

TEST_CASE("a model that is not in the store is waited for, with the words that fetch it") {
  StackWorld world(2);
  api::Pod& pod = world.add_pod("one", PodStage::Ended, noon - 1'000);
  world.diagnoses[pod.metadata.uid] = {
      "ModelMissing", engines::Treatment::AwaitModel, "the model's folder is not in the model store", {}};
  pass(world);
  TierOutcome told = pass(world);
  CHECK(told.status.state == "Waiting");
  CHECK(told.status.reason == "ModelMissing");
  CHECK(told.status.message.find("`hf download example/coder --local-dir /var/lib/models/example/coder` "
                                 "fetches it into /var/lib/models on node strix-halo") != std::string::npos);
  REQUIRE(told.retry_after_millis);
  CHECK(*told.retry_after_millis == await_model_millis - 1'000);

  world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "fetched";
  CHECK(deletes(pass(world)));
}

TEST_CASE("a tier that waits for its model holds up only who named it") {
  StackWorld world(2);
  fake::put_into(world.add_pod("one", PodStage::Ended), PodStage::Ended, noon - 1'000);
  world.diagnoses[world.pods.front().metadata.uid] = {
      "ModelMissing", engines::Treatment::AwaitModel, "not there", {}};
  world.settle();
  world.add_pod("two", PodStage::Gated);
  auto asks = [&] {
    Decision decision = world.decide();
    return std::any_of(decision.requests.begin(), decision.requests.end(),
                       [](const auto& request) { return request.tier == "two"; });
  };
  CHECK(asks());
  world.tier("two").start_after = {"one"};
  world.pods.pop_back();
  world.add_pod("two", PodStage::Gated);
  CHECK_FALSE(asks());
}

TEST_CASE(
    "an engine that found no GPU, at whatever moment it answered, is counted once and its pod deleted") {
  StackWorld world(1);
  const api::Pod& pod = world.add_pod("one", PodStage::Loading);
  world.without_gpu = {pod.metadata.uid};
  world.probe("one", ProbePhase::Serving);
  int64_t millis = GENERATE(0, 1, 300, 999);
  world.probes[pod.metadata.uid].since = noon - 20'000 + millis;
  TierOutcome first = pass(world);
  CHECK(first.actions.empty());
  CHECK(first.status.last_failure->failure_class == "NoGpu");
  for (int i = 0; i < 3; ++i) {
    TierOutcome again = pass(world);
    CHECK(deletes(again));
    CHECK(again.status.restarts == 1);
    CHECK(again.status.consecutive_failures == 1);
  }
}

TEST_CASE("a run that was good, and is ended in order, ends a row of failures") {
  for (int64_t millis : {good_run_millis - 1'000, good_run_millis}) {
    StackWorld world(1);
    world.status("one").consecutive_failures = 6;
    world.status("one").restarts = 9;
    api::Pod& pod = world.add_pod("one", PodStage::Draining, noon);
    pod.engine->started = noon - millis;
    world.tier("one").context_length_tokens = 4096;
    TierOutcome outcome = pass(world);
    CHECK(outcome.status.consecutive_failures == (millis < good_run_millis ? 6 : 0));
    CHECK(outcome.status.restarts == 9);
  }
}
