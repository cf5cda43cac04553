#include <algorithm>

#include "catch.h"
#include "engines/engine.h"

using namespace strix;
using Args = std::vector<std::string>;

TEST_CASE("vLLM's flags are recognised in every spelling that its parser takes") {
  auto [argument, named] = GENERATE(table<std::string, std::string>({
      {"--port", "--port"},
      {"--port=9", "--port"},
      {"--port 9", "--port"},
      {"--gpu-memory-utilization=0.99", "--gpu-memory-utilization"},
      {"--gpu_memory_utilization", "--gpu_memory_utilization"},
      {"--gpu_memory-utilization=0.99", "--gpu_memory-utilization"},
      {"--gpu-mem", "--gpu-mem"},  // argparse takes what is unambiguous
      {"--max-model=9", "--max-model"},
      {"--hf-overrides.rope_parameters.factor", "--hf-overrides.rope_parameters.factor"},
      {"--hf_overrides.architectures+", "--hf_overrides.architectures+"},
      {"--kv-cache-memory=9", "--kv-cache-memory"},
      {"--kv-cache-memory-bytes", "--kv-cache-memory-bytes"},
      {"--config", "--config"},
      {"--model", "--model"},
      {"--uds", "--uds"},
      {"--ssl-keyfile", "--ssl-keyfile"},
      {"--no-enable-prefix-caching", "--no-enable-prefix-caching"},
      {"--no-enf", "--no-enf"},
      {"--disable-log-stats", "--disable-log-stats"},
      {"--kv-offloading-size=32", "--kv-offloading-size"},
      {"--device-memory-utilization", "--device-memory-utilization"},
      {"--spec-model", "--spec-model"},
      {"--spec-tokens", "--spec-tokens"},
      {"-sc", "-sc"},
      {"--api-key", "--api-key"},
      {"-q", "-q"},
      {"-qawq", "-qawq"},
      {"-tp", "-tp"},
      {"-tp=2", "-tp"},
      {"-pp", "-pp"},
      {"-dp", "-dp"},
  }));
  CAPTURE(argument);
  CHECK(engines::owned_flag(api::Engine::Vllm, {"--max-num-batched-tokens", "8192", argument}) == named);
}

TEST_CASE("vLLM's other flags and all values are the author's own") {
  CHECK(engines::owned_flag(api::Engine::Vllm, {}).empty());
  CHECK(engines::owned_flag(api::Engine::Vllm, {"--max-num-batched-tokens",
                                                "8192",
                                                "--attention-backend",
                                                "TRITON_ATTN",
                                                "--dtype=bfloat16",
                                                "--model-impl",
                                                "auto",
                                                "--chat-template-content-format",
                                                "string",
                                                "--kv-cache-dtype-skip-layers",
                                                "--load-format",
                                                "dummy",
                                                "--limit-mm-per-prompt.image",
                                                "0",
                                                "-O3",
                                                "-1",
                                                "",
                                                "-",
                                                "--",
                                                "port",
                                                "--disable-log-requests"})
            .empty());
}

TEST_CASE("llama-server's flags are recognised in long and short form") {
  std::string argument = GENERATE(
      "-m", "--model", "-c", "--ctx-size", "--ctx_size", "-np", "--parallel", "-kvu", "--kv-unified",
      "-no-kvu", "--no-kv-unified", "--kv_unified_per_slot", "-fit", "--fit", "--fit-target", "--host",
      "--port", "-a", "--alias", "-ngl", "--gpu-layers", "--n-gpu-layers", "-dev", "--device", "-cram",
      "--cache-ram", "-ctk", "-ctv", "--metrics", "--offline", "-hf", "-hfr", "--hf-repo", "-mu",
      "--model-url", "--models-dir", "--api-key", "--api-key-file", "--api-prefix", "--jinja", "-t",
      "--threads", "--ssl-key-file", "--rope-scale", "--chat-template-file");
  CAPTURE(argument);
  CHECK(engines::owned_flag(api::Engine::LlamaCpp, {"--mlock", argument, "1"}) == argument);
  CHECK(engines::owned_flag(api::Engine::LlamaCpp, {argument + "=1"}) == argument);
}

TEST_CASE("llama-server's other flags are the author's own, and short ones are not beginnings") {
  CHECK(engines::owned_flag(api::Engine::LlamaCpp,
                            {"-fa", "on",  "-tb", "8",        "--load-mode", "none",      "--no-mmap",
                             "-b",  "512", "-ub", "512",      "--temp",      "0.7",       "-lv",
                             "4",   "-n",  "-1",  "--models", "-mm",         "proj.gguf", "--po"})
            .empty());
}

TEST_CASE("what the operator sets in the environment is owned") {
  auto owned = engines::owned_env();
  CHECK(std::is_sorted(owned.begin(), owned.end()));
  for (const char* name : {"VLLM_API_KEY", "LLAMA_API_KEY", "HF_HUB_OFFLINE", "LLAMA_ARG_PORT"})
    CHECK(std::find(owned.begin(), owned.end(), name) != owned.end());
  CHECK(std::find(owned.begin(), owned.end(), "VLLM_ROCM_USE_AITER") == owned.end());
}
