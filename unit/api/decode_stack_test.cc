#include "base/bytes.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;

namespace {

const char* const full_stack = R"(
apiVersion: inference.strix.dev/v1alpha1
kind: InferenceStack
metadata: {name: strix, namespace: llm}
spec:
  suspend: true
  nodes:
  - name: halo
    selector: {kubernetes.io/hostname: strix-halo}
    profile:
      {gfxTarget: gfx1150, unifiedMemory: 96Gi, gpuMemory: 90Gi, systemReserve: 1536Mi, maxGpuFraction: 0.9}
    devices:
      {strategy: Privileged, resourceName: squat.ai/dri, paths: [/dev/kfd, /dev/dri],
       supplementalGroups: [44, 991]}
    modelStore: {persistentVolumeClaim: {claimName: models}}
  engines:
    vllm: {image: example.com/vllm:1, env: [{name: A, value: b}], cache: {hostPath: {path: /var/cache/vllm}}}
    llamacpp: {image: example.com/llama:1, cache: {persistentVolumeClaim: {claimName: cache}}}
  tiers:
  - name: coder
    node: halo
    engine: llamacpp
    accelerator: GPU
    image: example.com/llama:vulkan
    imagePullPolicy: IfNotPresent
    model:
      file: a/b.gguf
      ropeScaling: {type: linear, factor: 2.5, originalContextLength: 32768, theta: 500000}
      facts: {layers: 48, kvHeads: 8, headDim: 128, slidingLayers: 24, slidingWindow: 1024,
              weightBytes: 29540067328, contextLength: 32768}
    port: 8002
    hostPort: 30002
    contextLength: 49152
    memory: {gpuFraction: 0.29, kvCacheType: q8_0}
    maxSequences: 2
    prefixCaching: false
    reasoningParser: qwen3
    chatTemplate: chatml
    servedModelName: big
    threads: 16
    startAfter: [other]
    activation: "Off"
    priority: 10
    extraArgs: [--seed, "7"]
    env: [{name: KEY, valueFrom: {secretKeyRef: {name: keys, key: k}}}]
    apiKeySecretRef: {name: api, key: token}
    resources: {requests: {cpu: 4, memory: 2Gi}, limits: {cpu: 500m, memory: "8Gi"}}
    probe: {path: /ready, startupDeadlineSeconds: 60}
    restart: {backoffSeconds: 1, maxBackoffSeconds: 30}
    drainTimeoutSeconds: 0
    service: {type: NodePort, annotations: {a: b}}
  - name: other
    engine: vllm
    model: {repository: a/b}
    port: 8003
    contextLength: auto
    memory: {kvCache: 12Gi}
    toolCallParser: hermes
    quantization: awq
    enforceEager: true
    speculative: {model: Qwen/Qwen3-0.6B, tokens: 4}
    acceptUnverified: true
  memoryPolicy: {whenShort: Refuse}
)";

}  // namespace

TEST_CASE("every field of the spec is read: nodes and engines") {
  auto stack = test::decode_yaml(full_stack);
  REQUIRE(stack.ok());
  CHECK(stack->decode_errors.empty());
  const api::StackSpec& spec = stack->spec;
  CHECK(spec.suspend);
  REQUIRE(spec.nodes.size() == 1);
  const api::StackNode& node = spec.nodes[0];
  CHECK(node.name == "halo");
  CHECK(node.selector.at("kubernetes.io/hostname") == "strix-halo");
  CHECK(node.profile == api::NodeProfile{"gfx1150", 96 * gib, 90 * gib, 1536 * mib, 900});
  REQUIRE(node.devices);
  CHECK(node.devices->strategy == api::DeviceStrategy::Privileged);
  CHECK(node.devices->resource_name == "squat.ai/dri");
  CHECK(node.devices->paths == std::vector<std::string>{"/dev/kfd", "/dev/dri"});
  CHECK(node.devices->supplemental_groups == std::vector<int64_t>{44, 991});
  CHECK(node.model_store.persistent_volume_claim == "models");
  CHECK(spec.vllm.image == "example.com/vllm:1");
  REQUIRE(spec.vllm.env.size() == 1);
  CHECK(spec.vllm.env[0].value == "b");
  CHECK(spec.vllm.cache.host_path == "/var/cache/vllm");
  CHECK(spec.llamacpp.image == "example.com/llama:1");
  CHECK(spec.llamacpp.cache.persistent_volume_claim == "cache");
}

