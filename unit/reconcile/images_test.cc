#include "reconcile/images.h"

#include "api/conditions.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "reconcile/failure.h"

using namespace strix;
using namespace strix::reconcile;
using fake::actions_of;
using fake::noon;
using fake::StackWorld;
using fake::tier_in;

namespace {

std::vector<CreatePod> pulls(const Decision& decision) {
  std::vector<CreatePod> found;
  for (const auto& create : actions_of<CreatePod>(decision))
    if (create.name.find('.') != std::string::npos) found.push_back(create);
  return found;
}

bool takes_away(const Decision& decision, const api::Pod& pod) {
  for (const auto& removal : actions_of<DeletePod>(decision))
    if (removal.pod.uid == pod.metadata.uid) return true;
  return false;
}

// The pod that the last pass wanted, as the API server then has it.
api::Pod& add_pull(StackWorld& world, const std::string& body) {
  auto document = json::Document::parse(body);
  REQUIRE(document.ok());
  api::Pod pod = api::decode_pod(document->root()).value();
  pod.metadata.uid = "pull-" + world.next_version();
  pod.metadata.resource_version = world.next_version();
  pod.metadata.created = world.now.wall;
  pod.phase = "Pending";
  world.pull_pods.push_back(pod);
  return world.pull_pods.back();
}

void waits(api::Pod& pod, const std::string& reason, const std::string& message = "") {
  pod.node_name = "strix-halo";
  pod.engine = api::ContainerStatus{};
  pod.engine->waiting_reason = reason;
  pod.engine->waiting_message = message;
}

void ends(api::Pod& pod, const std::string& image_id) {
  pod.node_name = "strix-halo";
  pod.phase = "Succeeded";
  pod.engine = api::ContainerStatus{};
  pod.engine->terminated = true;
  pod.engine->image_id = image_id;
}

// Both tiers have gated pods, and no node has their image.
void nowhere(StackWorld& world) {
  world.add_services();
  world.nodes.front().images.clear();
  for (const auto& tier : world.stack.spec.tiers) world.add_pod(tier.name, PodStage::Gated);
}

bool asks(const Decision& decision) {
  return !decision.requests.empty();
}

}  // namespace

TEST_CASE("an image that the node has is not pulled, and holds nobody up") {
  StackWorld world(2);
  nowhere(world);
  world.nodes.front().images = {fake::vllm_image};
  CHECK(pulls(world.decide()).empty());
  CHECK(asks(world.decide()));
}

TEST_CASE("an image that a pod of the stack ran with on that node is there") {
  StackWorld world(2);
  nowhere(world);
  world.pods.clear();
  world.add_pod("one", PodStage::Serving).engine->image_id = "docker.io/x@sha256:ab";
  world.add_pod("two", PodStage::Gated);
  CHECK(pulls(world.decide()).empty());
  CHECK(asks(world.decide()));
  world.pods.front().node_name = "another";
  CHECK(pulls(world.decide()).size() == 1);
}

TEST_CASE(
    "one pod pulls an image for all that wait for it, beside their own pods, and the window stays shut") {
  StackWorld world(3);
  world.tier("three").image = "example/other:1";
  nowhere(world);
  Decision decision = world.decide();
  REQUIRE(pulls(decision).size() == 2);
  CHECK_FALSE(asks(decision));
  CHECK(tier_in(decision.status, "one").reason == "ImagePulling");
  CHECK(tier_in(decision.status, "two").reason == "Predecessor");
  for (const auto& pull : pulls(decision)) add_pull(world, pull.body);
  decision = world.decide();
  CHECK(pulls(decision).empty());
  CHECK_FALSE(asks(decision));
  CHECK(tier_in(decision.status, "one").message ==
        "docker.io/kyuz0/vllm-therock-gfx1151:stable is being pulled on node strix-halo since "
        "2026-02-03T12:00:00Z");
}

