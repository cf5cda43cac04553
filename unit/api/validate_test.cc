#include "api/validate.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "base/bytes.h"
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

struct Case {
  const char* name;
  std::function<void(InferenceStack&)> change;
  const char* path;     // of the one error; empty: valid
  const char* message;  // part of it
};

api::Tier& coder(InferenceStack& stack) {
  return stack.spec.tiers[0];
}
api::Tier& utility(InferenceStack& stack) {
  return stack.spec.tiers[1];
}
api::StackNode& halo(InferenceStack& stack) {
  return stack.spec.nodes[0];
}

void check(const std::vector<Case>& cases, const Policy& policy) {
  for (const auto& item : cases) {
    InferenceStack stack = test::minimal();
    item.change(stack);
    auto errors = api::validate(stack, policy);
    std::string told;
    for (const auto& error : errors) told += error.text() + "\n";
    CAPTURE(std::string(item.name), told);
    if (*item.path == '\0') {
      CHECK(errors.empty());
      continue;
    }
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].path == item.path);
    CHECK(errors[0].message.find(item.message) != std::string::npos);
  }
}

void add_node(InferenceStack& stack, const char* name) {
  stack.spec.nodes.push_back(stack.spec.nodes[0]);
  stack.spec.nodes.back().name = name;
  for (auto& tier : stack.spec.tiers) tier.node = "halo";
}

// reviewer and three more llamacpp tiers, each with its own port.
void add_tier(InferenceStack& stack, const char* name, std::vector<std::string> start_after) {
  stack.spec.tiers.push_back(utility(stack));
  stack.spec.tiers.back().name = name;
  stack.spec.tiers.back().port = 9000 + static_cast<int>(stack.spec.tiers.size());
  stack.spec.tiers.back().start_after = std::move(start_after);
}

}  // namespace

TEST_CASE("specs at the edge of what is allowed are valid") {
  check(
      {
          {"as it is", [](auto&) {}, "", ""},
          {"a tier that is off", [](auto& s) { coder(s).activation = api::Activation::Off; }, "", ""},
          {"two nodes, each tier naming its own",
           [](auto& s) {
             add_node(s, "halo2");
             utility(s).node = "halo2";
           },
           "", ""},
          {"one hostPort on two nodes",
           [](auto& s) {
             add_node(s, "halo2");
             utility(s).node = "halo2";
             coder(s).host_port = utility(s).host_port = 30001;
           },
           "", ""},
          {"a CPU tier on a node without devices",
           [](auto& s) {
             s.spec.tiers.erase(s.spec.tiers.begin());
             halo(s).devices.reset();
           },
           "", ""},
          {"vllm on the CPU with a fraction", [](auto& s) { coder(s).accelerator = api::Accelerator::None; },
           "", ""},
          {"vllm on the CPU without a fraction",
           [](auto& s) {
             coder(s).accelerator = api::Accelerator::None;
             coder(s).gpu_fraction_milli.reset();
           },
           "", ""},
          {"llamacpp on the GPU",
           [](auto& s) {
             utility(s).accelerator = api::Accelerator::Gpu;
             utility(s).gpu_fraction_milli = 100;
           },
           "", ""},
          {"fractions over the sum, which the ledger holds back",
           [](auto& s) { coder(s).gpu_fraction_milli = 1000; }, "", ""},
          {"all of it reserved but a byte",
           [](auto& s) { halo(s).profile.system_reserve_bytes = halo(s).profile.unified_memory_bytes - 1; },
           "", ""},
          {"gpuMemory as large as unifiedMemory",
           [](auto& s) { halo(s).profile.gpu_memory_bytes = 128 * gib; }, "", ""},
          {"the longest names",
           [](auto& s) {
             s.metadata.name = std::string(32, 's');
             coder(s).name = std::string(30, 'c');
           },
           "", ""},
          {"context as far as rope scaling reaches",
           [](auto& s) {
             coder(s).model.rope_scaling = api::RopeScaling{"yarn", 4000, 32768};
             coder(s).context_length_tokens = 131072;
           },
           "", ""},
          {"a file in a folder",
           [](auto& s) { utility(s).model.file = "Qwen/2.5_3B/model-00001-of-00002.gguf"; }, "", ""},
          {"a limit equal to the request, in other units",
           [](auto& s) {
             utility(s).requests = {"2", "1024Mi"};
             utility(s).limits = {"2000m", "1Gi"};
           },
           "", ""},
          {"an argument that is not ASCII",
           [](auto& s) { coder(s).extra_args = {"--alias=gr\xc3\xbc\xc3\x9f"}; }, "", ""},
          {"an empty variable",
           [](auto& s) {
             coder(s).env = {{"EMPTY", "", "", ""}};
           },
           "", ""},
          {"an image by digest",
           [](auto& s) { coder(s).image = "ghcr.io/a/b@sha256:" + std::string(64, 'a'); }, "", ""},
          {"a probe at the root", [](auto& s) { coder(s).probe.path = "/"; }, "", ""},
          {"a diamond of startAfter",
           [](auto& s) {
             add_tier(s, "a", {"coder"});
             add_tier(s, "b", {"coder"});
             add_tier(s, "c", {"a", "b"});
           },
           "", ""},
      },
      open_policy());
}