TEST_CASE("every field of the spec is read: what the plan is made from") {
  auto stack = test::decode_yaml(full_stack);
  REQUIRE(stack->spec.tiers.size() == 2);
  CHECK(stack->spec.when_short == api::WhenShort::Refuse);
  const api::Tier& fixed = stack->spec.tiers[0];
  CHECK_FALSE(fixed.context_length_auto);
  CHECK_FALSE(fixed.kv_cache_bytes);
  CHECK_FALSE(fixed.speculative);
  CHECK_FALSE(fixed.accept_unverified);
  const api::Tier& open = stack->spec.tiers[1];
  CHECK(open.context_length_auto);
  CHECK(open.context_length_tokens == 0);
  CHECK(open.kv_cache_bytes == 12 * gib);
  REQUIRE(open.speculative);
  CHECK(open.speculative->model == "Qwen/Qwen3-0.6B");
  CHECK(open.speculative->tokens == 4);
  CHECK(open.accept_unverified);
  CHECK(fixed.model.facts == api::DeclaredFacts{48, 8, 128, 24, 1024, 29540067328, 32768});
}

TEST_CASE("every field of the spec is read: tiers") {
  auto stack = test::decode_yaml(full_stack);
  REQUIRE(stack->spec.tiers.size() == 2);
  const api::Tier& tier = stack->spec.tiers[0];
  CHECK(tier.node == "halo");
  CHECK(tier.engine == api::Engine::LlamaCpp);
  CHECK(tier.effective_accelerator() == api::Accelerator::Gpu);
  CHECK(tier.image == "example.com/llama:vulkan");
  CHECK(tier.image_pull_policy == "IfNotPresent");
  CHECK(tier.model.file == "a/b.gguf");
  REQUIRE(tier.model.rope_scaling);
  CHECK(tier.model.rope_scaling->type == "linear");
  CHECK(tier.model.rope_scaling->factor_milli == 2500);
  CHECK(tier.model.rope_scaling->original_context_length == 32768);
  CHECK(tier.model.rope_scaling->theta == 500000);
  CHECK(tier.port == 8002);
  CHECK(tier.host_port == 30002);
  CHECK(tier.context_length_tokens == 49152);
  CHECK(tier.gpu_fraction_milli == 290);
  CHECK(tier.kv_cache_type == "q8_0");
  CHECK(tier.max_sequences == 2);
  CHECK(tier.prefix_caching == false);
  CHECK(tier.reasoning_parser == "qwen3");
  CHECK(tier.chat_template == "chatml");
  CHECK(tier.served_model_name == "big");
  CHECK(tier.threads == 16);
  CHECK(tier.start_after == std::vector<std::string>{"other"});
  CHECK(tier.activation == api::Activation::Off);
  CHECK(tier.priority == 10);
  CHECK(tier.extra_args == std::vector<std::string>{"--seed", "7"});
  REQUIRE(tier.env.size() == 1);
  CHECK(tier.env[0].secret_name + "/" + tier.env[0].secret_key == "keys/k");
  CHECK(tier.api_key_secret_name + "/" + tier.api_key_secret_key == "api/token");
  CHECK(tier.requests.cpu + " " + tier.requests.memory + " " + tier.limits.cpu + " " + tier.limits.memory ==
        "4 2Gi 500m 8Gi");
  CHECK(tier.probe.path == "/ready");
  CHECK(tier.probe.startup_deadline_seconds == 60);
  CHECK(tier.restart.backoff_seconds == 1);
  CHECK(tier.restart.max_backoff_seconds == 30);
  CHECK(tier.drain_timeout_seconds == 0);
  CHECK(tier.service.type == "NodePort");
  CHECK(tier.service.annotations.at("a") == "b");
  const api::Tier& other = stack->spec.tiers[1];
  CHECK(other.model.repository == "a/b");
  CHECK(other.tool_call_parser == "hermes");
  CHECK(other.quantization == "awq");
  CHECK(other.enforce_eager);
}

