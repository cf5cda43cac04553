#include "planner/combination.h"

#include "catch.h"
#include "planner/spec_plan.h"
#include "table_case.h"

using namespace strix;
using namespace strix::planner;

namespace {

const CapabilityTable& table = built_in_capabilities();

// A vLLM tier on the GPU of a gfx1151, in the image that the log used.
test::TableCase on_halo(const std::string& quantization,
                        const std::string& architecture = "Qwen2ForCausalLM") {
  Scope where;
  where.gfx_targets = {"gfx1151"};
  where.architectures = {architecture};
  test::TableCase made = test::case_for(where);
  made.tier().image = "docker.io/kyuz0/vllm-therock-gfx1151:latest";
  made.models["tier"].facts->quantization = quantization;
  return made;
}

std::string codes(const test::TableCase& made) {
  std::string text;
  for (const CombinationFinding& finding : test::findings_of(made, table))
    text += (text.empty() ? "" : " ") + std::string(to_string(finding.severity)) + ":" +
            std::string(to_string(finding.code));
  return text;
}

}  // namespace

// The decision log's section 2, and what was found since. In its order.
TEST_CASE("what is known of quantisations on Strix Halo is refused, needs eager, or is warned of") {
  struct Case {
    const char *quantization, *architecture, *codes;
  };
  const Case known[] = {
      {"", "Qwen2ForCausalLM", ""},
      {"fp8", "Qwen2ForCausalLM", "error:CombinationRefused"},
      {"compressed-tensors/float-quantized", "LlamaForCausalLM", "error:CombinationRefused"},
      {"awq", "Qwen2ForCausalLM", "error:NeedsEager"},
      {"awq", "Qwen3MoeForCausalLM", "error:NeedsEager"},
      {"compressed-tensors/pack-quantized", "Qwen3_5MoeForConditionalGeneration", "error:NeedsEager"},
      {"compressed-tensors/pack-quantized", "Qwen2ForCausalLM", "warning:CombinationDegraded"},
      {"gptq", "Qwen2ForCausalLM", "warning:CombinationDegraded"},
      {"gptq", "Qwen3MoeForCausalLM", "error:CombinationRefused"},
      {"gptq_marlin", "Qwen2ForCausalLM", "error:CombinationRefused"},
      {"compressed-tensors/int-quantized", "Qwen2ForCausalLM", "error:CombinationRefused"},
      {"mxfp4", "GptOssForCausalLM", ""},
      {"bitsandbytes", "Qwen2ForCausalLM", "error:CombinationUnverified"},
      {"gguf", "Qwen2ForCausalLM", "error:CombinationUnverified"},
      {"hqq", "Qwen2ForCausalLM", "error:CombinationUnverified"},
      {"compressed-tensors", "Qwen2ForCausalLM", "error:CombinationUnverified"},
  };
  for (const Case& c : known) {
    CAPTURE(c.quantization, c.architecture);
    CHECK(codes(on_halo(c.quantization, c.architecture)) == c.codes);
  }
}

TEST_CASE("the image of February 2026 has no kernels for GPTQ, bitsandbytes and GGUF") {
  for (const char* quantization : {"gptq", "bitsandbytes", "gguf"}) {
    test::TableCase made = on_halo(quantization);
    made.tier().image = "kyuz0/vllm-therock-gfx1151:rocm7.2-torch2.10-vllm0.16.0rc1.dev155";
    CAPTURE(quantization);
    CHECK(codes(made) == "error:CombinationRefused");
  }
}

TEST_CASE("what is asked for in the spec wins over what the files say, and the files may say it finer") {
  test::TableCase made = on_halo("awq");
  made.tier().quantization = "fp8";
  auto found = test::findings_of(made, table);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == "spec.tiers[tier].quantization");
  CHECK(found[0].message.find("tier: fp8 weights cannot be used with vllm on gfx1151: ") == 0);
  made.tier().quantization.clear();
  CHECK(test::findings_of(made, table)[0].message.find("awq weights") != std::string::npos);
  made.models["tier"].facts->quantization = "compressed-tensors/int-quantized";
  made.tier().quantization = "compressed-tensors";
  CHECK(codes(made) == "error:CombinationRefused");
}

TEST_CASE("where nothing says how the weights are quantised nothing is refused, and that is noted") {
  test::TableCase made = on_halo("fp8");
  made.models["tier"] = {};
  CHECK(codes(made) == "note:QuantizationUnknown");
  made.tier().accelerator = api::Accelerator::None;
  made.tier().image = "example/vllm-cpu:1";
  CHECK(codes(made).empty());
  CHECK(quantization_of(made.tier(), {}) == std::nullopt);
}

