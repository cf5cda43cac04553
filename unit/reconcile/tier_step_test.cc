#include "reconcile/tier_step.h"

#include <functional>

#include "catch.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using test::View;

namespace {

template <class T>
const T* only(const TierOutcome& outcome) {
  return outcome.actions.size() == 1 ? std::get_if<T>(&outcome.actions.front()) : nullptr;
}

std::string kind_of(const TierOutcome& outcome) {
  if (outcome.actions.empty()) return "nothing";
  if (only<CreatePod>(outcome)) return "create";
  if (only<DeletePod>(outcome)) return "delete";
  if (only<AdoptPod>(outcome)) return "adopt";
  if (const auto* set = only<SetServing>(outcome)) return set->serving ? "serve" : "silence";
  return "something else";
}

std::string asks(const TierOutcome& outcome) {
  if (!outcome.request) return "nothing";
  return outcome.request->kind == WindowRequest::Kind::Claim ? "claim" : "stop";
}

struct Row {
  const char* what;
  std::function<void(StackWorld&)> change;
  const char* action;
  const char* asks;
  std::string_view state;
  const char* reason;
  const char* message;
};

// Of tier one, which waits for nobody.
void check(const Row& row, const TierOutcome& outcome) {
  CHECK(kind_of(outcome) == row.action);
  CHECK(asks(outcome) == row.asks);
  CHECK(outcome.status.state == row.state);
  CHECK(outcome.status.reason == row.reason);
  CHECK(outcome.status.message == row.message);
  CHECK(outcome.status.name == "one");
  CHECK(outcome.status.endpoint == "http://strix-one.llm.svc:8001");
  CHECK(outcome.actions.size() <= 1);
}

void check_up(const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    CAPTURE(row.what);
    StackWorld world(1);
    row.change(world);
    check(row, step_up(View(world).tier("one")));
  }
}

std::function<void(StackWorld&)> in_stage(PodStage stage) {
  return [stage](StackWorld& w) { w.add_pod("one", stage); };
}

std::function<void(StackWorld&)> answering(PodStage stage, ProbePhase phase, const char* detail = "") {
  return [=](StackWorld& w) {
    w.add_pod("one", stage);
    w.probe("one", phase, detail);
  };
}

void replace(StackWorld& world) {
  world.tier("one").context_length_tokens = 4096;
}

}  // namespace

TEST_CASE("a tier that should run has a pod made for it, gated, and asks for the window") {
  check_up({
      {"nothing there", [](StackWorld&) {}, "create", "nothing", "Waiting", "Preparing",
       "its pod is being created"},
      {"no node", [](StackWorld& w) { w.nodes.clear(); }, "nothing", "nothing", "Waiting", "NodeNotFound",
       "no node has the labels kubernetes.io/hostname=strix-halo of spec.nodes halo"},
      {"a stranger's pod",
       [](StackWorld& w) { w.add_pod("one", PodStage::Serving).metadata.owners.front().uid = "other"; },
       "nothing", "nothing", "Waiting", "PodNameTaken",
       "pod strix-one exists and belongs to something else; delete or rename it"},
      {"an orphan", [](StackWorld& w) { w.add_pod("one", PodStage::Serving).metadata.owners.clear(); },
       "adopt", "nothing", "Waiting", "Adopting", "takes over the pod that an earlier stack left running"},
      {"gated", in_stage(PodStage::Gated), "nothing", "claim", "Waiting", "LoadWindow",
       "waits for the load window of node strix-halo"},
      {"gated, and told why not",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Gated);
         w.verdicts["llm/strix-one"] = {"MemoryShort", "one needs more than there is"};
       },
       "nothing", "claim", "Waiting", "MemoryShort", "one needs more than there is"},
      {"gated, without the finalizer",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Gated);
         w.stack.metadata.finalizers.clear();
       },
       "nothing", "nothing", "Waiting", "Preparing", "waits until the stack carries its finalizer"},
      {"gated, being deleted",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Gated).metadata.deleted = noon + 30'000;
         w.pods.back().metadata.deletion_grace_seconds = 30;
       },
       "nothing", "nothing", "Stopping", "Terminating", "pod strix-one is going since 2026-02-03T12:00:00Z"},
  });
}

