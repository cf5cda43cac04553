#include "planner/footprint.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "planner/checked.h"
#include "planner/claim.h"

namespace strix::planner {
namespace {

constexpr int64_t float32_bytes = 4, float16_bytes = 2;

// vLLM takes 16k for 16000, 16K for 16384 and 25.6k for 25600 (engine/arg_utils.py, human_readable_int).
std::optional<int64_t> number_of(std::string_view text) {
  constexpr std::string_view decimal = "kmgt", binary = "KMGT";
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  if (error != std::errc() || rest.size() > 1) return std::nullopt;
  if (!rest.empty()) {
    size_t power = std::min(decimal.find(rest), binary.find(rest));
    if (power == std::string_view::npos) return std::nullopt;
    number *= std::pow(decimal.find(rest) == power ? 1000 : 1024, static_cast<double>(power + 1));
  }
  constexpr double number_most = 1e15;
  return number >= 1 && number <= number_most ? std::optional(static_cast<int64_t>(number)) : std::nullopt;
}

// Both parsers take underscores for dashes, and vLLM's any beginning of a long flag that no other has.
bool is_one_of(std::string argument, const api::Tier& tier, std::initializer_list<std::string_view> flags) {
  constexpr size_t beginning_bytes_min = 4;
  bool is_long = argument.starts_with("--");
  if (is_long) std::replace(argument.begin(), argument.end(), '_', '-');
  bool shortened = is_long && tier.engine == api::Engine::Vllm && argument.size() >= beginning_bytes_min;
  return std::any_of(flags.begin(), flags.end(), [&](std::string_view flag) {
    return shortened ? flag.starts_with(argument) : flag == argument;
  });
}

// What vLLM computes in, and its cache follows: what it is told, or else the model's own type, but 16 bits
// for a model in float32 (vllm/config/model.py, _resolve_auto_dtype). llama.cpp has nothing of the kind.
std::string_view computing_dtype(const Subject& subject) {
  std::string_view told =
      subject.is_vllm() ? argument_text(subject.tier, {"--dtype"}).value_or("auto") : "auto";
  if (told == "float") return "float32";
  if (told != "auto") return told;
  std::string_view own = subject.facts.dtype;
  return own == "float32" ? "bfloat16" : own;
}

// 0: none that weights are stored in without being quantised, or not known.
int64_t dtype_bytes(std::string_view dtype) {
  if (dtype == "float32") return float32_bytes;
  bool is_16_bits = dtype == "float16" || dtype == "half" || dtype == "bfloat16";
  return is_16_bits ? float16_bytes : 0;
}

// What weights of so many bytes in the files are once they are loaded: vLLM turns those that are not
// quantised into what it computes in, a draft model's too (vllm/config/speculative.py).
Checked loaded_bytes(const Subject& subject, const models::ModelFacts& facts, int64_t stored_bytes) {
  int64_t stored = dtype_bytes(facts.dtype), computing = dtype_bytes(computing_dtype(subject));
  bool turned = subject.is_vllm() && stored > 0 && computing > 0 && facts.quantization.empty();
  if (!turned || stored == computing) return stored_bytes;
  if (stored > computing) return ceil_divide(stored_bytes, stored / computing);
  return Checked(stored_bytes) * (computing / stored);
}

// Speculation by the model's own prediction layers: no second model.
bool drafts_itself(const Subject& subject) {
  return subject.tier.speculative && subject.tier.speculative->model.empty();
}

int64_t batch_tokens(const Subject& subject, int64_t context_tokens) {
  const EngineConstants& constants = subject.constants;
  if (subject.is_vllm()) {
    int64_t usual = subject.on_gpu() && subject.device_bytes >= constants.vllm_large_device_bytes
                        ? constants.vllm_large_batch_tokens
                        : constants.vllm_small_batch_tokens;
    return argument_number(subject.tier, {"--max-num-batched-tokens"}).value_or(usual);
  }
  int64_t batch =
      argument_number(subject.tier, {"-b", "--batch-size"}).value_or(constants.llama_batch_tokens);
  int64_t micro =
      argument_number(subject.tier, {"-ub", "--ubatch-size"}).value_or(constants.llama_micro_batch_tokens);
  return std::min({batch, micro, context_tokens});
}

bool add_weights(const Subject& subject, Footprint& parts) {
  if (!subject.facts.weight_bytes || (subject.draft && !subject.draft->weight_bytes)) return false;
  int64_t stored_bytes = *subject.facts.weight_bytes;
  if (!drafts_itself(subject)) {
    // Prediction layers that nobody asked to use are not loaded.
    int64_t unused = std::max<int64_t>(subject.facts.draft_weight_bytes.value_or(0), 0);
    if (subject.is_vllm() && unused < stored_bytes) stored_bytes -= unused;
  }
  Checked own = loaded_bytes(subject, subject.facts, stored_bytes), drafts = 0;
  if (subject.draft) drafts = loaded_bytes(subject, *subject.draft, *subject.draft->weight_bytes);
  if (!own.value() || !drafts.value()) return false;
  parts.weight_bytes = *own.value();
  parts.draft_weight_bytes = *drafts.value();
  return true;
}

void add_vllm_parts(const Subject& subject, Footprint& parts) {
  const EngineConstants& constants = subject.constants;
  parts.host_bytes = constants.vllm_host_bytes;
  parts.engine_bytes = subject.on_gpu() ? constants.vllm_gpu_engine_bytes : constants.vllm_cpu_engine_bytes;
  if (subject.on_gpu() && !subject.tier.enforce_eager) parts.graph_bytes = constants.vllm_graph_bytes;
}

// Activations for one micro-batch, and the attention mask over all cells.
Checked compute_bytes(const Subject& subject, int64_t context_tokens) {
  const models::ModelFacts& facts = subject.facts;
  const EngineConstants& constants = subject.constants;
  if (!facts.embedding_length || !facts.feed_forward_length) return constants.llama_compute_bytes;
  int64_t tokens = batch_tokens(subject, context_tokens);
  Checked rows = Checked(*facts.feed_forward_length) * constants.llama_feed_forward_rows +
                 Checked(*facts.embedding_length) * constants.llama_embedding_rows;
  constexpr int64_t cells_grid = 256;
  Checked bytes =
      rows * tokens * float32_bytes + Checked(round_up(context_tokens, cells_grid)) * tokens * float16_bytes;
  if (!subject.on_gpu() || !bytes.value()) return bytes;
  return std::max(*bytes.value(), constants.llama_compute_bytes);
}

Checked repacked_bytes(const Subject& subject) {
  if (subject.on_gpu() || has_argument(subject.tier, {"--no-repack", "-nr"})) return 0;
  Checked bytes = 0;
  for (const std::string& type : subject.constants.llama_repacked_types) {
    auto found = subject.facts.repackable_bytes_by_type.find(type);
    if (found != subject.facts.repackable_bytes_by_type.end()) bytes += found->second;
  }
  return bytes;
}

bool add_llama_parts(const Subject& subject, const CacheBytes& cache, int64_t context_tokens,
                     Footprint& parts) {
  int64_t slots = std::max(subject.tier.max_sequences, 1);
  Checked compute = compute_bytes(subject, context_tokens), repacked = repacked_bytes(subject);
  Checked output = Checked(subject.facts.vocabulary_size.value_or(0)) * float32_bytes * slots;
  Checked checkpoints = Checked(cache.checkpoint_bytes) * slots * subject.constants.llama_checkpoints;
  if (!compute.value() || !repacked.value() || !output.value() || !checkpoints.value()) return false;
  parts.compute_bytes = *compute.value();
  parts.repacked_bytes = *repacked.value();
  parts.output_bytes = *output.value();
  parts.checkpoint_bytes = *checkpoints.value();
  parts.host_bytes = subject.constants.llama_host_bytes;
  parts.prompt_cache_bytes = subject.constants.llama_prompt_cache_bytes;
  return true;
}

bool within_a_claim(const Footprint& parts) {
  Checked sum = 0;
  for (int64_t part :
       {parts.weight_bytes, parts.draft_weight_bytes, parts.engine_bytes, parts.kv_bytes, parts.spare_bytes,
        parts.compute_bytes, parts.output_bytes, parts.graph_bytes, parts.repacked_bytes,
        parts.prompt_cache_bytes, parts.checkpoint_bytes, parts.host_bytes}) {
    if (part < 0) return false;
    sum += part;
  }
  return sum.value() && *sum.value() <= bytes_most;
}

}  // namespace

std::optional<std::string_view> argument_text(const api::Tier& tier,
                                              std::initializer_list<std::string_view> flags) {
  std::optional<std::string_view> text;
  const auto& arguments = tier.extra_args;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    size_t equals = argument.find('=');
    if (!is_one_of(argument.substr(0, equals), tier, flags)) continue;
    text.reset();
    if (equals != std::string::npos) text = std::string_view(argument).substr(equals + 1);
    if (equals != std::string::npos) continue;
    if (i + 1 < arguments.size()) text = arguments[i + 1];
  }
  return text;
}