TEST_CASE("what nobody has verified is tried where that is accepted") {
  test::TableCase made = on_halo("hqq");
  auto found = test::findings_of(made, table);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == "spec.tiers[tier].model");
  CHECK(found[0].message ==
        "tier: nobody has verified hqq weights with vllm on gfx1151. Set acceptUnverified: true to try it, "
        "or use "
        "weights that are not quantised.");
  made.tier().accept_unverified = true;
  CHECK(codes(made) == "note:CombinationUnverified");
  CHECK(combination_errors(made.spec, made.models, table).empty());
}

TEST_CASE("on another target the rows of Strix Halo say nothing") {
  test::TableCase made = on_halo("fp8");
  made.spec.nodes[0].profile.gfx_target = "gfx942";
  CHECK(codes(made).empty());
  made.models["tier"].facts->quantization = "awq";
  CHECK(codes(made) == "error:CombinationUnverified");
}

TEST_CASE("vLLM's CPU build is a build of its own, with quantisations of its own") {
  test::TableCase made = on_halo("awq");
  made.tier().accelerator = api::Accelerator::None;
  CHECK(codes(made) == "error:CombinationRefused");  // the image is built for ROCm
  made.tier().image = "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.17.0";
  CHECK(codes(made).empty());
  made.models["tier"].facts->quantization = "fp8";
  CHECK(codes(made) == "error:CombinationUnverified");
  made.tier().accelerator = api::Accelerator::Gpu;
  CHECK(codes(made) == "error:CombinationRefused error:CombinationRefused");
}

TEST_CASE("llama.cpp reads what it has kernels for, on any device") {
  Scope where;
  where.engine = api::Engine::LlamaCpp;
  test::TableCase made = test::case_for(where);
  for (const char* quantization : {"Q4_K_M", "MXFP4_MOE", "IQ2_XXS"}) {
    made.models["tier"].facts->quantization = quantization;
    CHECK(codes(made).empty());
  }
  made.models.at("tier") = {};
  CHECK(codes(made).empty());
  made.tier().kv_cache_type = "q8_0";
  CHECK(codes(made).empty());
}

TEST_CASE("a CPU build of llama.cpp is refused where the tier is to use the GPU") {
  Scope where;
  where.engine = api::Engine::LlamaCpp;
  test::TableCase made = test::case_for(where);
  made.tier().image.clear();
  made.spec.llamacpp.image = "ghcr.io/ggml-org/llama.cpp:server";
  auto found = test::findings_of(made, table);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == "spec.engines.llamacpp.image");
  made.tier().image = "ghcr.io/ggml-org/llama.cpp:server-v0.7.0";
  CHECK(test::findings_of(made, table).at(0).path == "spec.tiers[tier].image");
  for (const char* image :
       {"ghcr.io/ggml-org/llama.cpp:server-vulkan", "ghcr.io/ggml-org/llama.cpp:server-rocm-b10114"}) {
    made.tier().image = image;
    CHECK(codes(made).empty());
  }
  made.tier().image.clear();
  made.tier().accelerator = api::Accelerator::None;
  CHECK(codes(made).empty());
}

TEST_CASE("a KV cache in FP8 is warned of, another format is unverified, BF16 is neither") {
  test::TableCase made = on_halo("");
  for (auto [type, told] : {std::pair{"fp8", "warning:CombinationDegraded"},
                            {"fp8_e5m2", "warning:CombinationDegraded"},
                            {"int8_per_token_head", "error:CombinationUnverified"},
                            {"bfloat16", ""},
                            {"auto", ""}}) {
    CAPTURE(type);
    made.tier().kv_cache_type = type;
    CHECK(codes(made) == told);
  }
  made.tier().kv_cache_type = "fp8";
  made.models["tier"].facts->architecture = "DeepseekV4ForCausalLM";
  CHECK(codes(made).empty());
}

TEST_CASE("flags are told by the version that the image holds, however they are spelt") {
  test::TableCase made = on_halo("");
  auto with = [&](const char* image, std::vector<std::string> arguments) {
    made.tier().image = image;
    made.tier().extra_args = std::move(arguments);
    return codes(made);
  };
  const char* older = "vllm/vllm-openai-rocm:v0.17.1";
  const char* newer = "vllm/vllm-openai-rocm:v0.18.0";
  CHECK(with(older, {"--swap-space", "4"}).empty());
  CHECK(with(newer, {"--swap-space", "4"}) == "error:CombinationRefused");
  CHECK(with(newer, {"--swap_space=4", "--swap-space=5"}) == "error:CombinationRefused");
  CHECK(with(newer, {"--block-size", "16", "swap-space"}).empty());
}

