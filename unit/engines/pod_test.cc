#include <functional>
#include <set>

#include "api/names.h"
#include "base/json.h"
#include "catch.h"
#include "decision_log.h"

using namespace strix;

namespace {

enum Index : size_t { orchestrator, coder, reviewer, utility };

struct Rendered {
  engines::RenderedPod pod;
  json::Document document;
  json::Value root() const { return document.root(); }
  json::Value spec() const { return root()["spec"]; }
  json::Value container() const { return spec()["containers"].at(0); }
};

Rendered render(const engines::PodInput& input) {
  auto pod = engines::render_pod(input);
  auto document = json::Document::parse(pod.body);
  REQUIRE(document.ok());
  return {std::move(pod), std::move(document).value()};
}

std::string value_of(json::Value env, std::string_view name) {
  std::string value = "(none)";
  int seen = 0;
  env.for_each([&](json::Value variable) {
    if (variable["name"].string_or("") != name) return;
    ++seen;
    value = variable["value"].string_or("(from)");
  });
  CHECK(seen <= 1);
  return value;
}

std::string hash_with(const std::function<void(api::InferenceStack&, engines::PodInput&)>& change) {
  auto stack = test::decision_log(api::DeviceStrategy::Privileged);
  auto input = test::pod_input(stack, coder);
  change(stack, input);
  input.tier = &stack.spec.tiers[coder];
  return engines::render_pod(input).template_hash;
}

}  // namespace

TEST_CASE("a pod is gated, owned, never restarted, and tolerates a kubelet that stalls") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  auto rendered = render(test::pod_input(stack, coder));
  json::Value root = rendered.root(), spec = rendered.spec();
  CHECK(rendered.pod.name == "strix-coder");
  CHECK(root["metadata"]["name"].string_or("") == "strix-coder");
  CHECK(root["metadata"]["namespace"].string_or("") == "llm");
  CHECK(spec["schedulingGates"].at(0)["name"].string_or("") == names::scheduling_gate);
  CHECK(spec["readinessGates"].at(0)["conditionType"].string_or("") == names::readiness_gate);
  CHECK(spec["restartPolicy"].string_or("") == "Never");
  CHECK_FALSE(spec["nodeName"].exists());
  CHECK(spec["nodeSelector"]["kubernetes.io/hostname"].string_or("") == "strix-halo");
  json::Value owner = root["metadata"]["ownerReferences"].at(0);
  CHECK(owner["controller"].boolean_or(false));
  CHECK(owner["blockOwnerDeletion"].boolean_or(false));
  CHECK(owner["uid"].string_or("") == stack.metadata.uid);
  CHECK(spec["tolerations"].size() == 2);
  spec["tolerations"].for_each([](json::Value t) {
    CHECK(t["effect"].string_or("") == "NoExecute");
    CHECK(t["operator"].string_or("") == "Exists");
    CHECK_FALSE(t["tolerationSeconds"].exists());
  });
  CHECK(spec["containers"].size() == 1);
  CHECK_FALSE(rendered.container()["livenessProbe"].exists());
  CHECK_FALSE(rendered.container()["readinessProbe"].exists());
  json::Value annotations = root["metadata"]["annotations"];
  CHECK(annotations[names::annotation_template_hash].string_or("") == rendered.pod.template_hash);
  CHECK(planner::decode_claim(annotations[names::annotation_claim].string_or("")) ==
        test::pod_input(stack, coder).claim);
  CHECK_FALSE(root["metadata"]["labels"][names::label_admitted].exists());
}

