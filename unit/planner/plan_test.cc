#include "planner/plan.h"

#include <algorithm>

#include "base/bytes.h"
#include "cases.h"
#include "catch.h"

using namespace strix;
using namespace strix::planner;

namespace {

PlanInput one(api::Tier tier, std::optional<models::ModelFacts> facts) {
  PlanInput input;
  input.spec.nodes = {test::halo(test::kernel_bytes, 124 * gib)};
  input.spec.tiers = {tier};
  input.models[tier.name].facts = std::move(facts);
  return input;
}

api::Tier orchestrator(int64_t context, int fraction_milli) {
  return test::vllm_tier("orchestrator", "Qwen/Qwen2.5-14B-Instruct", context, fraction_milli);
}

// A block of 16 tokens that vLLM keeps empty.
constexpr int64_t spare = 16 * 196608;

const models::ModelFacts qwen14 = test::known("Qwen2.5-14B-Instruct");

// The one finding; that nobody says how the weights are quantised is looked at where it matters.
const Finding& only(const Plan& plan) {
  const Finding* one = nullptr;
  for (const Finding& finding : plan.findings) {
    if (finding.code == FindingCode::QuantizationUnknown) continue;
    CHECK(one == nullptr);
    one = &finding;
  }
  REQUIRE(one != nullptr);
  return *one;
}

// Without what the capability table has for the engine.
Effective numbers(Effective effective) {
  effective.environment.clear();
  effective.arguments.clear();
  return effective;
}

bool says(const Finding& finding, const std::string& text) {
  return finding.message.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("a fraction that is too small is told with both ways out, and both work") {
  api::Tier tier = orchestrator(65536, 350);
  tier.model.rope_scaling = test::yarn(4, 32768);
  Plan short_plan = plan(one(tier, qwen14));
  CHECK(only(short_plan).code == FindingCode::FractionTooSmall);
  CHECK(only(short_plan).message ==
        "orchestrator needs 45.5 GiB (weights 27.5 + engine 6.0 + KV 12.0 at 65536 tokens), but gpuFraction "
        "0.35 of 124.0 GiB is 43.4: 2.1 GiB short. It fits with gpuFraction 0.37, or with contextLength "
        "53248.");
  CHECK(short_plan.tiers[0].state == TierState::Error);
  CHECK_FALSE(short_plan.fits);
  tier.gpu_fraction_milli = 370;
  CHECK(plan(one(tier, qwen14)).fits);
  tier.gpu_fraction_milli = 350;
  tier.context_length_tokens = 53248;
  CHECK(plan(one(tier, qwen14)).fits);
}

TEST_CASE("nothing given: the smallest fraction, and the cache pinned to one request") {
  api::Tier tier = orchestrator(32768, 0);
  const TierPlan planned = plan(one(tier, qwen14)).tiers[0];
  CHECK(numbers(planned.effective) == Effective{32768, 320, 6 * gib + spare});
  CHECK(planned.claim.gpu_bytes == 29540067328 + 6 * gib + 6 * gib + spare + 256 * mib);
  CHECK(planned.claim.host_bytes == 1843 * mib);
  CHECK(planned.concurrency_hundredths == 100);
  CHECK(planned.kv_tokens == 32768);

  tier.enforce_eager = true;
  CHECK(plan(one(tier, qwen14)).tiers[0].claim.gpu_bytes == 29540067328 + 12 * gib + spare);

  PlanInput older = one(tier, qwen14);
  older.constants.vllm_pins_kv_cache = false;
  const TierPlan filled = plan(older).tiers[0];
  CHECK(filled.kv_tokens == 0);
  CHECK_FALSE(filled.effective.kv_bytes);  // vLLM fills its fraction by itself, and the ledger counts that
  CHECK(filled.claim.gpu_bytes == fraction_bytes(124 * gib, 320));
}

TEST_CASE("a cache given: the fraction follows, and what it holds is said") {
  api::Tier tier = orchestrator(16384, 0);
  tier.kv_cache_bytes = 12 * gib;
  tier.model.rope_scaling = test::yarn(4, 32768);
  const TierPlan planned = plan(one(tier, qwen14)).tiers[0];
  CHECK(numbers(planned.effective) == Effective{16384, 370, 12 * gib + spare, 1000000});
  CHECK(planned.largest_context_tokens == 65536);
  CHECK(planned.concurrency_hundredths == 400);
  CHECK(planned.kv_tokens == 65536);

  tier.context_length_tokens = 65536;
  tier.kv_cache_bytes = 8 * gib;
  Plan too_small = plan(one(tier, qwen14));
  CHECK(only(too_small).code == FindingCode::KvCacheTooSmall);
  CHECK(says(only(too_small),
             "needs 12.0 GiB of KV cache for 65536 tokens, but memory.kvCache is 8.0 GiB: 4.0 GiB short. "
             "It fits with memory.kvCache 12288Mi, or with contextLength 43008."));
}

TEST_CASE("contextLength auto takes what its memory holds, at most what the model was made for") {
  CHECK(plan(one(orchestrator(0, 300), qwen14)).tiers[0].effective.context_tokens == 19456);
  CHECK(plan(one(orchestrator(0, 350), qwen14)).tiers[0].effective.context_tokens == 32768);
  CHECK(plan(one(orchestrator(0, 0), qwen14)).tiers[0].effective.context_tokens == 32768);
  api::Tier stretched = orchestrator(0, 350);
  stretched.model.rope_scaling = test::yarn(4, 32768);
  CHECK(plan(one(stretched, qwen14)).tiers[0].effective.context_tokens == 53248);
  stretched.gpu_fraction_milli.reset();
  stretched.kv_cache_bytes = 10 * gib;
  CHECK(plan(one(stretched, qwen14)).tiers[0].effective.context_tokens == 54272);
  CHECK(plan(one(orchestrator(0, 250), qwen14)).tiers[0].state == TierState::Error);
}

TEST_CASE(
    "a context beyond what the model was made for is the tier's error, with the scaling that allows it") {
  Plan planned = plan(one(orchestrator(65536, 0), qwen14));
  CHECK(only(planned).code == FindingCode::ContextBeyondModel);
  CHECK(only(planned).message ==
        "orchestrator asks for 65536 tokens, but Qwen/Qwen2.5-14B-Instruct ends at 32768: 32768 too many. "
        "Lower "
        "contextLength to 32768, or set model.ropeScaling to {type: yarn, factor: 2, originalContextLength: "
        "32768}.");
}

TEST_CASE("vLLM with ropeScaling is told the model's own base of the angles, and does not start without") {
  auto facts = qwen14;
  api::Tier tier = orchestrator(65536, 0);
  tier.model.rope_scaling = test::yarn(4, 32768);
  CHECK(plan(one(tier, facts)).tiers[0].effective.rope_theta == 1000000);
  facts.rope_theta.reset();
  Plan planned = plan(one(tier, facts));
  CHECK(only(planned).code == FindingCode::RopeThetaUnknown);
  CHECK(only(planned).message ==
        "orchestrator has a ropeScaling, for which vLLM has to be told the rope_theta of "
        "Qwen/Qwen2.5-14B-Instruct again, and it is not known. Write model.ropeScaling.theta; the model's "
        "config.json has it as rope_theta.");
  CHECK(planned.tiers[0].state == TierState::Error);
  tier.model.rope_scaling->theta = 5000000;
  CHECK(plan(one(tier, facts)).tiers[0].effective.rope_theta == 5000000);
  CHECK(plan(one(tier, qwen14)).tiers[0].effective.rope_theta == 5000000);
  tier.gpu_fraction_milli = 500;
  CHECK(plan(one(tier, std::nullopt)).tiers[0].effective.rope_theta == 5000000);
  tier.model.rope_scaling->theta.reset();
  CHECK_FALSE(plan(one(tier, std::nullopt)).tiers[0].runnable);
  api::Tier llama = test::llama_tier("utility", "a.gguf", 65536);
  llama.model.rope_scaling = test::yarn(4, 32768);
  CHECK(plan(one(llama, facts)).findings.empty());
  tier.model.rope_scaling.reset();
  CHECK(says(only(plan(one(tier, facts))),
             "originalContextLength: 32768, theta: rope_theta of its config.json}"));
}

TEST_CASE("where the catalogue says how far a model reaches, its author may know better") {
  auto facts = qwen14;
  facts.source = "catalogue: Qwen/Qwen2.5-14B-Instruct";
  api::Tier tier = orchestrator(65536, 0);
  CHECK(says(only(plan(one(tier, facts))),
             "That 32768 is the catalogue's: where the model's own files say more, write it in "
             "model.facts.contextLength."));
  tier.model.facts = api::DeclaredFacts{};
  tier.model.facts->context_length_tokens = 32768;
  CHECK_FALSE(says(only(plan(one(tier, facts))), "catalogue"));
  tier.model.facts->context_length_tokens = 65536;
  CHECK(plan(one(tier, facts)).findings.empty());
}

TEST_CASE("what is not known is said, and what is declared counts") {
  api::Tier tier = orchestrator(32768, 350);
  Plan unknown = plan(one(tier, std::nullopt));
  CHECK(only(unknown).code == FindingCode::FactsMissing);
  CHECK(only(unknown).severity == Severity::Warning);
  CHECK(says(only(unknown),
             "nothing is known of Qwen/Qwen2.5-14B-Instruct. The plan counts with what is "
             "declared alone (gpuFraction 0.35). Write what is known in model.facts."));
  CHECK(unknown.fits);
  CHECK(unknown.tiers[0].claim.gpu_bytes == fraction_bytes(124 * gib, 350));
  CHECK(numbers(unknown.tiers[0].effective) == Effective{32768, 350, std::nullopt});

  models::ModelFacts strange = qwen14;
  strange.layers.clear();
  strange.layers_unknown = "unknown architecture \"foo\"";
  Plan architecture = plan(one(tier, strange));
  CHECK(only(architecture).code == FindingCode::ArchitectureUnknown);
  CHECK(says(only(architecture), "unknown architecture \"foo\""));
  tier.accept_unverified = true;
  CHECK(only(plan(one(tier, strange))).severity == Severity::Note);

  tier.gpu_fraction_milli.reset();
  Plan open = plan(one(tier, std::nullopt));
  CHECK(open.findings.back().code == FindingCode::FractionMissing);
  CHECK(open.tiers[0].state == TierState::Error);
  // Told nothing, vLLM's CPU build takes most of the machine as well.
  tier.accelerator = api::Accelerator::None;
  tier.requests.memory = "8Gi";
  CHECK(plan(one(tier, std::nullopt)).findings.back().code == FindingCode::FractionMissing);
  tier.context_length_auto = true;
  CHECK(plan(one(tier, std::nullopt)).findings.back().code == FindingCode::ContextUnknown);
}

TEST_CASE("declared facts are enough by themselves, and win over what was read") {
  api::Tier tier = orchestrator(32768, 0);
  tier.model.facts = api::DeclaredFacts{48, 8, 128, {}, {}, 29540067328, 32768};
  Plan declared = plan(one(tier, std::nullopt));
  CHECK(declared.fits);
  REQUIRE(declared.findings.size() == 1);
  CHECK(declared.findings[0].code == FindingCode::QuantizationUnknown);
  CHECK(declared.findings[0].severity == Severity::Note);
  CHECK(numbers(declared.tiers[0].effective) == Effective{32768, 320, 6 * gib + spare});
  CHECK(declared.tiers[0].facts_source == "model.facts");

  tier.model.facts = api::DeclaredFacts{};
  tier.model.facts->weight_bytes = 10 * gib;
  Plan over = plan(one(tier, qwen14));
  CHECK(over.tiers[0].footprint.weight_bytes == 10 * gib);
  CHECK(over.tiers[0].footprint.kv_bytes == 6 * gib);
  CHECK(over.tiers[0].facts_source == "model.facts over model table");
}

TEST_CASE("what was measured wins over the profile, and the difference is said") {
  PlanInput input = one(orchestrator(32768, 0), qwen14);
  input.measured["halo"] = {.unified_memory_bytes = {}, .gpu_memory_bytes = 96 * gib};
  Plan planned = plan(input);
  CHECK(planned.nodes[0].profile.gpu_memory_bytes == 96 * gib);
  CHECK(planned.tiers[0].effective.fraction_milli == 420);
  CHECK(only(planned).code == FindingCode::NodeDiffers);
  CHECK(says(only(planned), "halo has 96.0 GiB of gpuMemory, not the 124.0 GiB that its profile says"));
}

TEST_CASE("a draft model's weights and cache come on top, and so do the model's own drafting layers") {
  api::Tier tier = orchestrator(32768, 0);
  int64_t plain = plan(one(tier, qwen14)).tiers[0].claim.known_bytes();
  tier.speculative = api::Speculative{.model = "Qwen/Qwen2.5-3B-Instruct", .tokens = 4};
  PlanInput input = one(tier, qwen14);
  CHECK(plan(input).findings.front().code == FindingCode::FactsMissing);
  input.models["orchestrator"].draft = test::known("Qwen2.5-3B-Instruct");
  CHECK(plan(input).tiers[0].claim.known_bytes() == plain + 6171877376 + int64_t{36864} * (32768 + 16));

  models::ModelFacts drafting = qwen14;
  drafting.draft_layers = test::layers(1, test::attention(8, 128));
  drafting.draft_weight_bytes = gib;
  tier.speculative.reset();
  CHECK(plan(one(tier, drafting)).tiers[0].claim.known_bytes() == plain - gib);
  tier.speculative = api::Speculative{.model = {}, .tokens = 2};
  CHECK(plan(one(tier, drafting)).tiers[0].claim.known_bytes() == plain + int64_t{4096} * (32768 + 16));
}

TEST_CASE("a CPU tier of llama.cpp is its file, its copy, its cache and its buffers") {
  api::Tier tier = test::llama_tier("utility", "small.gguf", 8192);
  models::ModelFacts facts = test::gguf("Qwen2.5-3B-Instruct", 1929902592, 2048, 11008, 151936);
  const TierPlan planned = plan(one(tier, facts)).tiers[0];
  CHECK_FALSE(planned.effective.fraction_milli);
  CHECK_FALSE(planned.claim.gpu);
  CHECK(planned.footprint.kv_bytes == 36864 * 8192);
  CHECK(planned.footprint.output_bytes == 151936 * 4 * 4);
  CHECK(planned.footprint.compute_bytes == 512 * (2 * 11008 + 8 * 2048) * 4 + 512 * 8192 * 2);
  CHECK(planned.claim.host_bytes == planned.footprint.all_bytes());

  facts.repackable_bytes_by_type = {{"Q4_K", gib}, {"Q6_K", gib / 2}};
  CHECK(plan(one(tier, facts)).tiers[0].footprint.repacked_bytes == gib);
  tier.extra_args = {"--no-repack"};
  CHECK(plan(one(tier, facts)).tiers[0].footprint.repacked_bytes == 0);
  tier.requests.memory = "20Gi";
  CHECK(plan(one(tier, facts)).tiers[0].claim.host_bytes == 20 * gib);  // more is believed
  tier.requests.memory = "1Gi";
  CHECK(*plan(one(tier, facts)).tiers[0].claim.host_bytes > 2 * gib);  // less is not
}

TEST_CASE("cache types that are unknown or do not fit the model's rows are errors with a way out") {
  api::Tier tier = orchestrator(32768, 0);
  tier.kv_cache_type = "turboquant_4bit";
  tier.accept_unverified = true;
  Plan unknown = plan(one(tier, qwen14));
  CHECK(unknown.findings.front().code == FindingCode::CombinationUnverified);
  CHECK(unknown.findings.back().code == FindingCode::CacheTypeUnknown);
  tier.kv_cache_type = "fp8";
  CHECK(plan(one(tier, qwen14)).tiers[0].effective.kv_bytes == 3 * gib + spare / 2);
  api::Tier odd = test::llama_tier("odd", "odd.gguf", 8192);
  odd.kv_cache_type = "q8_0";
  models::ModelFacts facts = test::safetensors("odd", test::layers(2, test::attention(1, 80)), gib, 8192);
  CHECK(only(plan(one(odd, facts))).code == FindingCode::CacheTypeUnfit);
}

TEST_CASE("the lowest priority is parked first, among equals the later in start order") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  auto states = [&] {
    std::string text;
    for (const TierPlan& tier : plan(input).tiers)
      if (tier.state == TierState::Parked) text += (text.empty() ? "" : " ") + tier.name;
    return text;
  };
  CHECK(states() == "coder");  // of equals the later one; with it gone, both CPU tiers fit
  input.spec.tiers[1].priority = 60;
  CHECK(states() == "orchestrator reviewer");  // the coder leaves no room for either
  input.spec.tiers[1].activation = api::Activation::Off;
  CHECK(states() == "");
}

TEST_CASE("Refuse starts nothing, and says what would have to go") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  input.spec.when_short = api::WhenShort::Refuse;
  Plan refused = plan(input);
  CHECK(std::all_of(refused.tiers.begin(), refused.tiers.end(),
                    [](const TierPlan& tier) { return tier.state == TierState::Refused; }));
  CHECK(refused.nodes[0].bounds[2].resident == 0);
  CHECK(std::any_of(refused.findings.begin(), refused.findings.end(), [](const Finding& finding) {
    return finding.code == FindingCode::Refused && finding.tier.empty() &&
           says(finding, "It fits without coder");
  }));
}

