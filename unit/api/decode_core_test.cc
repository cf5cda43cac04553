#include "catch.h"
#include "manifest.h"

using namespace strix;

TEST_CASE("metadata without a name is Invalid") {
  for (const char* text : {"{}", "[]", "7", "null", R"({"metadata":{}})", R"({"metadata":{"name":""}})",
                           R"({"metadata":{"name":7}})", R"({"metadata":[]})"}) {
    CAPTURE(text);
    auto document = test::parse(text);
    CHECK(api::decode_meta(document.root()).error().kind == ErrorKind::Invalid);
    CHECK_FALSE(api::decode_pod(document.root()).ok());
    CHECK_FALSE(api::decode_node(document.root()).ok());
    CHECK_FALSE(api::decode_service(document.root()).ok());
    CHECK_FALSE(api::decode_stack(document.root()).ok());
  }
}

TEST_CASE("metadata is read, without what only costs memory") {
  auto document = test::parse(R"({"metadata":{"name":"strix-coder","namespace":"llm","uid":"u1",
    "resourceVersion":"42","generation":3,"creationTimestamp":"2026-02-03T04:05:06Z",
    "deletionTimestamp":"2026-02-03T04:06:06Z","deletionGracePeriodSeconds":30,"finalizers":["a","b"],
    "ownerReferences":[{"kind":"X","name":"other","uid":"u8"},
                       {"kind":"InferenceStack","name":"strix","uid":"u9","controller":true}],
    "labels":{"a":"1"},"managedFields":[{}],
    "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","b":"2"}}})");
  auto meta = api::decode_meta(document.root());
  REQUIRE(meta.ok());
  CHECK(meta->key().text() == "llm/strix-coder");
  CHECK(meta->uid == "u1");
  CHECK(meta->resource_version == "42");
  CHECK(meta->generation == 3);
  CHECK(meta->deleting());
  CHECK(meta->deleted - meta->created == 60000);
  CHECK(meta->deletion_grace_seconds == 30);
  CHECK(meta->has_finalizer("b"));
  REQUIRE(meta->controller());
  CHECK(meta->controller()->uid == "u9");
  CHECK(meta->label("a") == "1");
  CHECK(meta->annotations == std::map<std::string, std::string>{{"b", "2"}});
}

TEST_CASE("a pod is read with its gates, its conditions and only the container called engine") {
  auto document = test::parse(R"({"metadata":{"name":"p"},"spec":{"nodeName":"n1",
    "schedulingGates":[{"name":"inference.strix.dev/load-window"}],"terminationGracePeriodSeconds":60,
    "containers":[{"name":"proxy","image":"p:1","ports":[{"containerPort":9}]},
                  {"name":"engine","image":"e:1","ports":[{"containerPort":8001}],
                   "resources":{"limits":{"memory":"1Gi","squat.ai/dri":"1"}}}]},
    "status":{"phase":"Running","reason":"r","message":"m","podIP":"10.0.0.7",
      "conditions":[{"type":"Ready","status":"False","reason":"ReadinessGatesNotReady","message":"x",
                     "lastTransitionTime":"2026-02-03T04:05:06Z"}],
      "containerStatuses":[{"name":"istio-proxy","state":{"terminated":{"exitCode":1}}},
                           {"name":"engine","state":{"running":{"startedAt":"2026-02-03T04:05:06Z"}}}]}})");
  auto pod = api::decode_pod(document.root());
  REQUIRE(pod.ok());
  CHECK(pod->node_name == "n1");
  CHECK(pod->scheduling_gates == std::vector<std::string>{"inference.strix.dev/load-window"});
  CHECK(pod->termination_grace_seconds == 60);
  CHECK(pod->pod_ip == "10.0.0.7");
  CHECK(pod->image == "e:1");
  CHECK(pod->engine_port == 8001);
  CHECK(pod->devices == std::vector<std::string>{"squat.ai/dri"});
  CHECK_FALSE(pod->terminal());
  REQUIRE(pod->condition("Ready"));
  CHECK(pod->condition("Ready")->last_transition != 0);
  REQUIRE(pod->engine);
  CHECK(pod->engine->running);
  CHECK(pod->engine->started != 0);
  CHECK_FALSE(pod->engine->terminated);
}