TEST_CASE("a tier's first pass makes its pod and the one that pulls for it") {
  StackWorld world(1);
  world.nodes.front().images.clear();
  CHECK(actions_of<CreatePod>(world.decide()).size() == 2);
}

TEST_CASE("what a pod that pulls shows decides whether the image is there") {
  struct Case {
    const char* what;
    std::function<void(api::Pod&)> change;
    bool present;
    const char *reason, *message;
  };
  const std::string image = fake::vllm_image;
  const Case cases[] = {
      {"ended", [](api::Pod& p) { ends(p, "docker.io/x@sha256:ab"); }, true, "", ""},
      {"could not be started", [](api::Pod& p) { waits(p, "RunContainerError", "no such file: true"); }, true,
       "", ""},
      {"a user that it does not let run", [](api::Pod& p) { waits(p, "CreateContainerConfigError"); }, true,
       "", ""},
      {"being made", [](api::Pod& p) { waits(p, "ContainerCreating"); }, false, "ImagePulling",
       " is being pulled on node strix-halo since 2026-02-03T12:00:00Z"},
      {"does not exist", [](api::Pod& p) { waits(p, "ErrImagePull", "not found"); }, false, "ImagePullFailed",
       " cannot be pulled on node strix-halo: not found"},
      {"does not exist, a little later",
       [](api::Pod& p) {
         waits(p, "ImagePullBackOff", "Back-off pulling image \"x\": ErrImagePull: not found");
       },
       false, "ImagePullFailed", " cannot be pulled on node strix-halo: not found"},
      {"its registry's name is not found, from another port every time",
       [](api::Pod& p) {
         waits(p, "ErrImagePull", "lookup x: read udp 10.0.0.7:43122->10.0.0.2:53: i/o timeout");
       },
       false, "ImagePullFailed",
       " cannot be pulled on node strix-halo: lookup x: read udp 10.0.0.7->10.0.0.2:53: i/o timeout"},
      {"says what is no port", [](api::Pod& p) { waits(p, "ErrImagePull", "->a 12->b :->c"); }, false,
       "ImagePullFailed", " cannot be pulled on node strix-halo: ->a 12->b :->c"},
      {"may not be pulled", [](api::Pod& p) { waits(p, "ErrImageNeverPull"); }, false, "ImagePullFailed",
       " cannot be pulled on node strix-halo: ErrImageNeverPull"},
      {"ended without it",
       [](api::Pod& p) {
         p.phase = "Failed";
         p.reason = "DeadlineExceeded";
       },
       false, "ImagePullFailed", " was not pulled on node strix-halo: its pod ended (DeadlineExceeded)"},
      {"its end is not known",
       [](api::Pod& p) {
         ends(p, "");
         p.engine->terminated_reason = "ContainerStatusUnknown";
       },
       false, "ImagePullFailed", " was not pulled on node strix-halo: its pod ended (no reason given)"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    StackWorld world(1);
    nowhere(world);
    c.change(add_pull(world, pulls(world.decide())[0].body));
    Decision decision = world.decide();
    CHECK(asks(decision) == c.present);
    CHECK(pulls(decision).empty());
    if (c.present) continue;
    CHECK(tier_in(decision.status, "one").state == "Waiting");
    CHECK(tier_in(decision.status, "one").reason == c.reason);
    CHECK(tier_in(decision.status, "one").message == image + c.message);
  }
}

TEST_CASE("an image that cannot be pulled holds up only who starts after it by name, and is no failure") {
  StackWorld world(2);
  world.tier("one").image = "example/none:1";
  nowhere(world);
  world.nodes.front().images = {fake::vllm_image};
  waits(add_pull(world, pulls(world.decide())[0].body), "ErrImagePull", "not found");
  Decision decision = world.decide();
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].tier == "two");
  CHECK(tier_in(decision.status, "one").restarts == 0);
  CHECK_FALSE(tier_in(decision.status, "one").last_failure);
  bool told = std::any_of(decision.events.begin(), decision.events.end(), [](const auto& event) {
    return event.reason == "ImagePullFailed" && event.warning;
  });
  CHECK(told);
  world.store(decision.status);
  CHECK(world.decide().events.empty());
  world.tier("two").start_after = {"one"};
  CHECK_FALSE(asks(world.decide()));
}