std::optional<int64_t> argument_number(const api::Tier& tier, std::initializer_list<std::string_view> flags) {
  auto text = argument_text(tier, flags);
  return text ? number_of(*text) : std::nullopt;
}

bool has_argument(const api::Tier& tier, std::initializer_list<std::string_view> flags) {
  return std::any_of(tier.extra_args.begin(), tier.extra_args.end(),
                     [&](const std::string& argument) { return is_one_of(argument, tier, flags); });
}

std::optional<KvShape> kv_shape(const Subject& subject, int64_t context_tokens) {
  const api::Tier& tier = subject.tier;
  auto type = cache_type(tier.engine, tier.kv_cache_type, computing_dtype(subject));
  if (!type) return std::nullopt;
  KvShape shape;
  shape.engine = tier.engine;
  shape.context_tokens = context_tokens;
  shape.key = shape.value = *type;
  if (drafts_itself(subject)) shape.draft_tokens = tier.speculative->tokens;
  if (subject.is_vllm()) {
    shape.state_element_bytes = computing_dtype(subject) == "float32" ? float32_bytes : float16_bytes;
    shape.recurrent_element_bytes = subject.constants.vllm_recurrent_element_bytes;
    shape.block_tokens = argument_number(tier, {"--block-size"})
                             .value_or(subject.on_gpu() ? subject.constants.vllm_block_tokens
                                                        : subject.constants.vllm_cpu_block_tokens);
    shape.batch_tokens = batch_tokens(subject, context_tokens);
    // On where nobody says otherwise, for models with states too (vllm/config/model.py); older versions hold
    // less.
    shape.prefix_cached_states = tier.prefix_caching.value_or(true);
  } else {
    shape.sequences = std::max(tier.max_sequences, 1);
    shape.state_element_bytes = shape.recurrent_element_bytes = float32_bytes;
    shape.micro_batch_tokens = batch_tokens(subject, context_tokens);
    shape.swa_full = has_argument(tier, {"--swa-full"});
  }
  return shape;
}

