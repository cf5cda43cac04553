#include <algorithm>

#include "catch.h"
#include "decision_log.h"

using namespace strix;
using Args = std::vector<std::string>;

namespace {

Args line(const api::Tier& tier) {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  return engines::command_line(stack, tier, stack.spec.nodes[0], planner::declared_effective(tier));
}

bool has(const Args& args, const std::string& flag) {
  return std::find(args.begin(), args.end(), flag) != args.end();
}

std::string after(const Args& args, const std::string& flag) {
  auto found = std::find(args.begin(), args.end(), flag);
  return found == args.end() || found + 1 == args.end() ? "(none)" : *(found + 1);
}

}  // namespace

TEST_CASE("vLLM's command line for the decision log's orchestrator") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  CHECK(line(stack.spec.tiers[0]) == Args{"serve",
                                          "/models/Qwen/Qwen2.5-14B-Instruct",
                                          "--host",
                                          "0.0.0.0",
                                          "--port",
                                          "8001",
                                          "--served-model-name",
                                          "orchestrator",
                                          "Qwen/Qwen2.5-14B-Instruct",
                                          "--max-model-len",
                                          "65536",
                                          "--gpu-memory-utilization",
                                          "0.35",
                                          "--max-num-seqs",
                                          "4",
                                          "--tensor-parallel-size",
                                          "1",
                                          "--enable-prefix-caching",
                                          "--enable-auto-tool-choice",
                                          "--tool-call-parser",
                                          "hermes",
                                          "--hf-overrides",
                                          R"({"rope_parameters":{"rope_type":"yarn","factor":4.0,)"
                                          R"("original_max_position_embeddings":32768,)"
                                          R"("rope_theta":1000000},)"
                                          R"("max_position_embeddings":131072})"});
}

TEST_CASE("llama-server's command line for the decision log's reviewer") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  CHECK(line(stack.spec.tiers[2]) == Args{"-m",
                                          "/models/Llama-3.3-70B-Instruct-Q4_K_M.gguf",
                                          "--host",
                                          "0.0.0.0",
                                          "--port",
                                          "8011",
                                          "--alias",
                                          "reviewer",
                                          "--ctx-size",
                                          "32768",
                                          "--parallel",
                                          "4",
                                          "--kv-unified",
                                          "--fit",
                                          "off",
                                          "--cache-ram",
                                          "0",
                                          "--ctx-checkpoints",
                                          "4",
                                          "--metrics",
                                          "--offline",
                                          "--jinja",
                                          "--device",
                                          "none",
                                          "--n-gpu-layers",
                                          "0",
                                          "--threads",
                                          "16"});
}

TEST_CASE("what a vLLM tier declares is on its command line, extraArgs last") {
  api::Tier tier = test::vllm_tier("coder", "a/b", 8002, 4096, 355);
  tier.prefix_caching = false;
  tier.enforce_eager = true;
  tier.quantization = "awq";
  tier.kv_cache_type = "fp8";
  tier.reasoning_parser = "qwen3";
  tier.chat_template = "/models/t.jinja";
  tier.served_model_name = "mine";
  tier.max_sequences = 1;
  tier.extra_args = {"--max-num-batched-tokens", "8192"};
  Args args = line(tier);
  CHECK(after(args, "--gpu-memory-utilization") == "0.355");
  CHECK(has(args, "--no-enable-prefix-caching"));
  CHECK(has(args, "--enforce-eager"));
  CHECK(after(args, "--quantization") == "awq");
  CHECK(after(args, "--kv-cache-dtype") == "fp8");
  CHECK(after(args, "--reasoning-parser") == "qwen3");
  CHECK(after(args, "--chat-template") == "/models/t.jinja");
  CHECK(after(args, "--served-model-name") == "mine");
  CHECK(after(args, "mine") == "--max-model-len");  // the hub's name only where none was chosen
  CHECK(after(args, "--max-num-seqs") == "1");
  CHECK_FALSE(has(args, "--enable-auto-tool-choice"));
  CHECK(Args(args.end() - 2, args.end()) == tier.extra_args);
}

TEST_CASE("vLLM is left to its own choice where nothing is declared") {
  Args args = line(test::vllm_tier("coder", "a/b", 8002, 4096, 100));
  for (const char* flag : {"--enable-prefix-caching", "--no-enable-prefix-caching", "--enforce-eager",
                           "--quantization", "--kv-cache-dtype", "--chat-template", "--hf-overrides"})
    CHECK_FALSE(has(args, flag));
  CHECK(after(args, "--gpu-memory-utilization") == "0.10");
}