TEST_CASE("a tier that loads is let in to its clients when it has answered, and not before") {
  auto waiting = [](const char* reason, const char* message) {
    return [=](StackWorld& w) {
      auto& engine = *w.add_pod("one", PodStage::Loading, noon - 5'000).engine;
      engine.running = false;
      engine.waiting_reason = reason;
      engine.waiting_message = message;
    };
  };
  check_up({
      {"its container is not there", in_stage(PodStage::Loading), "nothing", "nothing", "Starting", "Loading",
       "its container is being started"},
      {"refused", answering(PodStage::Loading, ProbePhase::NotListening), "nothing", "nothing", "Starting",
       "Loading", "the engine does not listen yet"},
      {"503", answering(PodStage::Loading, ProbePhase::Loading), "nothing", "nothing", "Starting", "Loading",
       "the engine loads the model"},
      {"healthy", answering(PodStage::Loading, ProbePhase::WarmingUp), "nothing", "nothing", "WarmingUp",
       "Loading", "the engine answers; its first completion is awaited"},
      {"healthy, no completion", answering(PodStage::Loading, ProbePhase::WarmingUp, "warm-up answered 500"),
       "nothing", "nothing", "WarmingUp", "Loading", "warm-up answered 500"},
      {"it answered", answering(PodStage::Loading, ProbePhase::Serving), "serve", "nothing", "WarmingUp",
       "Loading", "the engine answered; clients are being let in"},
      {"creating", waiting("ContainerCreating", ""), "nothing", "nothing", "Starting", "Loading",
       "its container is being started"},
      {"pulling fails", waiting("ImagePullBackOff", "no such image"), "nothing", "nothing", "Starting",
       "ImagePullBackOff", "no such image"},
      {"no message", waiting("CreateContainerError", ""), "nothing", "nothing", "Starting",
       "CreateContainerError", "CreateContainerError"},
      {"no room",
       [](StackWorld& w) {
         auto& pod = w.add_pod("one", PodStage::Loading, noon - 5'000);
         pod.engine.reset();
         pod.conditions = {{"PodScheduled", "False", "Unschedulable", "0/1 nodes are available", noon}};
       },
       "nothing", "nothing", "Starting", "Unschedulable", "0/1 nodes are available"},
  });
}

TEST_CASE("a tier that serves is left alone until it falls silent, and let back in when it answers again") {
  check_up({
      {"serving", answering(PodStage::Serving, ProbePhase::Serving), "nothing", "nothing", "Ready", "Serving",
       ""},
      {"serving, not asked yet", in_stage(PodStage::Serving), "nothing", "nothing", "Ready", "Serving", ""},
      {"silent", answering(PodStage::Serving, ProbePhase::NotAnswering, "no answer in 5s"), "silence",
       "nothing", "NotAnswering", "NotAnswering", "clients are kept away: no answer in 5s"},
      {"still silent", answering(PodStage::NotAnswering, ProbePhase::NotAnswering, "no answer in 5s"),
       "nothing", "nothing", "NotAnswering", "NotAnswering", "clients are kept away: no answer in 5s"},
      {"silent, not asked yet", in_stage(PodStage::NotAnswering), "nothing", "nothing", "NotAnswering",
       "NotAnswering", "clients are kept away: the engine has not answered yet"},
      {"back", answering(PodStage::NotAnswering, ProbePhase::Serving), "serve", "nothing", "WarmingUp",
       "Recovered", "the engine answers again; clients are being let in"},
      {"its stop was called off", answering(PodStage::Draining, ProbePhase::Serving), "serve", "nothing",
       "WarmingUp", "Recovered", "the engine answers again; clients are being let in"},
      {"its stop was called off, and it is silent",
       answering(PodStage::Draining, ProbePhase::NotAnswering, "no answer in 5s"), "silence", "nothing",
       "NotAnswering", "NotAnswering", "clients are kept away: no answer in 5s"},
      {"going", in_stage(PodStage::Terminating), "nothing", "nothing", "Stopping", "Terminating",
       "pod strix-one is going since 2026-02-03T11:59:00Z"},
  });
}

TEST_CASE("a changed template drains or deletes the pod, each stage in its way") {
  auto changed = [](std::function<void(StackWorld&)> change) {
    return [=](StackWorld& w) {
      change(w);
      replace(w);
    };
  };
  check_up({
      {"gated", changed(in_stage(PodStage::Gated)), "delete", "nothing", "Stopping", "Replacing",
       "its pod is being deleted"},
      {"loading", changed(in_stage(PodStage::Loading)), "delete", "nothing", "Stopping", "Replacing",
       "its pod is being deleted"},
      {"serving", changed(in_stage(PodStage::Serving)), "nothing", "stop", "Stopping", "Replacing",
       "waits for its turn to stop"},
      {"silent", changed(in_stage(PodStage::NotAnswering)), "nothing", "stop", "Stopping", "Replacing",
       "waits for its turn to stop"},
      {"draining, busy", changed(in_stage(PodStage::Draining)), "nothing", "nothing", "Draining", "Replacing",
       "finishes its requests until 2026-02-03T12:01:00Z at the latest"},
      {"ended", changed(in_stage(PodStage::Ended)), "delete", "nothing", "Stopping", "Replacing",
       "its pod is being deleted"},
      {"terminating", changed(in_stage(PodStage::Terminating)), "nothing", "nothing", "Stopping",
       "Terminating", "pod strix-one is going since 2026-02-03T11:59:00Z"},
      {"gone", replace, "create", "nothing", "Waiting", "Preparing", "its pod is being created"},
      {"serving, and its node is not known", changed([](StackWorld& w) {
         w.add_pod("one", PodStage::Serving);
         w.nodes.clear();
       }),
       "nothing", "nothing", "Ready", "Serving", ""},
  });
}

TEST_CASE("a tier that should not run stops in its own way from every stage, whatever the reason") {
  const std::vector<std::pair<const char*, std::function<void(StackWorld&)>>> reasons = {
      {"off", [](StackWorld& w) { w.tier("one").activation = api::Activation::Off; }},
      {"suspended", [](StackWorld& w) { w.stack.spec.suspend = true; }},
      {"deleted", [](StackWorld& w) { w.stack.metadata.deleted = noon; }},
  };
  const std::vector<Row> rows = {
      {"nothing there", [](StackWorld&) {}, "nothing", "nothing", "Off", "Stopped", ""},
      {"a stranger's pod",
       [](StackWorld& w) { w.add_pod("one", PodStage::Serving).metadata.owners.front().uid = "other"; },
       "nothing", "nothing", "Off", "Stopped", ""},
      {"gated", in_stage(PodStage::Gated), "delete", "nothing", "Stopping", "Stopped",
       "its pod is being deleted"},
      {"loading", in_stage(PodStage::Loading), "delete", "nothing", "Stopping", "Stopped",
       "its pod is being deleted"},
      {"serving", in_stage(PodStage::Serving), "nothing", "stop", "Stopping", "Stopped",
       "waits for its turn to stop"},
      {"silent", in_stage(PodStage::NotAnswering), "nothing", "stop", "Stopping", "Stopped",
       "waits for its turn to stop"},
      {"serving, and the window is held",
       [](StackWorld& w) {
         w.add_pod("one", PodStage::Serving);
         w.verdicts["llm/strix-one"] = {"LoadWindow", "waits for the load window of node strix-halo"};
       },
       "nothing", "stop", "Stopping", "Stopped", "waits for the load window of node strix-halo"},
      {"ended", in_stage(PodStage::Ended), "delete", "nothing", "Stopping", "Stopped",
       "its pod is being deleted"},
      {"terminating", in_stage(PodStage::Terminating), "nothing", "nothing", "Stopping", "Terminating",
       "pod strix-one is going since 2026-02-03T11:59:00Z"},
  };
  for (const auto& [why, stop] : reasons) {
    for (const auto& row : rows) {
      CAPTURE(why, row.what);
      StackWorld world(1);
      row.change(world);
      stop(world);
      View view(world);
      CHECK_FALSE(view.tier("one").wanted);
      check(row, step_down(view.tier("one"), true));
    }
  }
}

TEST_CASE("a tier whose turn it is not asks for nothing") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Serving);
  world.verdicts["llm/strix-one"] = {"LoadWindow", "an answer of an earlier question"};
  world.stack.spec.suspend = true;
  TierOutcome outcome = step_down(View(world).tier("one"), false);
  CHECK_FALSE(outcome.request);
  CHECK(outcome.actions.empty());
  CHECK(outcome.status.message == "waits until the tiers that started after it have stopped");
}