TEST_CASE("devices reach GPU tiers only") {
  auto lent = test::decision_log(api::DeviceStrategy::ExtendedResource);
  auto gpu = render(test::pod_input(lent, coder));
  CHECK(gpu.container()["resources"]["limits"]["squat.ai/dri"].string_or("") == "1");
  CHECK(gpu.container()["resources"]["requests"]["squat.ai/dri"].string_or("") == "1");
  CHECK_FALSE(gpu.container()["securityContext"]["privileged"].exists());
  CHECK_FALSE(gpu.container()["securityContext"]["allowPrivilegeEscalation"].boolean_or(true));
  CHECK(gpu.spec()["securityContext"]["supplementalGroups"].size() == 2);

  auto mounted = test::decision_log(api::DeviceStrategy::Privileged);
  auto privileged = render(test::pod_input(mounted, coder));
  CHECK(privileged.container()["securityContext"]["privileged"].boolean_or(false));
  CHECK_FALSE(privileged.container()["securityContext"]["allowPrivilegeEscalation"].exists());
  CHECK(privileged.container()["resources"]["limits"].size() == 0);
  CHECK(privileged.spec()["volumes"].size() == 5);  // models, cache, shm and two devices

  for (const auto& stack : {lent, mounted}) {
    auto cpu = render(test::pod_input(stack, reviewer));
    json::Value security = cpu.container()["securityContext"];
    CHECK_FALSE(security["privileged"].exists());
    CHECK_FALSE(security["allowPrivilegeEscalation"].boolean_or(true));
    CHECK(security["capabilities"]["drop"].at(0).string_or("") == "ALL");
    CHECK(security["seccompProfile"]["type"].string_or("") == "RuntimeDefault");
    CHECK_FALSE(cpu.spec()["securityContext"]["supplementalGroups"].exists());
    CHECK(cpu.container()["resources"]["limits"].size() == 0);
    CHECK(cpu.container()["resources"]["requests"]["memory"].string_or("") == "50Gi");
    CHECK(cpu.spec()["volumes"].size() == 1);
  }
}

TEST_CASE("stores and caches may be claims, and a node without a hostname label is pinned by its name") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  stack.spec.nodes[0].model_store = {.host_path = {}, .persistent_volume_claim = "models"};
  stack.spec.nodes[0].selector = {{"role", "llm"}};
  stack.spec.vllm.cache = {};
  auto input = test::pod_input(stack, coder);
  input.kubernetes_hostname.clear();
  auto rendered = render(input);
  json::Value volumes = rendered.spec()["volumes"];
  CHECK(volumes.at(0)["persistentVolumeClaim"]["claimName"].string_or("") == "models");
  CHECK(volumes.at(0)["persistentVolumeClaim"]["readOnly"].boolean_or(false));
  CHECK(volumes.at(1)["emptyDir"].is_object());
  CHECK(rendered.container()["volumeMounts"].at(0)["readOnly"].boolean_or(false));
  CHECK(rendered.spec()["nodeSelector"].size() == 1);
  json::Value terms =
      rendered.spec()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  json::Value field = terms["nodeSelectorTerms"].at(0)["matchFields"].at(0);
  CHECK(field["key"].string_or("") == "metadata.name");
  CHECK(field["values"].at(0).string_or("") == "strix-halo");

  stack.spec.llamacpp.cache.persistent_volume_claim = "cache";
  auto cpu = render(test::pod_input(stack, utility));
  CHECK(cpu.spec()["volumes"].at(1)["persistentVolumeClaim"]["claimName"].string_or("") == "cache");
  CHECK(value_of(cpu.container()["env"], "LLAMA_CACHE") == "/cache/llama.cpp");
}

TEST_CASE("a tier's variables win over its engine's, and nobody's over the operator's") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  auto variable = [](const char* name, const char* value) {
    return api::EnvVar{.name = name, .value = value, .secret_name = {}, .secret_key = {}};
  };
  stack.spec.vllm.env = {variable("A", "engine"), variable("B", "engine"),
                         variable("VLLM_ROCM_USE_AITER", "1")};
  stack.spec.tiers[coder].env = {variable("B", "tier"), variable("HF_HUB_OFFLINE", "0"),
                                 variable("VLLM_API_KEY", "x")};
  stack.spec.tiers[coder].api_key_secret_name = "keys";
  stack.spec.tiers[coder].api_key_secret_key = "coder";
  auto rendered = render(test::pod_input(stack, coder));
  json::Value env = rendered.container()["env"];
  CHECK(value_of(env, "A") == "engine");
  CHECK(value_of(env, "B") == "tier");
  CHECK(value_of(env, "VLLM_ROCM_USE_AITER") == "1");
  CHECK(value_of(env, "HF_HUB_OFFLINE") == "1");
  CHECK(value_of(env, "VLLM_API_KEY") == "(from)");
  CHECK(value_of(env, "TRITON_CACHE_DIR") == "/cache/triton");
  CHECK(rendered.pod.body.find(R"("secretKeyRef":{"name":"keys","key":"coder"})") != std::string::npos);
  CHECK(rendered.pod.body.find("api-key") == std::string::npos);
}

