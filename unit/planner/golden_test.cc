// What the planner makes of the decision log's stacks, as files that read as a document. UPDATE_GOLDEN=1
// rewrites them; `git diff` is then the review.
#include <fmt/format.h>

#include "base/bytes.h"
#include "cases.h"
#include "catch.h"
#include "golden_file.h"
#include "planner/explain.h"
#include "planner/words.h"

using namespace strix;
using namespace strix::planner;

namespace {

std::string section(const std::string& title, const std::string& why, const PlanInput& input) {
  return "## " + title + "\n\n" + why + "\n\n" + explain_table(plan(input), {.width = 100, .colour = false}) +
         "\n";
}

// The log's own inputs: a total of 128, its layers and weights, no engine overhead, nothing held back.
PlanInput as_the_log_reckons() {
  PlanInput input = test::four_tiers(128 * gib, 128 * gib, true);
  input.spec.nodes[0].profile.system_reserve_bytes = 0;
  input.constants.vllm_gpu_engine_bytes = input.constants.vllm_host_bytes = 0;
  input.constants.vllm_graph_bytes = input.constants.vllm_spare_blocks = 0;
  test::know(input, "orchestrator",
             test::safetensors("the log's", test::layers(40, test::attention(8, 128)), 28 * gib, 131072));
  test::know(input, "coder",
             test::safetensors("the log's", test::layers(48, test::attention(4, 128)), 57 * gib, 262144));
  input.spec.tiers.resize(2);
  return input;
}

std::string log_row(const std::string& what, const std::string& log, const std::string& ours,
                    const std::string& truth, const std::string& why) {
  return fmt::format("{:<34} {:>9} {:>12} {:>9}  {}\n", what, log, ours, truth, why);
}

std::string log_tables() {
  Plan reckoned = plan(as_the_log_reckons()),
       truth = plan(test::four_tiers(test::kernel_bytes, 124 * gib, true));
  const TierPlan &orch = *reckoned.tier("orchestrator"), &coder = *reckoned.tier("coder");
  const TierPlan &true_orch = *truth.tier("orchestrator"), &true_coder = *truth.tier("coder");
  auto budget = [](const TierPlan& tier) {
    return gib_number(tier.claim.gpu_bytes - tier.footprint.graph_bytes - tier.footprint.weight_bytes -
                      tier.footprint.engine_bytes);
  };
  auto true_budget = [&](const TierPlan& tier, int milli) {
    return gib_number(fraction_bytes(124 * gib, milli) - tier.footprint.weight_bytes -
                      tier.footprint.engine_bytes);
  };
  auto slack = [](const TierPlan& tier) {
    return gib_number(*tier.effective.kv_bytes - tier.footprint.kv_bytes);
  };
  auto number = [](int64_t amount) { return std::to_string(amount); };
  return "# The log's tables (its section 5), from the log's inputs and from true ones\n\n" +
         log_row("", "the log", "same inputs", "true", "why they differ") +
         log_row("coder: 0.60 of the total", "76.8", gib_number(coder.claim.gpu_bytes),
                 gib_number(fraction_bytes(124 * gib, 600)), "the device reports 124, not 128") +
         log_row("coder: weights", "57", gib_number(coder.footprint.weight_bytes),
                 gib_number(true_coder.footprint.weight_bytes), "30.532e9 parameters in BF16") +
         log_row("coder: KV budget", "19.8", budget(coder), true_budget(true_coder, 600),
                 "the engine itself takes 6.0") +
         log_row("orchestrator: 0.35 of the total", "44.8", gib_number(orch.claim.gpu_bytes),
                 gib_number(fraction_bytes(124 * gib, 350)), "the device reports 124, not 128") +
         log_row("orchestrator: weights", "28", gib_number(orch.footprint.weight_bytes),
                 gib_number(true_orch.footprint.weight_bytes), "14.770e9 parameters in BF16") +
         log_row("orchestrator: KV budget", "16.8", budget(orch), true_budget(true_orch, 350),
                 "the engine itself takes 6.0") +
         log_row("orchestrator: bytes a token", "163840", number(orch.growing_bytes_per_token),
                 number(true_orch.growing_bytes_per_token), "48 layers, not 40") +
         log_row("coder: bytes a token", "98304", number(coder.growing_bytes_per_token),
                 number(true_coder.growing_bytes_per_token), "") +
         log_row("orchestrator: KV at 64K", "10.0", gib_number(orch.footprint.kv_bytes),
                 gib_number(true_orch.footprint.kv_bytes), "48 layers, not 40") +
         log_row("coder: KV at 48K", "4.5", gib_number(coder.footprint.kv_bytes),
                 gib_number(true_coder.footprint.kv_bytes), "") +
         log_row("orchestrator: slack", "6.8", slack(orch), "-2.1", "negative: it does not start") +
         log_row("coder: slack", "15.3", slack(coder), slack(true_coder), "less total, and the engine's 6.0");
}

PlanInput phase_one() {
  PlanInput input;
  input.spec.nodes = {test::halo(test::kernel_bytes, 124 * gib)};
  input.spec.tiers = {test::vllm_tier("orchestrator", "openai/gpt-oss-120b", 32768, 450),
                      test::vllm_tier("coder", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 32768, 350),
                      test::vllm_tier("fast", "Qwen/Qwen2.5-7B-Instruct", 32768, 200)};
  test::know(input, "orchestrator", test::known("gpt-oss-120b"));
  test::know(input, "coder", test::known("Qwen3-Coder-30B-A3B-Instruct"));
  test::know(input, "fast", test::known("Qwen2.5-7B-Instruct"));
  return input;
}

PlanInput phase_two() {
  PlanInput input = phase_one();
  input.spec.tiers = {test::vllm_tier("orchestrator", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 32768, 650),
                      test::vllm_tier("fast", "Qwen/Qwen2.5-7B-Instruct", 32768, 200)};
  input.models.erase("coder");
  test::know(input, "orchestrator", test::known("Qwen3-Coder-30B-A3B-Instruct"));
  return input;
}

PlanInput refusing(PlanInput input) {
  input.spec.when_short = api::WhenShort::Refuse;
  return input;
}

PlanInput with_repacked_reviewer(PlanInput input) {
  // Rounded shares of a Q4_K_M: what a header reader finds by type.
  auto& facts = *input.models["reviewer"].facts;
  facts.repackable_bytes_by_type = {{"Q4_K", 30 * gib}, {"Q6_K", 8 * gib}};
  return input;
}

}  // namespace