TEST_CASE("where the image's version is not known, what only some versions refuse is unverified") {
  Scope where;
  where.engine = api::Engine::LlamaCpp;
  test::TableCase made = test::case_for(where);
  made.tier().image = "kyuz0/amd-strix-halo-toolboxes:rocm-7.14";
  made.tier().extra_args = {"--no-mmap"};
  auto found = test::findings_of(made, table);
  REQUIRE(found.size() == 1);
  CHECK(found[0].code == FindingCode::CombinationUnverified);
  CHECK(found[0].message.find("the flag --no-mmap cannot be used with llamacpp >=11669: ") !=
        std::string::npos);
  CHECK(found[0].message.find("which version kyuz0/amd-strix-halo-toolboxes:rocm-7.14 holds is not known") !=
        std::string::npos);
  made.tier().accept_unverified = true;
  CHECK(codes(made) == "note:CombinationUnverified");
}

TEST_CASE("a draft model's weights are looked at too") {
  test::TableCase made = on_halo("");
  made.models["tier"].draft = made.models["tier"].facts;
  made.models["tier"].draft->quantization = "fp8";
  auto found = test::findings_of(made, table);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == "spec.tiers[tier].speculative.model");
}

TEST_CASE("variables count as the engine gets them: the tier's over the stack's") {
  test::TableCase made = on_halo("fp8");
  made.tier().enforce_eager = true;
  made.spec.vllm.env = {{.name = "VLLM_STRIX_FP8_TRITON", .value = "1", .secret_name = {}, .secret_key = {}}};
  CHECK(codes(made).empty());
  made.tier().env = {{.name = "VLLM_STRIX_FP8_TRITON", .value = "0", .secret_name = {}, .secret_key = {}}};
  CHECK(codes(made) == "error:CombinationRefused");
}

TEST_CASE("a refused tier is an error of its own: it holds nothing, and the others are planned") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  input.models["orchestrator"].facts->quantization = "fp8";
  Plan planned = plan(input);
  const TierPlan& orchestrator = *planned.tier("orchestrator");
  CHECK(orchestrator.state == TierState::Error);
  CHECK_FALSE(orchestrator.runnable);
  CHECK(planned.tier("coder")->state == TierState::Resident);
  CHECK_FALSE(planned.fits);
  auto errors = combination_errors(input.spec, input.models, table);
  REQUIRE(errors.size() == 1);
  CHECK(planned.findings.at(0).message == errors[0].message);
  CHECK(planned.findings.at(0).code == FindingCode::CombinationRefused);

  input.spec.tiers[0].activation = api::Activation::Off;
  CHECK(plan(input).findings.at(0).severity == Severity::Note);
  CHECK(combination_errors(input.spec, input.models, table).empty());
}

TEST_CASE(
    "in a cluster the catalogue tells the quantisation, and an override is asked before the built-in rows") {
  test::TableCase made = on_halo("");
  made.tier().model.repository = "openai/gpt-oss-20b";
  CHECK(combination_errors(made.spec, table).empty());
  auto over = CapabilityTable::parse(
      "combinations:\n- {where: {engine: vllm}, quantizations: [mxfp4], verdict: Refused, reason: it burns, "
      "instead: wait, source: here, date: \"2026-11\"}\n");
  REQUIRE(over.ok());
  auto errors = combination_errors(made.spec, CapabilityTable::layered(*over, table));
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].text() ==
        "spec.tiers[tier].model: tier: mxfp4 weights cannot be used with vllm on gfx1151: it burns (here, "
        "2026-11). "
        "The way out is to wait.");
}

TEST_CASE("an older vLLM is not asked to pin its cache, and llama.cpp is told how to load by its build") {
  PlanInput input = test::four_tiers(test::kernel_bytes, 124 * gib, false);
  CHECK(plan(input).tier("orchestrator")->effective.kv_bytes);
  input.spec.vllm.image = "vllm/vllm-openai-rocm:v0.10.2";
  CHECK_FALSE(plan(input).tier("orchestrator")->effective.kv_bytes);
  api::Tier& utility = input.spec.tiers.back();
  CHECK(plan(input).tier("utility")->effective.arguments.empty());  // on the CPU
  utility.accelerator = api::Accelerator::Gpu;
  using Arguments = std::vector<std::string>;
  CHECK(plan(input).tier("utility")->effective.arguments == Arguments{"--load-mode", "none"});
  utility.image = "ghcr.io/ggml-org/llama.cpp:server-vulkan-b9000";
  CHECK(plan(input).tier("utility")->effective.arguments == Arguments{"--no-mmap"});
}