std::optional<CacheBytes> cache_bytes(const Subject& subject, int64_t context_tokens) {
  auto shape = kv_shape(subject, context_tokens);
  auto own = shape ? kv_bytes(subject.facts, *shape) : std::nullopt;
  if (!own) return std::nullopt;
  if (!subject.draft) return CacheBytes{own->total_bytes, own->block_bytes, own->checkpoint_bytes};
  shape->draft_tokens = 0;
  // llama.cpp has types of their own for the draft's cache, and we leave them at their default.
  if (!subject.is_vllm()) shape->key = shape->value = *cache_type(api::Engine::LlamaCpp, "auto", "");
  auto drafts = kv_bytes(*subject.draft, *shape);
  if (!drafts) return std::nullopt;
  auto bytes = (Checked(own->total_bytes) + drafts->total_bytes).value();
  auto block = (Checked(own->block_bytes) + drafts->block_bytes).value();
  auto checkpoint = (Checked(own->checkpoint_bytes) + drafts->checkpoint_bytes).value();
  if (!bytes || !block || !checkpoint) return std::nullopt;
  return CacheBytes{*bytes, *block, *checkpoint};
}

std::optional<Footprint> footprint(const Subject& subject, int64_t context_tokens) {
  auto cache = cache_bytes(subject, context_tokens);
  Footprint parts;
  if (!cache || !add_weights(subject, parts)) return std::nullopt;
  parts.kv_bytes = cache->kv_bytes;
  if (subject.is_vllm()) {
    auto spare = Checked(cache->block_bytes) * subject.constants.vllm_spare_blocks;
    if (!spare.value()) return std::nullopt;
    parts.spare_bytes = *spare.value();
    add_vllm_parts(subject, parts);
  } else if (!add_llama_parts(subject, *cache, context_tokens, parts)) {
    return std::nullopt;
  }
  return within_a_claim(parts) ? std::optional(parts) : std::nullopt;
}

}  // namespace strix::planner