TEST_CASE("golden: the log's own tables from the log's own inputs, beside the truth") {
  Plan reckoned = plan(as_the_log_reckons());
  CHECK(reckoned.fits);
  CHECK(reckoned.node("halo")->bounds[0].resident == 950);
  test::check_golden("log_tables.md", log_tables());
}

TEST_CASE("golden: the log's stack with true facts, at every total that was seen on this hardware") {
  std::string text =
      "# The log's four tiers (Phase 3) with true facts\n\nFractions 0.35 and 0.60, as in the log. The total "
      "is what the device reports.\n\n";
  for (int64_t total : {int64_t{1240}, int64_t{1200}, int64_t{1100}, int64_t{960}}) {
    int64_t gpu = test::gib_tenths(total);
    text +=
        section(gib_number(gpu) + " GiB for the GPU, the kernel reports 122.2",
                total == 1240 ? "64K does not fit into 0.35: the log's slack of 6.8 came from 40 layers, 128 "
                                "GiB and no engine. The coder runs."
                              : "A smaller total takes from both caches what a fraction was thought to give.",
                test::four_tiers(test::kernel_bytes, gpu, true));
  }
  text += section("62.5 GiB for the GPU, the kernel reports 122.2",
                  "ROCm reports half of the memory when only gttsize is set: no weights of the coder fit.",
                  test::four_tiers(test::kernel_bytes, gib * 6247 / 100, true));
  text += section("124.0 GiB for the GPU, declared 128",
                  "The declared total hides 5.8 GiB that the kernel keeps: it says that more fits than does.",
                  test::four_tiers(128 * gib, 124 * gib, true));
  test::check_golden("phase3_fractions.md", text);
}

