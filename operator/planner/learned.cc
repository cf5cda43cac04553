#include "planner/learned.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "planner/checked.h"
#include "planner/derive.h"

namespace strix::planner {
namespace {

// One part a line, so that no two of them run into each other.
class Text {
 public:
  template <class T>
  void add(std::string_view name, const T& value) {
    text_ += fmt::format("{}={}\n", name, value);
  }
  void add(const std::vector<api::EnvVar>& environment) {
    for (const api::EnvVar& variable : environment) {
      add("env", variable.name);
      add("value", variable.value);
      add("secret", variable.secret_name);
      add("key", variable.secret_key);
    }
  }
  void add(std::string_view name, const std::vector<std::string>& values) {
    for (const std::string& value : values) add(name, value);
  }
  const std::string& value() const { return text_; }

 private:
  std::string text_;
};

void add_model(const api::Tier& tier, Text& text) {
  text.add("repository", tier.model.repository);
  text.add("file", tier.model.file);
  text.add("quantization", tier.quantization);
  text.add("cacheType", tier.kv_cache_type);
  if (const auto& rope = tier.model.rope_scaling) {
    text.add("rope", rope->factor_milli);
    text.add("ropeFrom", rope->original_context_length);
  }
  if (!tier.speculative) return;
  text.add("draft", tier.speculative->model);
  text.add("draftTokens", tier.speculative->tokens);
}

void add_engine(const api::StackSpec& spec, const api::Tier& tier, const EngineSettings& settings,
                Text& text) {
  const api::EngineDefaults& defaults = spec.defaults_of(tier.engine);
  text.add("engine", api::to_string(tier.engine));
  text.add("image", spec.image_of(tier));
  text.add("accelerator", api::to_string(tier.effective_accelerator()));
  add_model(tier, text);
  text.add("sequences", tier.max_sequences);
  text.add("prefixCaching", tier.prefix_caching ? (*tier.prefix_caching ? "on" : "off") : "");
  text.add("eager", tier.enforce_eager);
  text.add("argument", tier.extra_args);
  text.add("argument", settings.arguments);
  text.add(defaults.env);
  text.add(tier.env);
  text.add(settings.environment);
}

// Of its share, what is there whatever the cache is and the engine takes for itself.
int64_t fixed_bytes(const Footprint& parts) {
  return parts.request_bytes() - parts.kv_bytes - parts.engine_bytes;
}

}  // namespace

std::string engine_inputs(const api::StackSpec& spec, const api::Tier& tier, const EngineSettings& settings) {
  Text text;
  add_engine(spec, tier, settings, text);
  return stable_hash_hex(text.value());
}

std::string gpu_inputs(const api::StackSpec& spec, const api::Tier& tier, const api::StackNode& node) {
  Text text;
  text.add("engine", api::to_string(tier.engine));
  text.add("image", spec.image_of(tier));
  text.add("accelerator", api::to_string(tier.effective_accelerator()));
  text.add("node", node.name);
  for (const auto& [label, value] : node.selector) text.add(label, value);
  text.add("gpuMemory", node.profile.gpu_memory_bytes);
  return stable_hash_hex(text.value());
}

std::optional<int64_t> measured_gpu_bytes(const std::vector<api::Learned>& learned,
                                          const std::string& inputs) {
  std::optional<int64_t> least;
  for (const api::Learned& one : learned) {
    if (!one.gpu_memory || one.gpu_memory->inputs != inputs || one.gpu_memory->total_bytes <= 0) continue;
    int64_t total = std::min(one.gpu_memory->total_bytes, bytes_most);
    least = std::min(least.value_or(total), total);
  }
  return least;
}

std::string context_inputs(const api::StackSpec& spec, const api::Tier& tier, const EngineSettings& settings,
                           const Effective& effective, int64_t device_bytes) {
  Text text;
  add_engine(spec, tier, settings, text);
  text.add("device", device_bytes);
  text.add("auto", tier.context_length_auto);
  text.add("context", effective.context_tokens);
  text.add("fraction", effective.fraction_milli.value_or(0));
  text.add("cache", effective.kv_bytes.value_or(0));
  return stable_hash_hex(text.value());
}

std::optional<int64_t> tokens_left(const Footprint& parts, int64_t context_tokens, int64_t share_bytes,
                                   int64_t engine_bytes) {
  auto scaled = checked_multiply(share_bytes - fixed_bytes(parts) - engine_bytes, context_tokens);
  if (!scaled || *scaled <= 0 || parts.kv_bytes <= 0) return std::nullopt;
  return *scaled / parts.kv_bytes;
}

std::optional<int64_t> engine_bytes_of(const Footprint& parts, int64_t context_tokens, int64_t share_bytes,
                                       int64_t kv_tokens) {
  auto scaled = checked_multiply(parts.kv_bytes, kv_tokens);
  if (!scaled || context_tokens <= 0) return std::nullopt;
  int64_t bytes = share_bytes - fixed_bytes(parts) - *scaled / context_tokens;
  return bytes > 0 ? std::optional(bytes) : std::nullopt;
}

std::optional<int64_t> smaller_context_tokens(const api::Tier& tier, const api::LearnedContext& learned,
                                              int64_t planned_tokens) {
  if (!tier.context_length_auto) return std::nullopt;
  int64_t tokens = learned.estimate_tokens / context_grid_tokens * context_grid_tokens;
  if (tokens <= 0 || tokens > learned.refused_tokens) tokens = learned.refused_tokens;
  return tokens > 0 && tokens < planned_tokens ? std::optional(tokens) : std::nullopt;
}

}  // namespace strix::planner