TEST_CASE("rules of nodes and names") {
  check(
      {
          {"stack name with a dot", [](auto& s) { s.metadata.name = "a.b"; }, "metadata.name", "no dots"},
          {"stack name that ends in a hyphen", [](auto& s) { s.metadata.name = "a-"; }, "metadata.name",
           "'a-'"},
          {"no nodes", [](auto& s) { s.spec.nodes.clear(); }, "spec.nodes", "at least one machine"},
          {"no tiers", [](auto& s) { s.spec.tiers.clear(); }, "spec.tiers", "at least one tier"},
          {"two nodes of one name", [](auto& s) { add_node(s, "halo"); }, "spec.nodes",
           "two entries have the name 'halo'"},
          {"two tiers of one name", [](auto& s) { utility(s).name = "coder"; }, "spec.tiers",
           "two tiers have the name 'coder'"},
          {"node name with a space", [](auto& s) { halo(s).name = "ha lo"; }, "spec.nodes[0].name",
           "'ha lo'"},
          {"selector without labels", [](auto& s) { halo(s).selector.clear(); }, "spec.nodes[halo].selector",
           "1 to 8"},
          {"selector that no node can have",
           [](auto& s) {
             halo(s).selector = {{"a/b/c", "x"}};
           },
           "spec.nodes[halo].selector", "'a/b/c'"},
          {"selector with a value that no node can have",
           [](auto& s) {
             halo(s).selector = {{"a", "x y"}};
           },
           "spec.nodes[halo].selector", "'x y'"},
          {"no unified memory", [](auto& s) { halo(s).profile.unified_memory_bytes = 0; },
           "spec.nodes[halo].profile.unifiedMemory", "128Gi"},
          {"more GPU memory than memory", [](auto& s) { halo(s).profile.gpu_memory_bytes = 129 * gib; },
           "spec.nodes[halo].profile.gpuMemory", "129.0Gi is more than unifiedMemory 128.0Gi"},
          {"all memory reserved", [](auto& s) { halo(s).profile.system_reserve_bytes = 128 * gib; },
           "spec.nodes[halo].profile.systemReserve", "leaves nothing"},
          {"relative device path", [](auto& s) { halo(s).devices->paths = {"dev/kfd"}; },
           "spec.nodes[halo].devices.paths", "'dev/kfd'"},
          {"group named twice",
           [](auto& s) {
             halo(s).devices->supplemental_groups = {44, 44};
           },
           "spec.nodes[halo].devices.supplementalGroups", "twice"},
          {"resource without a domain", [](auto& s) { halo(s).devices->resource_name = "gpu"; },
           "spec.nodes[halo].devices.resourceName", "'gpu'"},
          {"store of no kind", [](auto& s) { halo(s).model_store = {}; }, "spec.nodes[halo].modelStore",
           "exactly one"},
          {"store of both kinds", [](auto& s) { halo(s).model_store.persistent_volume_claim = "c"; },
           "spec.nodes[halo].modelStore", "exactly one"},
          {"claim that is no name",
           [](auto& s) {
             halo(s).model_store = {"", "My Claim"};
           },
           "spec.nodes[halo].modelStore.persistentVolumeClaim.claimName", "'My Claim'"},
          {"engine image that is none", [](auto& s) { s.spec.vllm.image = "a b"; }, "spec.engines.vllm.image",
           "'a b'"},
          {"engine image that is empty", [](auto& s) { s.spec.vllm.image = ""; }, "spec.engines.vllm.image",
           "''"},
      },
      open_policy());
}