TEST_CASE("a drain ends when the engine is idle and the cluster knows, or when its time is over") {
  struct Case {
    const char* what;
    int64_t since_millis;  // the drain began
    std::optional<engines::Load> load;
    bool listens;
    bool deletes;
    int64_t retry;
  };
  const std::vector<Case> cases = {
      {"idle, but the routes have not settled", 1'000, engines::Load{0, 0}, true, false, 2'000},
      {"idle", 3'000, engines::Load{0, 0}, true, true, 0},
      {"one request runs", 3'000, engines::Load{1, 0}, true, false, 117'000},
      {"one request waits", 3'000, engines::Load{0, 1}, true, false, 117'000},
      {"the load is not known", 3'000, {}, true, false, 117'000},
      {"busy, and its time is over", 120'000, engines::Load{4, 9}, true, true, 0},
      {"not known, and its time is over", 120'000, {}, true, true, 0},
      {"it does not answer any more", 3'000, {}, false, false, 117'000},
      {"it does not answer, and its time is over", 120'000, {}, false, true, 0},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    StackWorld world(1);
    world.stack.spec.suspend = true;
    world.add_pod("one", PodStage::Draining, noon - c.since_millis);
    world.probe("one", c.listens ? ProbePhase::Serving : ProbePhase::NotAnswering);
    world.probes.begin()->second.load = c.load;
    TierOutcome outcome = step_down(View(world).tier("one"), true);
    CHECK(kind_of(outcome) == (c.deletes ? "delete" : "nothing"));
    CHECK(outcome.status.state == (c.deletes ? "Stopping" : "Draining"));
    CHECK(outcome.retry_after_millis.value_or(0) == c.retry);
    REQUIRE(outcome.target);
    CHECK(outcome.target->draining);
    CHECK(outcome.target->was_serving);
  }
}

TEST_CASE("nothing is waited for in the drain of an engine that is wedged, on a machine that is there") {
  for (bool ready : {true, false}) {
    CAPTURE(ready);
    StackWorld world(1);
    world.stack.spec.suspend = true;
    world.nodes.front().ready = ready;
    world.add_pod("one", PodStage::Draining, noon - 1'000);
    world.probe("one", ProbePhase::NotAnswering);
    world.probes.begin()->second.wedged_since = noon - 10'000;
    CHECK(kind_of(step_down(View(world).tier("one"), true)) == (ready ? "delete" : "nothing"));
  }
}

TEST_CASE("what falls silent while it waits for its turn to stop has no clients, and has them again") {
  struct Case {
    const char* what;
    PodStage stage;
    ProbePhase phase;
    bool told;
    const char *action, *asks;
  };
  for (const Case& c : {
           Case{"falls silent", PodStage::Serving, ProbePhase::NotAnswering, false, "silence", "nothing"},
           Case{"falls silent in a long wait", PodStage::Serving, ProbePhase::NotAnswering, true, "silence",
                "nothing"},
           Case{"is silent", PodStage::NotAnswering, ProbePhase::NotAnswering, true, "nothing", "stop"},
           Case{"is back, and its turn may come at once", PodStage::NotAnswering, ProbePhase::Serving, false,
                "nothing", "stop"},
           Case{"is back in a long wait", PodStage::NotAnswering, ProbePhase::Serving, true, "serve",
                "nothing"},
       }) {
    CAPTURE(c.what);
    StackWorld world(1);
    answering(c.stage, c.phase)(world);
    if (c.told) world.verdicts["llm/strix-one"] = {"LoadWindow", "strix-two loads"};
    replace(world);
    TierOutcome outcome = step_up(View(world).tier("one"));
    CHECK(kind_of(outcome) == c.action);
    CHECK(asks(outcome) == c.asks);
    CHECK(outcome.status.state == "Stopping");
    CHECK(outcome.status.message == (c.told ? "strix-two loads" : "waits for its turn to stop"));
  }
}

TEST_CASE("what waits until others have stopped is kept from its clients while it is silent, and only then") {
  for (bool silent : {true, false}) {
    CAPTURE(silent);
    StackWorld world(1);
    world.stack.spec.suspend = true;
    answering(silent ? PodStage::Serving : PodStage::NotAnswering,
              silent ? ProbePhase::NotAnswering : ProbePhase::Serving)(world);
    CHECK(kind_of(step_down(View(world).tier("one"), false)) == (silent ? "silence" : "serve"));
  }
}

TEST_CASE("what is asked of the window is what the tier is") {
  StackWorld world(2);
  api::Pod& pod = world.add_pod("two", PodStage::Gated);
  world.add_pod("one", PodStage::Serving);
  View view(world);
  TierOutcome up = step_up(view.tier("two"));
  REQUIRE(up.request);
  CHECK(up.request->stack == api::NamespacedName{"llm", "strix"});
  CHECK(up.request->stack_uid == "stack-1");
  CHECK(up.request->stack_generation == 3);
  CHECK(up.request->stack_created == world.stack.metadata.created);
  CHECK(up.request->order == 1);
  CHECK(up.request->node == "strix-halo");
  CHECK(up.request->tier == "two");
  CHECK(up.request->pod.uid == pod.metadata.uid);
  CHECK(up.request->pod.resource_version == pod.metadata.resource_version);
  CHECK(up.request->claim == fake::gpu_claim(150));
  CHECK(up.request->device_resource == "squat.ai/dri");

  fake::put_into(pod, PodStage::Serving, noon);
  world.stack.spec.suspend = true;
  TierOutcome down = step_down(View(world).tier("two"), true);
  REQUIRE(down.request);
  CHECK(down.request->order == -1);
  CHECK(down.request->device_resource.empty());
}

TEST_CASE("a privileged or CPU tier asks for no device") {
  StackWorld world(1);
  world.stack.spec.nodes[0].devices->strategy = api::DeviceStrategy::Privileged;
  world.add_pod("one", PodStage::Gated);
  CHECK(step_up(View(world).tier("one")).request->device_resource.empty());
  world.stack.spec.tiers = {fake::a_cpu_tier("cpu", 8011, "20Gi")};
  world.stack.spec.nodes[0].devices = fake::a_stack_node("halo", "strix-halo").devices;
  world.add_pod("cpu", PodStage::Gated);
  TierOutcome outcome = step_up(View(world).tier("cpu"));
  REQUIRE(outcome.request);
  CHECK(outcome.request->device_resource.empty());
  CHECK(outcome.request->claim == fake::cpu_claim(20 * gib));
}

TEST_CASE("what a tier holds is told while it holds it") {
  struct Case {
    PodStage stage;
    bool holds;
  };
  for (const Case c :
       {Case{PodStage::Gated, false}, Case{PodStage::Loading, true}, Case{PodStage::Serving, true},
        Case{PodStage::Terminating, true}, Case{PodStage::Ended, false}}) {
    CAPTURE(static_cast<int>(c.stage));
    StackWorld world(1);
    world.add_pod("one", c.stage);
    TierOutcome outcome = step_up(View(world).tier("one"));
    CHECK(outcome.status.pod_name == "strix-one");
    CHECK(outcome.status.node == "strix-halo");
    CHECK(outcome.status.gpu_fraction_milli.has_value() == c.holds);
    CHECK(outcome.status.bytes.has_value() == c.holds);
    if (c.holds) CHECK(*outcome.status.bytes == fake::gpu_claim(100).known_bytes());
  }
  StackWorld world(1);  // of a claim that cannot be read nothing is told
  world.add_pod("one", PodStage::Serving).metadata.annotations[std::string(names::annotation_claim)] = "{";
  CHECK_FALSE(step_up(View(world).tier("one")).status.bytes);
}

TEST_CASE("the context length is the engine's, and stays known while it is not asked") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Serving);
  world.probe("one", ProbePhase::Serving);
  world.probes.begin()->second.report.context_length_tokens = 8'000;
  CHECK(step_up(View(world).tier("one")).status.context_length_tokens == 8'000);
  world.status("one").context_length_tokens = 8'000;
  world.probes.clear();
  CHECK(step_up(View(world).tier("one")).status.context_length_tokens == 8'000);
}

TEST_CASE("since is when state or reason last changed") {
  StackWorld world(1);
  world.add_pod("one", PodStage::Gated);
  CHECK(step_up(View(world).tier("one")).status.since == noon);
  world.status("one") = step_up(View(world).tier("one")).status;
  world.tick(5'000);
  CHECK(step_up(View(world).tier("one")).status.since == noon);
  world.verdicts["llm/strix-one"] = {"MemoryShort", "no"};
  CHECK(step_up(View(world).tier("one")).status.since == noon + 5'000);
}

TEST_CASE("the prober is told where, whom and with which key to ask") {
  StackWorld world(1);
  api::Pod& pod = world.add_pod("one", PodStage::Serving);
  Observed observed = world.observed();
  observed.api_keys["one"] = "sesame";
  StackContext context(observed);
  TierOutcome outcome = step_up(context.tiers.front());
  REQUIRE(outcome.target);
  CHECK(outcome.target->uid == pod.metadata.uid);
  CHECK(outcome.target->pod_ip == "10.42.0.7");
  CHECK(outcome.target->tier.port == 8001);
  CHECK(outcome.target->api_key == "sesame");
  CHECK(outcome.target->was_serving);
  CHECK_FALSE(outcome.target->draining);
  // Its stop was called off: it has to answer before it serves, and may have hung in its drain.
  fake::put_into(pod, PodStage::Draining, noon);
  outcome = step_up(View(world).tier("one"));
  REQUIRE(outcome.target);
  CHECK(outcome.target->was_silent);
  CHECK_FALSE(outcome.target->was_serving);
  CHECK_FALSE(outcome.target->draining);
  pod.pod_ip.clear();
  CHECK_FALSE(step_up(View(world).tier("one")).target);
  for (PodStage stage : {PodStage::Gated, PodStage::Ended, PodStage::Terminating}) {
    fake::put_into(pod, stage, noon);
    CHECK_FALSE(step_up(View(world).tier("one")).target);
  }
}