TEST_CASE("golden: the log's stack with fractions left to the planner") {
  std::string text =
      "# The log's four tiers (Phase 3), memory left out\n\nThe smallest fractions that hold the contexts, "
      "and the cache pinned to what they need.\n\n";
  text +=
      section("124.0 GiB for the GPU, the kernel reports 122.2",
              "Both vLLM tiers need 113.4 GiB of GPU memory and 3.6 of host memory, and 116.2 is there for "
              "tiers: the coder goes, and its room is enough for both CPU tiers.",
              test::four_tiers(test::kernel_bytes, 124 * gib, false));
  PlanInput less = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  less.spec.tiers[0].context_length_tokens = 49152;
  text += section(
      "The same, the orchestrator with 48K",
      "3 GiB less of cache: both vLLM tiers fit, and the utility tier misses its place by a few MiB.", less);
  PlanInput automatic = less;
  automatic.spec.tiers[0].context_length_tokens = 0;
  automatic.spec.tiers[0].context_length_auto = true;
  text += section("The same, the orchestrator with contextLength auto",
                  "It is planned with the least that is useful and takes what the others leave: 1024 tokens "
                  "less, and the "
                  "utility tier has its place.",
                  automatic);
  text +=
      section("124.0 GiB for the GPU, declared 128", "5.8 GiB that are not there make room for the coder.",
              test::four_tiers(128 * gib, 124 * gib, false));
  text += section("110.0 GiB for the GPU, the kernel reports 122.2",
                  "The two vLLM tiers need more than the GPU may map.",
                  test::four_tiers(test::kernel_bytes, 110 * gib, false));
  text += section("62.5 GiB for the GPU, the kernel reports 122.2",
                  "The coder's weights and engine alone are 62.9 GiB.",
                  test::four_tiers(test::kernel_bytes, gib * 6247 / 100, false));
  text += section("124.0 GiB for the GPU, whenShort Refuse", "Nothing is started unless all is.",
                  refusing(test::four_tiers(test::kernel_bytes, 124 * gib, false)));
  text += section(
      "The reviewer's tensor types known",
      "A CPU that repacks Q4_K holds those rows twice, and the reviewer's file is read by its header.",
      with_repacked_reviewer(test::four_tiers(test::kernel_bytes, 124 * gib, false)));
  test::check_golden("phase3_derived.md", text);
}

TEST_CASE("golden: phases 1 and 2 of the log") {
  std::string text = "# The log's earlier layouts\n\n";
  text +=
      section("Phase 1: gpt-oss-120b 0.45, coder 0.35, fast 0.20",
              "Failed in the log as \"too large\". The arithmetic: 60.8 GiB of weights do not go into 55.8, "
              "nor 56.9 into 43.4; and the fractions add up to 1.00.",
              refusing(phase_one()));
  text += section("Phase 2: coder 0.65, fast 0.20", "Worked in the log, and does by the arithmetic.",
                  phase_two());
  test::check_golden("phase1_phase2.md", text);
}

TEST_CASE("golden: every row of the model table alone on the machine") {
  std::string text =
      "# One model alone: 124 GiB for the GPU, vLLM, BF16 cache, 32768 tokens, one sequence\n\n"
      "Weights, cache and sum in GiB. Fraction: the smallest that holds it. Largest: with contextLength "
      "auto.\n\n";
  text += fmt::format("{:<30} {:>9} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9}\n", "model", "B/token", "weights",
                      "KV 32K", "KV 64K", "sum", "fraction", "largest");
  for (const auto& row : test::model_table()) {
    PlanInput input;
    input.spec.nodes = {test::halo(test::kernel_bytes, 124 * gib)};
    input.spec.tiers = {test::vllm_tier("one", row.name, 32768, 0)};
    test::know(input, "one", row.facts);
    Plan alone = plan(input);
    const TierPlan& tier = alone.tiers[0];
    input.spec.tiers[0].context_length_tokens = 65536;
    input.spec.tiers[0].model.rope_scaling = test::yarn(4, 32768);
    const TierPlan longer = plan(input).tiers[0];
    input.spec.tiers[0] = test::vllm_tier("one", row.name, 0, 0);
    Plan largest = plan(input);
    bool can = tier.state == TierState::Resident;
    text += fmt::format("{:<30} {:>9} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9}\n", row.name,
                        tier.growing_bytes_per_token, gib_number(tier.footprint.weight_bytes),
                        gib_number(tier.footprint.kv_bytes), gib_number(longer.footprint.kv_bytes),
                        gib_number(tier.claim.known_bytes()),
                        can ? format_fraction(*tier.effective.fraction_milli) : "too big",
                        largest.fits ? std::to_string(largest.tiers[0].effective.context_tokens) : "-");
  }
  test::check_golden("model_table.md", text);
}
