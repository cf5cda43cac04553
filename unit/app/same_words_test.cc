// What is refused is refused in three places with the same words: by `validate`, by the admission path and by
// the reconciler. For every row of the built-in capability table that refuses something, from a manifest to
// the end.
#include <fmt/format.h>

#include <set>
#include <sstream>

#include "api/codec.h"
#include "app/webhook.h"
#include "base/yaml.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "models/catalogue.h"
#include "offline/commands.h"
#include "planner/table_case.h"

using namespace strix;
using planner::CapabilitySubject;
using planner::CapabilityVerdict;

namespace {

// A model of the catalogue whose architecture the row is about; empty: there is none.
std::string repository_for(const planner::Scope& where) {
  if (where.architectures.empty()) return "Qwen/Qwen2.5-7B-Instruct";
  for (const auto& row : models::built_in_catalogue().rows())
    for (const std::string& pattern : where.architectures)
      if (planner::matches(pattern, row.facts.architecture)) return row.repositories.front();
  return {};
}

// The tier of a table case as a person writes it. Declared facts keep any model small enough for the node.
std::string tier_text(const api::Tier& tier, const std::string& repository, const std::string& quantization) {
  bool vllm = tier.engine == api::Engine::Vllm;
  bool gpu = tier.effective_accelerator() == api::Accelerator::Gpu;
  std::string text = fmt::format(
      "  - name: tier\n    engine: {}\n    accelerator: {}\n    image: \"{}\"\n    model: {{{}: {}, facts: "
      "{{weightBytes: 1073741824}}}}\n    port: 8001\n    contextLength: 4096\n",
      api::to_string(tier.engine), gpu ? "GPU" : "None", tier.image, vllm ? "repository" : "file",
      vllm ? repository : "a.gguf");
  if (!quantization.empty()) text += "    quantization: " + quantization + "\n";
  if (!tier.kv_cache_type.empty()) text += "    memory: {kvCacheType: " + tier.kv_cache_type + "}\n";
  if (!tier.extra_args.empty()) text += "    extraArgs: [\"" + tier.extra_args[0] + "\"]\n";
  for (const api::EnvVar& variable : tier.env)
    text += fmt::format("    env: [{{name: {}, value: \"{}\"}}]\n", variable.name, variable.value);
  return text;
}

std::string manifest(const std::string& gfx_target, const std::string& tier) {
  return "apiVersion: inference.strix.dev/v1alpha1\n"
         "kind: InferenceStack\n"
         "metadata: {name: strix, namespace: llm}\n"
         "spec:\n"
         "  nodes:\n"
         "  - name: halo\n"
         "    selector: {kubernetes.io/hostname: strix-halo}\n"
         "    profile: {gfxTarget: " +
         gfx_target +
         ", unifiedMemory: 128Gi, gpuMemory: 124Gi}\n"
         "    devices: {resourceName: squat.ai/dri}\n"
         "    modelStore: {hostPath: {path: /var/lib/models}}\n"
         "  engines: {vllm: {image: example/vllm}, llamacpp: {image: example/llama}}\n"
         "  tiers:\n" +
         tier;
}

std::string validated(const std::string& text) {
  offline::Request request;
  request.files = {"-"};
  request.policy.model_roots = {"/var/lib/models"};
  std::istringstream in(text);
  std::ostringstream out, err;
  CHECK(offline::validate(request, {in, out, err}) == offline::exit_does_not);
  return err.str();
}

api::InferenceStack decoded(const std::string& text) {
  auto document = yaml::parse(text);
  REQUIRE(document.ok());
  auto stack = api::decode_stack(document->root());
  REQUIRE(stack.ok());
  return std::move(stack).value();
}

void check_words(const std::string& text, const std::string& reason) {
  std::string told = validated(text);
  CAPTURE(told);
  CHECK(told.find(reason) != std::string::npos);
  CHECK(std::count(told.begin(), told.end(), '\n') == 1);
  api::InferenceStack stack = decoded(text);
  auto admission = app::opinion_of_combinations(stack, planner::built_in_capabilities());
  REQUIRE(admission.errors.size() == 1);
  CHECK(told.find(": " + admission.errors[0].text() + "\n") != std::string::npos);
  fake::StackWorld world(1);
  world.stack.spec = stack.spec;
  auto decision = world.decide();
  CHECK(fake::actions_of<reconcile::CreatePod>(decision).empty());
  CHECK(fake::tier_in(decision.status, "tier").message == admission.errors[0].message);
}

}  // namespace

TEST_CASE("validate, the admission path and the reconciler refuse every combination in the same words") {
  int tried = 0;
  std::set<std::string> without_a_model;
  for (const planner::CapabilityRow& row : planner::built_in_capabilities().combinations()) {
    if (row.verdict != CapabilityVerdict::Refused && row.verdict != CapabilityVerdict::NeedsEager) continue;
    std::string repository = repository_for(row.where);
    if (repository.empty()) {
      without_a_model.insert(row.where.architectures.front());
      continue;
    }
    for (const std::string& name : row.names.empty() ? std::vector<std::string>{""} : row.names) {
      if (name.find('/') != std::string::npos) continue;  // only a model's files say the format
      test::TableCase made = test::case_for(row, name);
      bool weights = row.subject == CapabilitySubject::Weights;
      CAPTURE(row.reason, name);
      check_words(manifest(made.spec.nodes[0].profile.gfx_target,
                           tier_text(made.tier(), repository, weights ? test::sample(name) : "")),
                  row.reason);
      ++tried;
    }
  }
  CHECK(tried > 20);
  CHECK(without_a_model == std::set<std::string>{"DeepseekV4*"});
}

TEST_CASE("what nobody has verified is refused in the same words, too") {
  api::Tier tier = test::vllm_tier("tier", "a/b", 4096, 0);
  tier.image = "example/vllm:1";
  check_words(manifest("gfx1151", tier_text(tier, "Qwen/Qwen2.5-7B-Instruct", "hqq")), "nobody has verified");
  tier.kv_cache_type = "nvfp4";
  check_words(manifest("gfx1151", tier_text(tier, "a/b", "")), "nobody has verified");
}