TEST_CASE("what Strix Halo's images need is set for GPU tiers of a gfx1151 alone") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  CHECK(value_of(render(test::pod_input(stack, coder)).container()["env"], "VLLM_TARGET_DEVICE") == "rocm");
  stack.spec.nodes[0].profile.gfx_target = "gfx1100";
  CHECK(value_of(render(test::pod_input(stack, coder)).container()["env"], "VLLM_TARGET_DEVICE") == "(none)");
  stack.spec.nodes[0].profile.gfx_target = "gfx1151";
  stack.spec.tiers[coder].accelerator = api::Accelerator::None;
  stack.spec.tiers[coder].threads = 12;
  auto cpu = render(test::pod_input(stack, coder));
  CHECK(value_of(cpu.container()["env"], "VLLM_TARGET_DEVICE") == "(none)");
  CHECK(value_of(cpu.container()["env"], "OMP_NUM_THREADS") == "12");
}

TEST_CASE("ports, images and pull policy are as declared") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  auto plain = render(test::pod_input(stack, utility));
  CHECK(plain.container()["image"].string_or("") == "ghcr.io/ggml-org/llama.cpp:server");
  // What pulls is another pod, before.
  CHECK(plain.container()["imagePullPolicy"].string_or("") == "IfNotPresent");
  CHECK_FALSE(plain.container()["ports"].at(0)["hostPort"].exists());
  CHECK_FALSE(plain.container()["command"].exists());
  stack.spec.tiers[utility].image_pull_policy = "Always";
  CHECK(render(test::pod_input(stack, utility)).container()["imagePullPolicy"].string_or("") ==
        "IfNotPresent");
  stack.spec.tiers[utility].image = "localhost/llama:1";
  stack.spec.tiers[utility].image_pull_policy = "Never";
  stack.spec.tiers[utility].host_port = 18012;
  stack.spec.tiers[utility].limits = {.cpu = "8", .memory = "6Gi"};
  auto own = render(test::pod_input(stack, utility));
  CHECK_FALSE(own.container()["securityContext"]["capabilities"]["add"].exists());
  CHECK(own.container()["image"].string_or("") == "localhost/llama:1");
  CHECK(own.container()["imagePullPolicy"].string_or("") == "Never");
  CHECK(own.container()["ports"].at(0)["hostPort"].integer_or(0) == 18012);
  CHECK(own.container()["resources"]["limits"]["memory"].string_or("") == "6Gi");
  CHECK(own.container()["resources"]["requests"].size() == 0);  // never made equal by us
  stack.spec.tiers[utility].port = 80;
  auto low = render(test::pod_input(stack, utility));
  CHECK(low.container()["securityContext"]["capabilities"]["add"].at(0).string_or("") == "NET_BIND_SERVICE");
}

TEST_CASE("the template hash changes with what makes a new pod necessary, and with nothing else") {
  using Stack = api::InferenceStack;
  using Input = engines::PodInput;
  std::string base = hash_with([](Stack&, Input&) {});
  CHECK(base.size() == 16);
  CHECK(hash_with([](Stack&, Input& i) { i.leader = "another"; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.metadata.uid = "another"; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.metadata.resource_version = "9"; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.spec.tiers[coder].priority = 1; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.spec.tiers[coder].probe.path = "/up"; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.spec.tiers[coder].service.type = "NodePort"; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.spec.tiers[reviewer].port = 1; }) == base);
  CHECK(hash_with([](Stack& s, Input&) { s.spec.suspend = true; }) == base);
  // The ledger's entry is corrected on a pod that runs.
  CHECK(hash_with([](Stack&, Input& i) { i.claim.gpu_bytes += 1; }) == base);
  std::set<std::string> all{
      base,
      hash_with([](Stack&, Input& i) { i.kubernetes_node = "other"; }),
      hash_with([](Stack&, Input& i) { i.kubernetes_hostname = "other"; }),
      hash_with([](Stack&, Input& i) { i.effective->context_tokens += 1; }),
      hash_with([](Stack& s, Input&) { s.spec.tiers[coder].image = "x"; }),
      hash_with([](Stack& s, Input&) { s.spec.tiers[coder].extra_args = {"--x"}; }),
      hash_with([](Stack& s, Input&) {
        s.spec.vllm.env = {api::EnvVar{.name = "A", .value = "1", .secret_name = {}, .secret_key = {}}};
      }),
      hash_with([](Stack& s, Input&) { s.spec.nodes[0].devices->supplemental_groups = {44}; }),
      hash_with([](Stack& s, Input&) { s.spec.nodes[0].model_store.host_path = "/srv"; }),
      hash_with([](Stack& s, Input&) { s.spec.tiers[coder].limits.memory = "9Gi"; }),
  };
  CHECK(all.size() == 10);
}