TEST_CASE("unknown members are ignored, and null is as if it were not there") {
  auto stack = test::decode_yaml(R"(
metadata: {name: strix}
spec:
  {later: {a: 1}, suspend: null, nodes: null,
   tiers: [{name: a, engine: vllm, node: ~, memory: null, new: [1]}]})");
  REQUIRE(stack.ok());
  CHECK(stack->decode_errors.empty());
  CHECK_FALSE(stack->spec.suspend);
  CHECK(stack->spec.tiers[0].node.empty());
}

TEST_CASE("wrong shapes are told by path, and what is right is read all the same") {
  auto stack = test::decode_yaml(R"(
metadata: {name: strix}
spec:
  suspend: perhaps
  nodes: {halo: {}}
  tiers:
  - 7
  - {name: 8, engine: ollama, port: eight, contextLength: 4096.5, memory: {gpuFraction: much},
     threads: 99999999999}
  - {name: good, engine: llamacpp, port: 8003}
)");
  REQUIRE(stack.ok());
  CHECK(stack->decode_errors == std::vector<std::string>{
                                    "spec.suspend: must be true or false",
                                    "spec.nodes: must be a list",
                                    "spec.tiers[0]: must be an object",
                                    "spec.tiers[0].engine: is required; write vllm or llamacpp",
                                    "spec.tiers[1].name: must be a string; put it in quotes",
                                    "spec.tiers[1].engine: 'ollama' is not known; write vllm or llamacpp",
                                    "spec.tiers[1].contextLength: must be a whole number within 64 bits",
                                    "spec.tiers[1].memory.gpuFraction: must be a number such as 0.35",
                                    "spec.tiers[1].threads: 99999999999 is out of range",
                                    "spec.tiers[1].threads: must be 1 to 1024",
                                    "spec.tiers[1].port: must be a whole number within 64 bits",
                                });
  REQUIRE(stack->spec.tiers.size() == 3);
  CHECK(stack->spec.tiers[2].name == "good");
  CHECK(stack->spec.tiers[2].port == 8003);
}

TEST_CASE("a spec that is missing or no object is told") {
  CHECK(test::decode_yaml("metadata: {name: a}")->decode_errors ==
        std::vector<std::string>{"spec: is required"});
  CHECK(test::decode_yaml("{metadata: {name: a}, spec: [1]}")->decode_errors ==
        std::vector<std::string>{"spec: must be an object"});
}

TEST_CASE("lists without an end are read to a bound") {
  std::string yaml = "metadata: {name: a}\nspec:\n  tiers:\n";
  for (int i = 0; i < 5000; ++i) yaml += "  - {name: a, engine: 7}\n";
  auto stack = test::decode_yaml(yaml);
  CHECK(stack->spec.tiers.size() == 256);
  CHECK(stack->decode_errors.size() == 32);
}

TEST_CASE("fractions are whole thousandths") {
  auto fraction = [](const std::string& written) {
    auto stack = test::decode_yaml(
        "{metadata: {name: a}, spec: {tiers: [{engine: vllm, memory: {gpuFraction: " + written + "}}]}}");
    return stack->spec.tiers[0].gpu_fraction_milli;
  };
  CHECK(fraction("0.29") == 290);
  CHECK(fraction("0.35") == 350);
  CHECK(fraction("0.9999") == 1000);
  CHECK(fraction("1") == 1000);
  CHECK_FALSE(fraction("1e300").has_value());
  CHECK_FALSE(fraction("\"0.35\"").has_value());
}
