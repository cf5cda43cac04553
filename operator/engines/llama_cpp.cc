#include "engines/dialect.h"
#include "engines/engine.h"
#include "planner/engine_constants.h"

namespace strix::engines::llama_cpp {

// Flags by `llama-server --help` of 0.7.0 (build 11669); all of them are in upstream's own builds too. Its
// parser knows no --flag=value, so that each value is an argument of its own.
std::vector<std::string> arguments(const api::Tier& tier, const planner::Effective& effective) {
  std::vector<std::string> args{"-m", std::string(store_mount) + "/" + tier.model.file};
  auto flag = [&](std::string name) { args.push_back(std::move(name)); };
  auto option = [&](std::string name, std::string value) {
    args.push_back(std::move(name));
    args.push_back(std::move(value));
  };
  // Both, always: it listens on 127.0.0.1 by default, and the default port changed in 2026 (PR #26508).
  option("--host", "0.0.0.0");
  option("--port", std::to_string(tier.port));
  option("--alias", served_model_name(tier));
  option("--ctx-size", std::to_string(effective.context_tokens));
  option("--parallel", std::to_string(tier.max_sequences));
  // An explicit number of slots splits the context among them, and each request gets a fraction of what
  // contextLength says. Unified, one request may use all of it and the slots share, as in vLLM; the memory
  // is the same (llama.cpp PR #16736).
  flag("--kv-unified");
  // On by default, it makes the context smaller where memory looks short, and the plan and the truth part.
  option("--fit", "off");
  option("--cache-ram", "0");  // a prompt cache of up to 8 GiB beside the KV cache otherwise
  option("--ctx-checkpoints", std::to_string(planner::EngineConstants::llama_checkpoints));
  flag("--metrics");
  flag("--offline");
  flag("--jinja");  // templates, and with them tool calls
  if (tier.effective_accelerator() == api::Accelerator::Gpu) {
    option("--n-gpu-layers", "all");
  } else {
    // Both: a build with Vulkan or ROCm otherwise takes the GPU for prompts even with no layer on it.
    option("--device", "none");
    option("--n-gpu-layers", "0");
  }
  if (tier.speculative) {
    const api::Speculative& speculative = *tier.speculative;
    option("--spec-type", speculative.model.empty() ? "draft-mtp" : "draft-simple");
    if (!speculative.model.empty())
      option("--model-draft", std::string(store_mount) + "/" + speculative.model);
    option("--spec-draft-n-max", std::to_string(speculative.tokens));
    if (tier.effective_accelerator() == api::Accelerator::None) option("--spec-draft-device", "none");
  }
  if (tier.threads > 0) option("--threads", std::to_string(tier.threads));
  if (!tier.kv_cache_type.empty() && tier.kv_cache_type != "auto") {
    option("--cache-type-k", tier.kv_cache_type);
    option("--cache-type-v", tier.kv_cache_type);
  }
  if (tier.prefix_caching) flag(*tier.prefix_caching ? "--cache-prompt" : "--no-cache-prompt");
  if (!tier.reasoning_parser.empty()) option("--reasoning-format", tier.reasoning_parser);
  if (!tier.chat_template.empty())
    option(is_path(tier.chat_template) ? "--chat-template-file" : "--chat-template", tier.chat_template);
  if (const auto& rope = tier.model.rope_scaling) {
    option("--rope-scaling", rope->type.empty() ? "yarn" : rope->type);
    option("--rope-scale", decimal(rope->factor_milli));
    option("--yarn-orig-ctx", std::to_string(rope->original_context_length));
  }
  args.insert(args.end(), effective.arguments.begin(), effective.arguments.end());
  args.insert(args.end(), tier.extra_args.begin(), tier.extra_args.end());
  return args;
}

std::vector<api::EnvVar> environment(const api::Tier& tier, bool has_cache) {
  std::vector<api::EnvVar> variables;
  if (!has_cache) return variables;
  auto below = [](std::string_view folder) { return std::string(cache_mount) + "/" + std::string(folder); };
  variables.push_back(
      {.name = "LLAMA_CACHE", .value = below("llama.cpp"), .secret_name = {}, .secret_key = {}});
  if (tier.effective_accelerator() == api::Accelerator::Gpu)  // compiled shaders of the Vulkan builds
    variables.push_back(
        {.name = "MESA_SHADER_CACHE_DIR", .value = below("mesa"), .secret_name = {}, .secret_key = {}});
  return variables;
}

}  // namespace strix::engines::llama_cpp