TEST_CASE("nodes have ledgers of their own") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  input.spec.nodes.push_back(test::halo(test::kernel_bytes, 124 * gib));
  input.spec.nodes[1].name = "second";
  for (api::Tier& tier : input.spec.tiers) tier.node = tier.name == "coder" ? "second" : "halo";
  Plan planned = plan(input);
  CHECK(planned.fits);
  CHECK(planned.nodes[0].bounds[0].resident == 370);
  CHECK(planned.nodes[1].bounds[0].resident == 550);
}

TEST_CASE("a cycle and an unknown node are errors of their tiers, and the others are planned") {
  PlanInput input = test::four_tiers(128 * gib, 124 * gib, false);
  input.spec.tiers[0].start_after = {"coder"};
  input.spec.tiers[2].node = "elsewhere";
  Plan planned = plan(input);
  CHECK(planned.tiers.size() == 4);
  CHECK(planned.tier("orchestrator")->state == TierState::Error);
  CHECK(planned.tier("coder")->state == TierState::Error);
  CHECK(planned.tier("reviewer")->state == TierState::Error);
  CHECK(planned.tier("utility")->state == TierState::Resident);
}

TEST_CASE("the start order is by what does not depend on contexts") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  input.spec.tiers[1].start_after.clear();
  std::swap(input.spec.tiers[0], input.spec.tiers[1]);
  CHECK(plan(input).order.tiers == std::vector<std::string>{"orchestrator", "coder", "reviewer", "utility"});
  for (api::Tier& tier : input.spec.tiers)
    if (tier.name == "orchestrator") tier.context_length_tokens = 131072;
  CHECK(plan(input).order.tiers.front() == "orchestrator");
}
