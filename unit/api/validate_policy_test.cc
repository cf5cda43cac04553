// What the operator's flags forbid.
#include <vector>

#include "api/validate.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;
using api::InferenceStack;
using api::Policy;

namespace {

Policy open_policy() {
  Policy policy;
  policy.allow_privileged_tiers = true;
  policy.model_roots = {"/"};
  return policy;
}

api::Tier& coder(InferenceStack& stack) {
  return stack.spec.tiers[0];
}
api::StackNode& halo(InferenceStack& stack) {
  return stack.spec.nodes[0];
}

}  // namespace

TEST_CASE("host paths must lie under a model root, folder by folder") {
  auto allowed = [](const char* path, std::vector<std::string> roots) {
    InferenceStack stack = test::minimal();
    halo(stack).model_store.host_path = path;
    Policy policy;
    policy.model_roots = std::move(roots);
    return api::validate(stack, policy).empty();
  };
  CHECK(allowed("/var/lib/models", {"/var/lib/models"}));
  CHECK(allowed("/var/lib/models/", {"/var/lib/models"}));
  CHECK(allowed("/var/lib/models/a/b", {"/srv", "/var/lib/models/"}));
  CHECK(allowed("/var//lib/./models/a", {"/var/lib/models"}));
  CHECK(allowed("/anything", {"/"}));
  CHECK_FALSE(allowed("/var/lib/models-evil", {"/var/lib/models"}));
  CHECK_FALSE(allowed("/var/lib", {"/var/lib/models"}));
  CHECK_FALSE(allowed("/var/lib/models/../../../etc", {"/var/lib/models"}));
  CHECK_FALSE(allowed("/var/lib/models/..", {"/var/lib/models"}));
  CHECK_FALSE(allowed("/", {"/var/lib/models"}));
  CHECK_FALSE(allowed("/etc", {}));
  CHECK_FALSE(allowed("/etc", {"/srv/../"}));  // a root that climbs allows nothing
  CHECK_FALSE(allowed("/etc", {""}));          // an empty flag is not the whole disk
  CHECK_FALSE(allowed("/etc", {"etc"}));
}

TEST_CASE("engine caches obey the same roots, and claims need none") {
  InferenceStack stack = test::minimal();
  halo(stack).model_store = {"", "models"};
  CHECK(api::validate(stack, Policy{}).empty());
  stack.spec.llamacpp.cache.host_path = "/var/cache/llama";
  auto errors = api::validate(stack, Policy{});
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].path == "spec.engines.llamacpp.cache.hostPath");
  CHECK(errors[0].message.find("--model-roots") != std::string::npos);
}

TEST_CASE("images must begin with an allowed prefix that ends at a boundary") {
  auto allowed = [](const char* image, std::vector<std::string> prefixes) {
    InferenceStack stack = test::minimal();
    stack.spec.tiers.erase(stack.spec.tiers.begin() + 1);
    coder(stack).image = image;
    Policy policy = open_policy();
    policy.allowed_images = std::move(prefixes);
    return api::validate(stack, policy).empty();
  };
  CHECK(allowed("docker.io/kyuz0/vllm:latest", {}));
  CHECK(allowed("docker.io/kyuz0/vllm:latest", {"docker.io/kyuz0"}));
  CHECK(allowed("docker.io/kyuz0/vllm:latest", {"ghcr.io", "docker.io/kyuz0/"}));
  CHECK(allowed("docker.io/kyuz0/vllm:latest", {"docker.io/kyuz0/vllm"}));
  CHECK(allowed("docker.io/kyuz0/vllm@sha256:00", {"docker.io/kyuz0/vllm"}));
  CHECK(allowed("docker.io/kyuz0/vllm", {"docker.io/kyuz0/vllm"}));
  CHECK_FALSE(allowed("docker.io/kyuz0/vllm-evil", {"docker.io/kyuz0/vllm"}));
  CHECK_FALSE(allowed("docker.io/kyuz00/vllm", {"docker.io/kyuz0"}));
  CHECK_FALSE(allowed("kyuz0/vllm", {"docker.io/kyuz0"}));
  CHECK_FALSE(allowed("docker.io/kyuz0", {"docker.io/kyuz0/vllm"}));
  CHECK_FALSE(allowed("docker.io/kyuz0/vllm", {""}));
}

TEST_CASE("an engine's default image is judged only where a tier runs it, and told once") {
  InferenceStack stack = test::minimal();
  Policy policy = open_policy();
  policy.allowed_images = {"ghcr.io/ggml-org"};
  auto errors = api::validate(stack, policy);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].path == "spec.engines.vllm.image");
  coder(stack).image = "ghcr.io/ggml-org/other";
  CHECK(api::validate(stack, policy).empty());
}

TEST_CASE("privileged tiers, flags and variables of the operator are refused by policy") {
  InferenceStack stack = test::minimal();
  halo(stack).devices = api::Devices{.strategy = api::DeviceStrategy::Privileged,
                                     .resource_name = "",
                                     .paths = {"/dev/kfd"},
                                     .supplemental_groups = {}};
  Policy policy = open_policy();
  CHECK(api::validate(stack, policy).empty());
  policy.allow_privileged_tiers = false;
  REQUIRE(api::validate(stack, policy).size() == 1);
  CHECK(api::validate(stack, policy)[0].path == "spec.nodes[halo].devices.strategy");

  stack = test::minimal();
  coder(stack).extra_args = {"--port=1"};
  coder(stack).env = {{"HF_HUB_OFFLINE", "0", "", ""}};
  stack.spec.llamacpp.env = {{"HF_HUB_OFFLINE", "0", "", ""}};
  CHECK(api::validate(stack, policy).empty());
  policy.owned_env = {"HF_HUB_OFFLINE"};
  policy.owned_flag = [](api::Engine engine, const std::vector<std::string>& arguments) {
    return engine == api::Engine::Vllm && !arguments.empty() ? "--port" : "";
  };
  auto errors = api::validate(stack, policy);
  REQUIRE(errors.size() == 3);
  CHECK(errors[0].text() ==
        "spec.tiers[coder].extraArgs: '--port' is set by the operator from other fields; remove it here, and "
        "use "
        "the field");
  CHECK(errors[1].path == "spec.engines.llamacpp.env");
  CHECK(errors[2].text() ==
        "spec.tiers[coder].env: HF_HUB_OFFLINE is set by the operator, or read from extraArgs "
        "alone; remove it");
}