TEST_CASE("what the plan is made from is checked") {
  check(
      {
          {"GPU without a fraction, which is derived", [](auto& s) { coder(s).gpu_fraction_milli.reset(); },
           "", ""},
          {"a cache instead of a fraction",
           [](auto& s) {
             coder(s).gpu_fraction_milli.reset();
             coder(s).kv_cache_bytes = 12 * gib;
           },
           "", ""},
          {"fraction and cache", [](auto& s) { coder(s).kv_cache_bytes = 12 * gib; },
           "spec.tiers[coder].memory", "at most one"},
          {"a cache of nothing",
           [](auto& s) {
             coder(s).gpu_fraction_milli.reset();
             coder(s).kv_cache_bytes = 0;
           },
           "spec.tiers[coder].memory.kvCache", "more than 0"},
          {"context auto",
           [](auto& s) {
             coder(s).context_length_tokens = 0;
             coder(s).context_length_auto = true;
           },
           "", ""},
          {"facts of a model",
           [](auto& s) { coder(s).model.facts = api::DeclaredFacts{48, 8, 128, 24, 1024, 1, 32768}; }, "",
           ""},
          {"only its weights", [](auto& s) { coder(s).model.facts.emplace().weight_bytes = 29540067328; }, "",
           ""},
          {"layers without heads", [](auto& s) { coder(s).model.facts.emplace().layers = 48; },
           "spec.tiers[coder].model.facts", "belong together"},
          {"more sliding layers than layers",
           [](auto& s) { coder(s).model.facts = api::DeclaredFacts{48, 8, 128, 49, 1024, {}, {}}; },
           "spec.tiers[coder].model.facts", "a part of layers"},
          {"a window without layers",
           [](auto& s) { coder(s).model.facts.emplace().sliding_window_tokens = 1024; },
           "spec.tiers[coder].model.facts", "belong together"},
          {"speculation by its own layers",
           [](auto& s) { coder(s).speculative = {.model = {}, .tokens = 2}; }, "", ""},
          {"speculation by a small model",
           [](auto& s) { coder(s).speculative = {.model = "Qwen/Qwen3-0.6B", .tokens = 4}; }, "", ""},
          {"speculation by nothing", [](auto& s) { coder(s).speculative = {.model = {}, .tokens = 0}; },
           "spec.tiers[coder].speculative.tokens", "1 to 16"},
          {"a GGUF that guesses for vllm",
           [](auto& s) { coder(s).speculative = {.model = "small.gguf", .tokens = 4}; },
           "spec.tiers[coder].speculative.model", "name a repository"},
          {"a draft that climbs",
           [](auto& s) { utility(s).speculative = {.model = "../small.gguf", .tokens = 4}; },
           "spec.tiers[utility].speculative.model", "below the model store"},
      },
      open_policy());
}

