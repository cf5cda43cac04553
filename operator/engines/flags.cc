#include <algorithm>
#include <array>

#include "engines/engine.h"

// Owned are the flags that we pass, and those that would move the engine away from where it is looked for
// (address, TLS, another model) or change what it holds of memory behind the ledger's back.

namespace strix::engines {
namespace {

// Long flags of `vllm serve`, without the dashes. --config would bring any of them in from a file.
constexpr auto vllm_long = std::to_array<std::string_view>({
    "api-key",
    "chat-template",
    "config",
    "data-parallel-size",
    "data-parallel-size-local",
    "device-memory-utilization",
    "disable-log-stats",
    "enable-auto-tool-choice",
    "enable-prefix-caching",
    "enforce-eager",
    "gpu-memory-utilization",
    "grpc",
    "headless",
    "hf-overrides",
    "host",
    "kv-cache-dtype",
    "kv-cache-memory-bytes",
    "kv-offloading-size",
    "max-model-len",
    "max-num-seqs",
    "model",
    "no-enable-auto-tool-choice",
    "no-enable-prefix-caching",
    "no-enforce-eager",
    "num-gpu-blocks-override",
    "pipeline-parallel-size",
    "port",
    "quantization",
    "reasoning-parser",
    "root-path",
    "served-model-name",
    "spec-method",
    "spec-model",
    "spec-tokens",
    "speculative-config",
    "ssl-ca-certs",
    "ssl-certfile",
    "ssl-keyfile",
    "tensor-parallel-size",
    "tool-call-parser",
    "uds",
});
constexpr auto vllm_short = std::to_array<std::string_view>({"dp", "dpl", "pp", "q", "sc", "tp"});

// All spellings of llama-server's, without the dashes.
constexpr auto llama_flags = std::to_array<std::string_view>({
    "a",
    "alias",
    "api-key",
    "api-key-file",
    "api-prefix",
    "c",
    "cache-prompt",
    "cache-type-k",
    "cache-type-v",
    "chat-template",
    "chat-template-file",
    "ctk",
    "ctv",
    "ctx-size",
    "dev",
    "device",
    "docker-repo",
    "dr",
    "fit",
    "fit-ctx",
    "fit-target",
    "fitc",
    "fitt",
    "gpu-layers",
    "hf",
    "hf-file",
    "hf-repo",
    "hff",
    "hfr",
    "host",
    "jinja",
    "kv-unified",
    "kv-unified-per-slot",
    "kvu",
    "m",
    "metrics",
    "model",
    "model-url",
    "models-autoload",
    "models-dir",
    "models-max",
    "models-preset",
    "mu",
    "n-gpu-layers",
    "ngl",
    "no-cache-prompt",
    "no-jinja",
    "no-kv-unified",
    "no-kvu",
    "no-models-autoload",
    "np",
    "offline",
    "parallel",
    "port",
    "reasoning-format",
    "reuse-port",
    "rope-scale",
    "rope-scaling",
    "sleep-idle-seconds",
    "ssl-cert-file",
    "ssl-key-file",
    "t",
    "threads",
    "yarn-orig-ctx",
});

// What it keeps in host memory beside its cache.
constexpr auto llama_host_flags =
    std::to_array<std::string_view>({"cache-ram", "cram", "ctx-checkpoints", "ctxcp", "swa-checkpoints"});

// Those that a second model comes in by, or how far it looks ahead.
constexpr auto llama_draft_flags = std::to_array<std::string_view>(
    {"devd", "device-draft", "dflash", "draft", "draft-max", "draft-n", "eagle3", "hf-repo-draft", "hfd",
     "hfrd", "md", "model-draft", "mtp", "spec-draft-device", "spec-draft-hf", "spec-draft-model",
     "spec-draft-n-max", "spec-type"});

// Every owned flag of llama-server that it also reads from the environment, and ours; and those that the plan
// reads from extraArgs, where alone it looks.
constexpr auto environment_names = std::to_array<std::string_view>({
    "DO_NOT_TRACK",
    "HF_HUB_OFFLINE",
    "LLAMA_API_KEY",
    "LLAMA_ARG_ALIAS",
    "LLAMA_ARG_API_KEY_FILE",
    "LLAMA_ARG_API_PREFIX",
    "LLAMA_ARG_BATCH",
    "LLAMA_ARG_CACHE_PROMPT",
    "LLAMA_ARG_CACHE_RAM",
    "LLAMA_ARG_CACHE_TYPE_K",
    "LLAMA_ARG_CACHE_TYPE_V",
    "LLAMA_ARG_CHAT_TEMPLATE",
    "LLAMA_ARG_CHAT_TEMPLATE_FILE",
    "LLAMA_ARG_CTX_CHECKPOINTS",
    "LLAMA_ARG_CTX_SIZE",
    "LLAMA_ARG_DEVICE",
    "LLAMA_ARG_DOCKER_REPO",
    "LLAMA_ARG_ENDPOINT_METRICS",
    "LLAMA_ARG_FIT",
    "LLAMA_ARG_FIT_CTX",
    "LLAMA_ARG_FIT_TARGET",
    "LLAMA_ARG_HF_FILE",
    "LLAMA_ARG_HF_REPO",
    "LLAMA_ARG_HOST",
    "LLAMA_ARG_JINJA",
    "LLAMA_ARG_KV_UNIFIED",
    "LLAMA_ARG_KV_UNIFIED_PER_SLOT",
    "LLAMA_ARG_MODEL",
    "LLAMA_ARG_MODELS_AUTOLOAD",
    "LLAMA_ARG_MODELS_DIR",
    "LLAMA_ARG_MODELS_MAX",
    "LLAMA_ARG_MODELS_PRESET",
    "LLAMA_ARG_MODEL_URL",
    "LLAMA_ARG_N_GPU_LAYERS",
    "LLAMA_ARG_N_PARALLEL",
    "LLAMA_ARG_OFFLINE",
    "LLAMA_ARG_PORT",
    "LLAMA_ARG_REUSE_PORT",
    "LLAMA_ARG_ROPE_SCALE",
    "LLAMA_ARG_ROPE_SCALING_TYPE",
    "LLAMA_ARG_SPEC_DRAFT_HF_REPO",
    "LLAMA_ARG_SPEC_DRAFT_MODEL",
    "LLAMA_ARG_SPEC_DRAFT_N_MAX",
    "LLAMA_ARG_SPEC_TYPE",
    "LLAMA_ARG_SSL_CERT_FILE",
    "LLAMA_ARG_SSL_KEY_FILE",
    "LLAMA_ARG_SWA_FULL",
    "LLAMA_ARG_THINK",
    "LLAMA_ARG_THREADS",
    "LLAMA_ARG_UBATCH",
    "LLAMA_ARG_YARN_ORIG_CTX",
    "TRANSFORMERS_OFFLINE",
    "VLLM_API_KEY",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_NO_USAGE_STATS",
});

struct Spelling {
  std::string_view as_written;  // with its dashes, without a value
  std::string name;             // without dashes in front, inner ones normalised
  bool is_long = false;
};

// "--gpu_memory_utilization=0.9" is gpu-memory-utilization: both parsers take underscores for dashes, and
// vLLM's adds --flag=value and --json-flag.key value (vllm/utils/argparse_utils.py).
Spelling spelling_of(std::string_view argument) {
  Spelling spelling;
  size_t dashes = argument.substr(0, 2) == "--" ? 2 : argument.substr(0, 1) == "-" ? 1 : 0;
  size_t end = dashes ? std::min(argument.find_first_of("= \t"), argument.size()) : 0;
  spelling.as_written = argument.substr(0, end);
  if (end <= dashes) return spelling;
  spelling.is_long = dashes == 2;
  std::string_view name = argument.substr(dashes, end - dashes);
  name = name.substr(0, name.find('.'));
  while (!name.empty() && name.back() == '+') name.remove_suffix(1);
  spelling.name = name;
  std::replace(spelling.name.begin(), spelling.name.end(), '_', '-');
  return spelling;
}

template <typename List>
bool any_equal(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

template <typename List>
bool any_begins(const List& list, std::string_view prefix) {
  return std::any_of(list.begin(), list.end(),
                     [&](std::string_view flag) { return flag.substr(0, prefix.size()) == prefix; });
}

bool owned_by_vllm(const Spelling& spelling) {
  // argparse takes any unambiguous beginning of a long flag for the flag: --gpu-mem is one of ours.
  if (spelling.is_long) return any_begins(vllm_long, spelling.name);
  // -qfp8 is -q fp8, and -t is the beginning of -tp.
  return spelling.name.front() == 'q' || any_begins(vllm_short, spelling.name);
}

}  // namespace

std::string owned_flag(api::Engine engine, const std::vector<std::string>& extra_args) {
  for (const std::string& argument : extra_args) {
    Spelling spelling = spelling_of(argument);
    if (spelling.name.empty()) continue;
    bool owned = engine == api::Engine::Vllm
                     ? owned_by_vllm(spelling)
                     : any_equal(llama_flags, spelling.name) || any_equal(llama_host_flags, spelling.name) ||
                           any_equal(llama_draft_flags, spelling.name);
    if (owned) return std::string(spelling.as_written);
  }
  return {};
}

std::vector<std::string> owned_env() {
  return {environment_names.begin(), environment_names.end()};
}

}  // namespace strix::engines
