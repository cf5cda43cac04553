#include "engines/image.h"

#include <set>

#include "api/names.h"
#include "base/json.h"
#include "catch.h"
#include "decision_log.h"
#include "engines/pull_pod.h"

using namespace strix;
using engines::PullPolicy;

TEST_CASE("an image has the name under which containerd lists it") {
  struct Case {
    const char *written, *listed;
  };
  for (const Case& c :
       {Case{"nginx", "docker.io/library/nginx:latest"}, Case{"nginx:1", "docker.io/library/nginx:1"},
        Case{"kyuz0/vllm:a", "docker.io/kyuz0/vllm:a"},
        Case{"docker.io/kyuz0/vllm:a", "docker.io/kyuz0/vllm:a"},
        Case{"ghcr.io/ggml-org/llama.cpp:server", "ghcr.io/ggml-org/llama.cpp:server"},
        Case{"localhost/x", "localhost/x:latest"}, Case{"box:5000/x", "box:5000/x:latest"},
        Case{"box:5000/x:2", "box:5000/x:2"}, Case{"x@sha256:ab", "docker.io/library/x@sha256:ab"},
        Case{"", "docker.io/library/:latest"}})
    CHECK(engines::full_image_name(c.written) == c.listed);
}

TEST_CASE("an image is pulled as its tier says, or as Kubernetes has it") {
  struct Case {
    const char *image, *said;
    PullPolicy policy;
  };
  api::InferenceStack stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  for (const Case& c :
       {Case{"x:latest", "", PullPolicy::Always}, Case{"x", "", PullPolicy::Always},
        Case{"x:1", "", PullPolicy::IfNotPresent}, Case{"x@sha256:ab", "", PullPolicy::IfNotPresent},
        Case{"x:latest", "IfNotPresent", PullPolicy::IfNotPresent}, Case{"x:1", "Always", PullPolicy::Always},
        Case{"x:1", "Never", PullPolicy::Never}}) {
    CAPTURE(c.image, c.said);
    api::Tier tier = stack.spec.tiers.front();
    tier.image = c.image;
    tier.image_pull_policy = c.said;
    CHECK(engines::pull_policy(stack.spec, tier) == c.policy);
  }
}

TEST_CASE("a pod that pulls has nothing by which a tier's pod is found, and no gate, volume or device") {
  api::InferenceStack stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  engines::PullInput input{
      stack, {stack.spec.nodes[0], "strix-halo", "strix-halo"}, "x:1", PullPolicy::Always};
  auto document = json::Document::parse(engines::render_pull_pod(input));
  REQUIRE(document.ok());
  json::Value metadata = document->root()["metadata"], spec = document->root()["spec"];
  CHECK(metadata["name"].string_or("") == engines::pull_pod_name(input));
  json::Value labels = metadata["labels"];
  CHECK(labels[names::label_role].string_or("") == "pull");
  for (auto label : {names::label_tier, names::label_node, names::label_admitted, names::label_component})
    CHECK_FALSE(labels[label].string());
  CHECK_FALSE(metadata["annotations"][names::annotation_claim].string());
  CHECK(spec["schedulingGates"].at(0).string_or("none") == "none");
  CHECK_FALSE(spec["volumes"].is_array());
  CHECK_FALSE(spec["automountServiceAccountToken"].boolean_or(true));
  CHECK(spec["activeDeadlineSeconds"].integer_or(0) > 0);
  CHECK(spec["nodeSelector"]["kubernetes.io/hostname"].string_or("") == "strix-halo");
  json::Value container = spec["containers"].at(0);
  CHECK(container["image"].string_or("") == "x:1");
  CHECK(container["imagePullPolicy"].string_or("") == "Always");
  CHECK(container["securityContext"]["runAsNonRoot"].boolean_or(false));
  // Another image, node or policy is another pod; the name is one that no tier can have.
  std::set<std::string> pods{engines::pull_pod_name(input)};
  engines::PullInput other = input;
  other.image = "x:2";
  pods.insert(engines::pull_pod_name(other));
  other.policy = PullPolicy::Never;
  pods.insert(engines::pull_pod_name(other));
  engines::PullInput away{stack, {stack.spec.nodes[0], "elsewhere", ""}, "x:1", PullPolicy::Always};
  pods.insert(engines::pull_pod_name(away));
  CHECK(pods.size() == 4);
  CHECK(pods.begin()->starts_with(stack.metadata.name + ".pull-"));
}