TEST_CASE("a policy of Always pulls although the image is there, once for each start") {
  StackWorld world(1);
  world.tier("one").image_pull_policy = "Always";
  nowhere(world);
  world.nodes.front().images = {fake::vllm_image};
  Decision decision = world.decide();
  REQUIRE(pulls(decision).size() == 1);
  CHECK_FALSE(asks(decision));
  api::Pod& pull = add_pull(world, pulls(decision)[0].body);
  ends(pull, "docker.io/x@sha256:ab");
  CHECK(asks(world.decide()));
  CHECK_FALSE(takes_away(world.decide(), pull));
  fake::put_into(world.pods.front(), PodStage::Loading, noon);
  CHECK(takes_away(world.decide(), pull));
  world.pull_pods.clear();
  fake::put_into(world.pods.front(), PodStage::Ended, noon);
  CHECK(pulls(world.decide()).size() == 1);  // while it is backed off
}

TEST_CASE("a pod that pulls goes when nobody waits for its image") {
  struct Case {
    const char* what;
    std::function<void(StackWorld&)> change;
  };
  const Case cases[] = {
      {"suspended", [](StackWorld& w) { w.stack.spec.suspend = true; }},
      {"switched off", [](StackWorld& w) { w.tier("one").activation = api::Activation::Off; }},
      {"another image", [](StackWorld& w) { w.tier("one").image = "example/other:1"; }},
      {"removed",
       [](StackWorld& w) {
         w.stack.spec.tiers[0].name = "other";
         w.stack.spec.tiers[0].image = "a:1";
       }},
      {"an invalid spec", [](StackWorld& w) { w.tier("one").port = 0; }},
      {"deleted", [](StackWorld& w) { w.stack.metadata.deleted = noon; }},
      {"deleted in the foreground",
       [](StackWorld& w) {
         w.stack.metadata.deleted = noon;
         w.stack.metadata.finalizers.emplace_back("foregroundDeletion");
       }},
      {"orphaned",
       [](StackWorld& w) {
         w.stack.metadata.deleted = noon;
         w.stack.metadata.finalizers.emplace_back("orphan");
       }},
      {"an earlier stack's", [](StackWorld& w) { w.pull_pods.front().metadata.owners[0].uid = "gone"; }},
      {"nobody's", [](StackWorld& w) { w.pull_pods.front().metadata.owners.clear(); }},
      {"it loads", [](StackWorld& w) { fake::put_into(w.pods.front(), PodStage::Loading, noon); }},
      {"its node is away", [](StackWorld& w) { w.nodes.front().ready = false; }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    StackWorld world(1);
    nowhere(world);
    api::Pod& pull = add_pull(world, pulls(world.decide())[0].body);
    CHECK_FALSE(takes_away(world.decide(), pull));
    c.change(world);
    CHECK(takes_away(world.decide(), pull));
    pull.metadata.deleted = noon;
    CHECK_FALSE(takes_away(world.decide(), pull));
  }
}

TEST_CASE("a pod that ended without the image is made again, not more often than once a minute") {
  StackWorld world(1);
  nowhere(world);
  api::Pod& pull = add_pull(world, pulls(world.decide())[0].body);
  pull.phase = "Failed";
  Decision decision = world.decide();
  CHECK_FALSE(takes_away(decision, pull));
  CHECK(decision.retry_after_millis == pull_again_millis);
  world.tick(pull_again_millis);
  CHECK(takes_away(world.decide(), pull));
  CHECK(pulls(world.decide()).empty());
}

TEST_CASE("a pod that the API server refuses is told, and not asked for again and again") {
  StackWorld world(1);
  nowhere(world);
  std::string name = pulls(world.decide())[0].name;
  world.refusals[name] = {names::reason_refused, "the API server refuses pod/llm/" + name + ": quota"};
  Decision decision = world.decide();
  CHECK(pulls(decision).empty());
  CHECK(tier_in(decision.status, "one").message.ends_with(": quota"));
}

TEST_CASE("a tier that cannot start for another reason has nothing pulled") {
  StackWorld world(1);
  nowhere(world);
  world.tier("one").gpu_fraction_milli = 990;  // more than maxGpuFraction
  CHECK(pulls(world.decide()).empty());
}

TEST_CASE("what serves goes on serving until its new image is there") {
  StackWorld world(2);
  world.serve_all();
  world.tier("one").image = "example/new:2";
  Decision decision = world.decide();
  REQUIRE(pulls(decision).size() == 1);
  CHECK_FALSE(asks(decision));
  const api::TierStatus& one = tier_in(decision.status, "one");
  CHECK(one.state == "Ready");
  CHECK(one.reason == "ImagePulling");
  CHECK(one.message == "serves on as it was before the change: example/new:2 is not on node strix-halo yet");
  CHECK(decision.status.summary.ready == "1/2");
  api::Pod& pull = add_pull(world, pulls(decision)[0].body);
  waits(pull, "ErrImagePull", "not found");
  decision = world.decide();
  CHECK_FALSE(asks(decision));
  CHECK(tier_in(decision.status, "one").reason == "ImagePullFailed");
  ends(pull, "sha256:ab");
  decision = world.decide();
  REQUIRE(decision.requests.size() == 1);
  CHECK(decision.requests[0].kind == WindowRequest::Kind::Stop);
}

TEST_CASE("a change that could not start takes nothing away that serves, and says so") {
  struct Case {
    const char* what;
    std::function<void(StackWorld&)> edit;
    const char *reason, *condition, *ready;
  };
  const Case cases[] = {
      {"too big by its own numbers", [](StackWorld& w) { w.tier("one").gpu_fraction_milli = 990; },
       "MemoryShort", "Stalled", "MemoryShort"},
      {"known to hang the GPU",
       [](StackWorld& w) {
         w.tier("one").context_length_tokens = 4096;
         api::TierStatus& two = w.status("two");
         two.last_failure = api::Failure{"GpuFault", "the GPU hung", noon - 3'600'000, "", ""};
         two.last_failure->subject = subject_of("GpuFault", w.stack.spec, w.tier("two"), "");
       },
       "Quarantined", "Stalled", "Quarantined"},
      {"its node is away",
       [](StackWorld& w) {
         w.tier("one").context_length_tokens = 4096;
         w.nodes.front().ready = false;
       },
       "NodeNotReady", "Reconciling", "NodeNotReady"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    StackWorld world(2);
    world.edit_served(c.edit);
    Decision decision = world.decide();
    for (const auto& request : decision.requests) CHECK(request.tier != "one");
    const api::TierStatus& one = tier_in(decision.status, "one");
    CHECK(one.state == "Ready");
    CHECK(one.reason == c.reason);
    CHECK(one.message.starts_with("serves on as it was before the change: "));
    const api::Condition* ready = api::find_condition(decision.status.conditions, names::condition_ready);
    CHECK(ready->status == "False");
    CHECK(ready->reason == c.ready);
    CHECK(api::find_condition(decision.status.conditions, c.condition));
  }
}

TEST_CASE("a silent tier is replaced without waiting for anything: nobody is served") {
  StackWorld world(1);
  world.serve_all();
  fake::put_into(world.pods.front(), PodStage::NotAnswering, noon);
  world.tier("one").image = "example/new:2";
  CHECK(asks(world.decide()));
}

TEST_CASE("a pod that pulls holds no memory and no window, whatever its condition") {
  api::Pod pod = fake::a_pod("strix.pull-1", PodStage::Loading, fake::gpu_claim(300));
  pod.metadata.labels[std::string(names::label_role)] = names::role_pull;
  CHECK_FALSE(holds_memory(pod));
  CHECK_FALSE(holds_window(pod));
}