TEST_CASE("rules of tiers") {
  check(
      {
          {"name with a hyphen", [](auto& s) { coder(s).name = "co-der"; }, "spec.tiers[0].name",
           "no hyphen"},
          {"name that makes the pod's too long",
           [](auto& s) {
             s.metadata.name = std::string(58, 's');
             utility(s).name = "a";
           },
           "spec.tiers[coder].name", "has 64 characters"},
          {"unknown node", [](auto& s) { coder(s).node = "haloo"; }, "spec.tiers[coder].node",
           "name one of 'halo'"},
          {"node left out of two",
           [](auto& s) {
             add_node(s, "halo2");
             coder(s).node = "";
           },
           "spec.tiers[coder].node", "name one of 'halo', 'halo2'"},
          {"no model", [](auto& s) { coder(s).model = {}; }, "spec.tiers[coder].model", "exactly one"},
          {"GGUF for vllm",
           [](auto& s) {
             coder(s).model = {"", "a.gguf", {}, {}};
           },
           "spec.tiers[coder].model.repository", "or use llamacpp"},
          {"repository for llamacpp",
           [](auto& s) {
             utility(s).model = {"a/b", "", {}, {}};
           },
           "spec.tiers[utility].model.file", "or use vllm"},
          {"hidden repository", [](auto& s) { coder(s).model.repository = ".ssh/id"; },
           "spec.tiers[coder].model.repository", "'.ssh/id'"},
          {"file that is only an ending", [](auto& s) { utility(s).model.file = ".gguf"; },
           "spec.tiers[utility].model.file", "'.gguf'"},
          {"file with an empty folder", [](auto& s) { utility(s).model.file = "a//b.gguf"; },
           "spec.tiers[utility].model.file", "'a//b.gguf'"},
          {"context over rope scaling",
           [](auto& s) {
             coder(s).model.rope_scaling = api::RopeScaling{"yarn", 1500, 32768};
             coder(s).context_length_tokens = 49153;
           },
           "spec.tiers[coder].contextLength", "32768 x 1.50 = 49152"},
          {"llamacpp on the CPU with a fraction", [](auto& s) { utility(s).gpu_fraction_milli = 100; },
           "spec.tiers[utility].memory.gpuFraction", "has no meaning"},
          {"GPU on a node without devices", [](auto& s) { halo(s).devices.reset(); },
           "spec.nodes[halo].devices", "tier 'coder' uses the GPU"},
          {"one port for two", [](auto& s) { utility(s).port = 8002; }, "spec.tiers[utility].port",
           "port of tier 'coder'"},
          {"one host port for two", [](auto& s) { coder(s).host_port = utility(s).host_port = 30001; },
           "spec.tiers[utility].hostPort", "on the same node"},
          {"toolCallParser for llamacpp", [](auto& s) { utility(s).tool_call_parser = "hermes"; },
           "spec.tiers[utility].toolCallParser", "for engine vllm"},
          {"enforceEager for llamacpp", [](auto& s) { utility(s).enforce_eager = true; },
           "spec.tiers[utility].enforceEager", "for engine vllm"},
          {"after an unknown tier", [](auto& s) { utility(s).start_after = {"coda"}; },
           "spec.tiers[utility].startAfter", "'coda' is not a tier"},
          {"after itself", [](auto& s) { utility(s).start_after = {"utility"}; },
           "spec.tiers[utility].startAfter", "the tier itself"},
          {"after one tier twice",
           [](auto& s) {
             utility(s).start_after = {"coder", "coder"};
           },
           "spec.tiers[utility].startAfter", "twice"},
          {"argument with a newline", [](auto& s) { coder(s).extra_args = {"a\nb"}; },
           "spec.tiers[coder].extraArgs", "'a?b'"},
          {"argument that is empty", [](auto& s) { coder(s).extra_args = {""}; },
           "spec.tiers[coder].extraArgs", "''"},
          {"variable twice",
           [](auto& s) {
             coder(s).env = {{"A", "1", "", ""}, {"A", "2", "", ""}};
           },
           "spec.tiers[coder].env", "'A' twice"},
          {"variable that begins with a digit",
           [](auto& s) {
             coder(s).env = {{"1A", "1", "", ""}};
           },
           "spec.tiers[coder].env", "'1A'"},
          {"variable with a NUL",
           [](auto& s) {
             coder(s).env = {{"A", std::string("a\0b", 3), "", ""}};
           },
           "spec.tiers[coder].env[A].value", "NUL"},
          {"secret key that is none",
           [](auto& s) {
             coder(s).api_key_secret_name = "a";
             coder(s).api_key_secret_key = "a/b";
           },
           "spec.tiers[coder].apiKeySecretRef.key", "'a/b'"},
          {"request that is no quantity", [](auto& s) { utility(s).requests.memory = "lots"; },
           "spec.tiers[utility].resources.requests.memory", "'lots'"},
          {"limit below the request",
           [](auto& s) {
             utility(s).requests.cpu = "2";
             utility(s).limits.cpu = "1999m";
           },
           "spec.tiers[utility].resources.limits.cpu", "less than the request"},
          {"annotation of ours",
           [](auto& s) {
             coder(s).service.annotations = {{"inference.strix.dev/x", ""}};
           },
           "spec.tiers[coder].service.annotations", "belongs to the operator"},
          {"probe path with a query", [](auto& s) { coder(s).probe.path = "/health?x=1"; },
           "spec.tiers[coder].probe.path", "health?x=1"},
      },
      open_policy());
}

