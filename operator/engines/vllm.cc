#include "base/bytes.h"
#include "base/json.h"
#include "engines/dialect.h"
#include "engines/engine.h"

namespace strix::engines::vllm {
namespace {

// vLLM has no flag for rope scaling (removed in 0.11.1, PR #28006): the model's own configuration is
// overridden, with the key of its documentation ("Context Extension"). It replaces what the file has there,
// the base of the angles too (vllm/config/model.py, _apply_dict_overrides). Of YaRN the longer context is
// said as well: since PR #56446 the model's own is taken to be scaled already; before, it was computed from
// these two.
std::string rope_override(const api::RopeScaling& rope, std::optional<int64_t> theta) {
  json::Writer writer;
  const std::string type = rope.type.empty() ? "yarn" : rope.type;
  writer.begin_object().key("rope_parameters").begin_object();
  writer.member("rope_type", type);
  writer.key("factor").raw(decimal(rope.factor_milli));
  writer.member("original_max_position_embeddings", rope.original_context_length);
  if (theta) writer.member("rope_theta", *theta);
  writer.end_object();
  if (auto stretched = rope.stretched_tokens(); stretched && type == "yarn")
    writer.member("max_position_embeddings", *stretched);
  writer.end_object();
  return writer.take();
}

// vLLM takes speculation as one JSON value (vllm/config/speculative.py). Without a model of its own it is the
// tier's model that predicts several tokens.
std::string speculative_config(const api::Speculative& speculative) {
  json::Writer writer;
  writer.begin_object();
  if (speculative.model.empty())
    writer.member("method", "mtp");
  else
    writer.member("model", std::string(store_mount) + "/" + speculative.model);
  writer.member("num_speculative_tokens", speculative.tokens);
  writer.end_object();
  return writer.take();
}

// Where vLLM, PyTorch and Triton keep what the first start spends minutes on.
std::vector<api::EnvVar> cache_environment() {
  auto below = [](std::string_view folder) { return std::string(cache_mount) + "/" + std::string(folder); };
  return {
      {.name = "HF_HOME", .value = below("huggingface"), .secret_name = {}, .secret_key = {}},
      {.name = "VLLM_CACHE_ROOT", .value = below("vllm"), .secret_name = {}, .secret_key = {}},
      {.name = "TRITON_CACHE_DIR", .value = below("triton"), .secret_name = {}, .secret_key = {}},
      {.name = "TORCHINDUCTOR_CACHE_DIR", .value = below("inductor"), .secret_name = {}, .secret_key = {}},
      {.name = "XDG_CACHE_HOME", .value = std::string(cache_mount), .secret_name = {}, .secret_key = {}}};
}

}  // namespace

std::vector<std::string> arguments(const api::Tier& tier, const planner::Effective& effective) {
  std::vector<std::string> args{"serve", std::string(store_mount) + "/" + tier.model.repository};
  auto flag = [&](std::string name) { args.push_back(std::move(name)); };
  auto option = [&](std::string name, std::string value) {
    args.push_back(std::move(name));
    args.push_back(std::move(value));
  };
  option("--host", "0.0.0.0");
  option("--port", std::to_string(tier.port));
  option("--served-model-name", served_model_name(tier));
  // The hub's name works as well, where nobody chose one: clients come with it in their configuration.
  if (tier.served_model_name.empty()) flag(tier.model.repository);
  // "auto" only where nobody planned: vLLM then takes what fits.
  option("--max-model-len",
         effective.context_tokens > 0 ? std::to_string(effective.context_tokens) : std::string("auto"));
  // These two always: their defaults change between versions (0.9 became 0.92; sequences depend on the
  // device's memory), and what is planned would silently part from what runs.
  if (effective.fraction_milli)
    option("--gpu-memory-utilization", format_fraction(*effective.fraction_milli));
  // The cache as a number of bytes does not depend on what neighbours do while this one profiles. The
  // fraction stays: it is checked against free memory all the same (gpu_worker.py, request_memory).
  if (effective.kv_bytes) option("--kv-cache-memory-bytes", std::to_string(*effective.kv_bytes));
  option("--max-num-seqs", std::to_string(tier.max_sequences));
  option("--tensor-parallel-size", "1");
  if (tier.prefix_caching)
    flag(*tier.prefix_caching ? "--enable-prefix-caching" : "--no-enable-prefix-caching");
  if (tier.enforce_eager) flag("--enforce-eager");
  if (!tier.quantization.empty()) option("--quantization", tier.quantization);
  if (!tier.kv_cache_type.empty() && tier.kv_cache_type != "auto")
    option("--kv-cache-dtype", tier.kv_cache_type);
  if (!tier.tool_call_parser.empty()) {
    flag("--enable-auto-tool-choice");
    option("--tool-call-parser", tier.tool_call_parser);
  }
  if (!tier.reasoning_parser.empty()) option("--reasoning-parser", tier.reasoning_parser);
  if (!tier.chat_template.empty()) option("--chat-template", tier.chat_template);
  if (tier.speculative) option("--speculative-config", speculative_config(*tier.speculative));
  if (const auto& rope = tier.model.rope_scaling)
    option("--hf-overrides", rope_override(*rope, effective.rope_theta));
  args.insert(args.end(), effective.arguments.begin(), effective.arguments.end());
  args.insert(args.end(), tier.extra_args.begin(), tier.extra_args.end());
  return args;
}

std::vector<api::EnvVar> environment(const api::Tier& tier) {
  std::vector<api::EnvVar> variables = cache_environment();
  auto set = [&](std::string name, std::string value) {
    variables.push_back(
        {.name = std::move(name), .value = std::move(value), .secret_name = {}, .secret_key = {}});
  };
  if (tier.effective_accelerator() == api::Accelerator::None) {
    if (tier.threads > 0) {
      // The CPU build binds to cores of its own choice unless told not to; then OpenMP's number holds.
      set("VLLM_CPU_OMP_THREADS_BIND", "nobind");
      set("OMP_NUM_THREADS", std::to_string(tier.threads));
    }
    return variables;
  }
  if (tier.threads > 0) set("OMP_NUM_THREADS", std::to_string(tier.threads));
  return variables;
}

}  // namespace strix::engines::vllm