TEST_CASE("a container that ended or waits is read with why") {
  auto ended = test::parse(
      R"({"metadata":{"name":"p"},"status":{"phase":"Failed","containerStatuses":[{"name":"engine",
    "state":{"terminated":{"exitCode":137,"signal":9,"reason":"OOMKilled","message":"m",
    "startedAt":"2026-02-03T04:05:06Z","finishedAt":"2026-02-03T04:05:36Z"}}}]}})");
  auto pod = api::decode_pod(ended.root());
  REQUIRE(pod.ok());
  CHECK(pod->terminal());
  REQUIRE(pod->engine);
  CHECK(pod->engine->terminated);
  CHECK(pod->engine->exit_code == 137);
  CHECK(pod->engine->signal == 9);
  CHECK(pod->engine->terminated_reason == "OOMKilled");
  CHECK(pod->engine->finished - pod->engine->started == 30000);

  auto waiting = test::parse(R"({"metadata":{"name":"p"},"status":{"phase":"Pending","containerStatuses":[
    {"name":"engine","imageID":"docker.io/x@sha256:ab",
     "state":{"waiting":{"reason":"ImagePullBackOff","message":"no such image"}}}]}})");
  pod = api::decode_pod(waiting.root());
  REQUIRE(pod->engine);
  CHECK(pod->engine->waiting_reason == "ImagePullBackOff");
  CHECK(pod->engine->waiting_message == "no such image");
  CHECK(pod->engine->image_id == "docker.io/x@sha256:ab");
}

TEST_CASE("a pod that is only a name is read with defaults") {
  auto pod = api::decode_pod(test::parse(R"({"metadata":{"name":"p"},"status":{"conditions":7}})").root());
  REQUIRE(pod.ok());
  CHECK_FALSE(pod->engine);
  CHECK(pod->termination_grace_seconds == 30);
  CHECK(pod->conditions.empty());
}

TEST_CASE("a node is read with readiness, boot id, memory and extended resources") {
  auto document = test::parse(R"({"metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"h"},
    "annotations":{"big":"x"}},"spec":{"unschedulable":true},"status":{"nodeInfo":{"bootID":"b1"},
    "conditions":[{"type":"MemoryPressure","status":"True"},{"type":"Ready","status":"True","message":"ok"}],
    "images":[{"names":["x@sha256:ab","x:1"]},{"sizeBytes":1}],
    "allocatable":{"cpu":"16","memory":"128000000Ki","pods":"110","squat.ai/dri":"4",
    "bad.example/x":"many"}}})");
  auto node = api::decode_node(document.root());
  REQUIRE(node.ok());
  CHECK(node->ready);
  CHECK(node->ready_message == "ok");
  CHECK(node->boot_id == "b1");
  CHECK(node->unschedulable);
  CHECK(node->metadata.label("kubernetes.io/hostname") == "h");
  CHECK(node->metadata.annotations.empty());
  CHECK(node->images == std::vector<std::string>{"x@sha256:ab", "x:1"});
  CHECK(node->allocatable ==
        std::map<std::string, int64_t>{{"memory", 128000000LL * 1024}, {"squat.ai/dri", 4}});
}

TEST_CASE("a node whose Ready is Unknown, or that says nothing, is not ready") {
  // A kubelet that says since when is no news every ten seconds.
  for (auto [said, read] :
       {std::pair("PLEG is not healthy: pleg was last seen active 3m12.4s ago; threshold is 3m0s",
                  "PLEG is not healthy: pleg was last seen active some time ago; threshold is some time"),
        std::pair("runtime 10.0.0.1 is down for 1h2m, v1.2s3 x5m",
                  "runtime 10.0.0.1 is down for some time, v1.2s3 x5m")}) {
    std::string text =
        R"({"metadata":{"name":"n"},"status":{"conditions":[{"type":"Ready","status":"False","message":")";
    CHECK(api::decode_node(test::parse(text + said + R"("}]}})").root())->ready_message == read);
  }
  auto silent = api::decode_node(test::parse(R"({"metadata":{"name":"n"}})").root());
  CHECK_FALSE(silent->ready);
  auto unknown = api::decode_node(
      test::parse(
          R"({"metadata":{"name":"n"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}})")
          .root());
  CHECK_FALSE(unknown->ready);
}