TEST_CASE("a circle of startAfter is told by its own tiers, not by those that wait for it") {
  auto circle = [](std::function<void(InferenceStack&)> change) {
    InferenceStack stack = test::minimal();
    change(stack);
    auto errors = api::validate(stack, open_policy());
    return errors.size() == 1 ? errors[0].text() : std::to_string(errors.size()) + " errors";
  };
  CHECK(circle([](auto& s) {
          coder(s).start_after = {"utility"};
          utility(s).start_after = {"coder"};
        }) ==
        "spec.tiers: startAfter goes in a circle (coder after utility after coder); remove one of these "
        "entries");
  CHECK(circle([](auto& s) {
          coder(s).start_after = {"utility"};  // waits for the circle, and is not in it
          add_tier(s, "a", {"b"});
          add_tier(s, "b", {"a"});
          utility(s).start_after = {"a"};
        }) == "spec.tiers: startAfter goes in a circle (a after b after a); remove one of these entries");
}

TEST_CASE("wrong shapes come alone") {
  auto stack = test::decode_yaml("{metadata: {name: A}, spec: {tiers: [{name: a, engine: vllm, port: x}]}}");
  auto errors = api::validate(*stack, open_policy());
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].path == "spec.tiers[0].port");
  CHECK(errors[0].message == "must be a whole number within 64 bits");
}

TEST_CASE("errors are bounded") {
  InferenceStack stack = test::minimal();
  for (int i = 0; i < 100; ++i) add_tier(stack, "Bad Name", {});
  CHECK(api::validate(stack, open_policy()).size() == 32);
}

TEST_CASE("the sample is valid, and leaves the fractions to the planner") {
  auto stack = test::decode_yaml(test::read_source("manifests/samples/four-tiers.yaml"));
  REQUIRE(stack.ok());
  Policy policy;
  policy.model_roots = {"/var/lib/models", "/var/cache/vllm"};
  for (const auto& error : api::validate(*stack, policy)) {
    CAPTURE(error.text());
    CHECK(false);
  }
  REQUIRE(stack->spec.tiers.size() == 4);
  CHECK_FALSE(stack->spec.tiers[0].gpu_fraction_milli);
  CHECK_FALSE(stack->spec.tiers[1].gpu_fraction_milli);
}
