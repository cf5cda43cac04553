#include "app/webhook.h"

#include "api/codec.h"
#include "base/bytes.h"
#include "base/yaml.h"
#include "catch.h"
#include "planner/combination.h"
#include "planner/learned.h"
#include "planner/spec_plan.h"

using namespace strix;

namespace {

const planner::CapabilityTable& table = planner::built_in_capabilities();

api::InferenceStack stack(const std::string& tiers) {
  auto documents = yaml::parse_all(R"(
apiVersion: inference.strix.dev/v1alpha1
kind: InferenceStack
metadata: {name: strix, namespace: llm}
spec:
  nodes:
  - name: halo
    selector: {kubernetes.io/hostname: box}
    profile: {unifiedMemory: 128Gi, gpuMemory: 124Gi}
    devices: {resourceName: squat.ai/dri}
    modelStore: {hostPath: {path: /models}}
  engines: {vllm: {image: example/vllm}, llamacpp: {image: example/llama}}
  tiers:
)" + tiers);
  REQUIRE(documents.ok());
  auto decoded = api::decode_stack(documents->front().root());
  REQUIRE(decoded.ok());
  api::Policy policy;
  policy.model_roots = {"/"};
  REQUIRE(api::validate(*decoded, policy).empty());
  return *decoded;
}

const std::string coder =
    "  - {name: coder, engine: vllm, model: {repository: Qwen/Qwen3-Coder-30B-A3B-Instruct}, port: 8002, "
    "contextLength: 32768, memory: {gpuFraction: 0.60}}\n";

}  // namespace

TEST_CASE("a stack that fits, or of which nothing is known, is admitted without a word") {
  CHECK(app::opinion_of_plan(stack(coder), table).warnings.empty());
  CHECK(app::opinion_of_plan(stack("  - {name: one, engine: llamacpp, model: {file: unknown.gguf}, port: 1, "
                                   "contextLength: 8192, accelerator: None}\n"),
                             table)
            .warnings.empty());
}

TEST_CASE("what is known not to work is an error in the planner's words") {
  CHECK(app::opinion_of_combinations(stack(coder), table).errors.empty());
  std::string crashing = coder;
  crashing.insert(crashing.find("port"), "quantization: fp8, ");
  api::InferenceStack refused = stack(crashing);
  serve::Opinion opinion = app::opinion_of_combinations(refused, table);
  auto said = planner::combination_errors(refused.spec, table);
  REQUIRE(said.size() == 1);
  REQUIRE(opinion.errors.size() == 1);
  CHECK(opinion.errors[0].text() == said[0].text());
}

TEST_CASE("tiers that are parked or cannot run are warned of in the plan's words, and are no error") {
  std::string second = coder;
  second.replace(second.find("coder,"), 5, "other").replace(second.find("8002"), 4, "8003");
  api::InferenceStack crowded = stack(coder + second);
  serve::Opinion opinion = app::opinion_of_plan(crowded, table);
  CHECK(opinion.errors.empty());
  REQUIRE(opinion.warnings.size() == 1);
  CHECK(opinion.warnings[0] == planner::plan_of_spec(crowded.spec).findings.at(0).message);
  CHECK(opinion.warnings[0].find("is parked") != std::string::npos);
  std::string small = coder;
  small.replace(small.find("0.60"), 4, "0.10");
  opinion = app::opinion_of_plan(stack(small), table);
  CHECK(opinion.errors.empty());
  REQUIRE(opinion.warnings.size() == 1);
  CHECK(opinion.warnings[0].find("coder") != std::string::npos);
}

TEST_CASE("the GPU memory that an engine has measured counts in what is warned of") {
  api::InferenceStack taught = stack(coder);
  taught.status.learned.push_back({.tier = "coder", .context = {}, .engine = {}, .gpu_memory = {}});
  api::LearnedGpuMemory& measured = taught.status.learned.back().gpu_memory.emplace();
  measured.total_bytes = 64 * gib;
  CHECK(app::opinion_of_plan(taught, table).warnings.empty());  // of other inputs than these
  measured.inputs = planner::gpu_inputs(taught.spec, taught.spec.tiers[0], taught.spec.nodes[0]);
  CHECK_FALSE(app::opinion_of_plan(taught, table).warnings.empty());
}

TEST_CASE("what works at a price is warned of") {
  std::string costly = coder;
  costly.insert(costly.find("memory: {") + 9, "kvCacheType: fp8, ");
  serve::Opinion opinion = app::opinion_of_plan(stack(costly), table);
  REQUIRE(opinion.warnings.size() == 1);
  CHECK(opinion.warnings[0].find(
            "coder: a KV cache of type fp8 can be used with vllm on gfx1151, at a price") == 0);
}