TEST_CASE("a Service sends requests to ready pods of its tier alone") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  stack.spec.tiers[coder].service.type = "LoadBalancer";
  stack.spec.tiers[coder].service.annotations = {{"a/b", "c"},
                                                 {std::string(names::annotation_applied_hash), "forged"}};
  auto service = engines::render_service(stack, stack.spec.tiers[coder]);
  auto document = json::Document::parse(service.body);
  REQUIRE(document.ok());
  json::Value root = document->root();
  CHECK(service.name == "strix-coder");
  CHECK(root["metadata"]["annotations"][names::annotation_applied_hash].string_or("") == service.hash);
  CHECK(root["metadata"]["annotations"]["a/b"].string_or("") == "c");
  CHECK(root["spec"]["type"].string_or("") == "LoadBalancer");
  CHECK_FALSE(root["spec"]["publishNotReadyAddresses"].boolean_or(true));
  CHECK(root["spec"]["ports"].at(0)["port"].integer_or(0) == 8002);
  CHECK(root["spec"]["ports"].at(0)["targetPort"].string_or("") == "http");
  auto pod = render(test::pod_input(stack, coder));
  root["spec"]["selector"].for_each_member([&](std::string_view label, json::Value value) {
    CHECK(pod.root()["metadata"]["labels"][label].string_or("") == value.string_or("?"));
  });
  auto again = engines::render_service(stack, stack.spec.tiers[coder]);
  CHECK(again.body == service.body);
  stack.metadata.uid = "another";  // the Service's owner has to follow
  CHECK(engines::render_service(stack, stack.spec.tiers[coder]).hash != service.hash);
}

TEST_CASE("a Service's patch carries its uid, takes away what is not asked for any more and nothing else") {
  auto stack = test::decision_log(api::DeviceStrategy::Privileged);
  auto& tier = stack.spec.tiers[0];
  tier.service.annotations = {{"a/kept", "1"}};
  tier.port = 9009;
  api::Service existing;
  existing.metadata.uid = "u1";
  existing.metadata.annotations = {
      {"inference.strix.dev/applied-annotations", "a/gone,a/kept"}, {"a/gone", "0"}, {"somebody/else", "2"}};
  auto patch = json::Document::parse(engines::render_service_patch(stack, tier, existing));
  REQUIRE(patch);
  json::Value meta = patch->root()["metadata"];
  CHECK(meta["uid"].string_or("") == "u1");
  CHECK(meta["annotations"]["a/kept"].string_or("") == "1");
  CHECK(meta["annotations"]["a/gone"].is_null());
  CHECK_FALSE(meta["annotations"]["somebody/else"].exists());
  CHECK(patch->root()["spec"]["ports"].at(0)["port"].integer_or(0) == 9009);

  tier.service.annotations.clear();
  existing.metadata.annotations = {{"inference.strix.dev/applied-annotations", "a/kept"}, {"a/kept", "1"}};
  patch = json::Document::parse(engines::render_service_patch(stack, tier, existing));
  CHECK(patch->root()["metadata"]["annotations"]["a/kept"].is_null());
  CHECK(patch->root()["metadata"]["annotations"]["inference.strix.dev/applied-annotations"].is_null());
}