TEST_CASE("what a llama.cpp tier declares is on its command line, extraArgs last") {
  api::Tier tier = test::llama_tier("reviewer", "dir/m-00001-of-00002.gguf", 8011, 16384);
  tier.accelerator = api::Accelerator::Gpu;
  tier.kv_cache_type = "q8_0";
  tier.prefix_caching = false;
  tier.chat_template = "chatml";
  tier.reasoning_parser = "deepseek";
  tier.served_model_name = "big";
  tier.model.rope_scaling =
      api::RopeScaling{.type = "linear", .factor_milli = 1500, .original_context_length = 8192};
  tier.extra_args = {"--load-mode", "none"};
  Args args = line(tier);
  CHECK(after(args, "-m") == "/models/dir/m-00001-of-00002.gguf");
  CHECK(after(args, "--n-gpu-layers") == "all");
  CHECK_FALSE(has(args, "--device"));
  CHECK_FALSE(has(args, "--threads"));
  CHECK(after(args, "--cache-type-k") == "q8_0");
  CHECK(after(args, "--cache-type-v") == "q8_0");
  CHECK(has(args, "--no-cache-prompt"));
  CHECK(after(args, "--chat-template") == "chatml");
  CHECK(after(args, "--reasoning-format") == "deepseek");
  CHECK(after(args, "--alias") == "big");
  CHECK(after(args, "--rope-scaling") == "linear");
  CHECK(after(args, "--rope-scale") == "1.5");
  CHECK(after(args, "--yarn-orig-ctx") == "8192");
  CHECK(Args(args.end() - 2, args.end()) == tier.extra_args);
  tier.chat_template = "/models/t.jinja";
  CHECK(after(line(tier), "--chat-template-file") == "/models/t.jinja");
}

TEST_CASE("every flag that we pass is one that extraArgs may not carry") {
  for (auto strategy : {api::DeviceStrategy::ExtendedResource, api::DeviceStrategy::Privileged}) {
    auto stack = test::decision_log(strategy);
    for (api::Tier& tier : stack.spec.tiers) {
      tier.prefix_caching = false;
      tier.quantization = tier.reasoning_parser = "x";
      tier.chat_template = "/x";
      tier.kv_cache_type = "q8_0";
      tier.enforce_eager = true;
      tier.threads = 2;
      tier.model.rope_scaling =
          api::RopeScaling{.type = {}, .factor_milli = 2000, .original_context_length = 1};
      for (const std::string& argument : line(tier)) {
        if (argument[0] != '-') continue;
        CAPTURE(argument);
        CHECK(engines::owned_flag(tier.engine, {argument}) == argument);
      }
    }
  }
}

TEST_CASE("context, fraction and cache are the plan's, whatever the spec says") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  planner::Effective planned{.context_tokens = 53248, .fraction_milli = 370, .kv_bytes = 12884901888};
  Args vllm = engines::command_line(stack, stack.spec.tiers[0], stack.spec.nodes[0], planned);
  CHECK(after(vllm, "--max-model-len") == "53248");
  CHECK(after(vllm, "--gpu-memory-utilization") == "0.37");
  CHECK(after(vllm, "--kv-cache-memory-bytes") == "12884901888");
  planned.rope_theta = 10000000;
  vllm = engines::command_line(stack, stack.spec.tiers[0], stack.spec.nodes[0], planned);
  CHECK(after(vllm, "--hf-overrides").find(R"("rope_theta":10000000)") != std::string::npos);
  planned = {.context_tokens = 16384, .fraction_milli = {}, .kv_bytes = {}};
  Args llama = engines::command_line(stack, stack.spec.tiers[2], stack.spec.nodes[0], planned);
  CHECK(after(llama, "--ctx-size") == "16384");
  CHECK_FALSE(has(llama, "--kv-cache-memory-bytes"));

  auto input = test::pod_input(stack, 0);
  input.effective = planner::Effective{.context_tokens = 53248, .fraction_milli = 370, .kv_bytes = 1};
  CHECK(engines::render_pod(input).template_hash !=
        engines::render_pod(test::pod_input(stack, 0)).template_hash);
}

TEST_CASE("a small model that guesses, and the model's own layers") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  api::Tier coder = stack.spec.tiers[1], reviewer = stack.spec.tiers[2];
  CHECK_FALSE(has(line(coder), "--speculative-config"));
  coder.speculative = {.model = "Qwen/Qwen3-0.6B", .tokens = 4};
  CHECK(after(line(coder), "--speculative-config") ==
        R"({"model":"/models/Qwen/Qwen3-0.6B","num_speculative_tokens":4})");
  coder.speculative = {.model = {}, .tokens = 2};
  CHECK(after(line(coder), "--speculative-config") == R"({"method":"mtp","num_speculative_tokens":2})");
  reviewer.speculative = {.model = "small.gguf", .tokens = 8};
  CHECK(after(line(reviewer), "--spec-type") == "draft-simple");
  CHECK(after(line(reviewer), "--model-draft") == "/models/small.gguf");
  CHECK(after(line(reviewer), "--spec-draft-n-max") == "8");
  CHECK(after(line(reviewer), "--spec-draft-device") == "none");
}
