#include <cmath>

#include "base/json.h"
#include "engines/engine.h"
#include "engines/metrics_text.h"

namespace strix::engines {
namespace {

constexpr json::Limits answer_limits{.bytes_max = 4u << 20, .depth_max = 64};
constexpr double requests_most = 1e9;

std::optional<int64_t> count_of(std::string_view text, std::string_view name) {
  auto sum = sum_of_series(text, name);
  if (!sum || *sum > requests_most) return std::nullopt;
  return static_cast<int64_t>(std::ceil(*sum));
}

}  // namespace

Ask health_ask(const api::Tier& tier) {
  return {.method = "GET", .path = tier.probe.path.empty() ? "/health" : tier.probe.path, .body = {}};
}

// vLLM binds its port before it loads and listens after, so a refused connection is a load in progress and
// 503 a dead engine (EngineDeadError). llama-server listens at once and says 503 "Loading model" meanwhile.
HealthReading read_health(api::Engine engine, int status, std::string_view body) {
  if (status == 0) return HealthReading::NotListening;
  if (status >= 200 && status < 300) return HealthReading::Healthy;
  bool loads = engine == api::Engine::LlamaCpp && status == 503 &&
               body.substr(0, 4096).find("Loading model") != std::string_view::npos;
  return loads ? HealthReading::Loading : HealthReading::Failing;
}

Ask warm_up_ask(const api::Tier& tier) {
  json::Writer writer;
  writer.begin_object();
  if (tier.engine == api::Engine::Vllm) {
    writer.member("model", served_model_name(tier)).member("prompt", "Hello");
    writer.member("max_tokens", 1).member("temperature", 0);
  } else {
    // Its own endpoint: no template, no model name. The prompt is not to stay in the slot's cache.
    writer.member("prompt", "Hello").member("n_predict", 1).member("cache_prompt", false);
  }
  writer.end_object();
  return {.method = "POST",
          .path = tier.engine == api::Engine::Vllm ? "/v1/completions" : "/completion",
          .body = writer.take()};
}

std::optional<std::string> read_warm_up(int status, std::string_view body) {
  if (status == 0) return "warm-up got no answer";
  std::string answered = "warm-up answered " + std::to_string(status);
  if (status < 200 || status >= 300) return answered;
  auto document = json::Document::parse(body, answer_limits);
  if (!document) return answered + " with something that is not JSON";
  json::Value root = document->root();
  // vLLM: choices; llama-server: content. Either may be empty text (the first token can be the last), but
  // an answer without it has not been through a forward pass.
  if (root["choices"].size() > 0 || root["content"].is_string()) return std::nullopt;
  return answered + " without a completion";
}

Ask effective_ask(api::Engine engine) {
  return {.method = "GET", .path = engine == api::Engine::Vllm ? "/v1/models" : "/props", .body = {}};
}

// What one request may have. llama-server's n_ctx is per slot, and since the slots share one cache
// (--kv-unified) that is the whole context; it also shows a context that was cut to what the model was
// trained for, and one that a build without the flag has split. Seen with 0.7.0: -c 8192 -np 4 says 8192,
// split it says 2048.
std::optional<int64_t> read_context_length_tokens(api::Engine engine, std::string_view body) {
  auto document = json::Document::parse(body, answer_limits);
  if (!document) return std::nullopt;
  json::Value root = document->root();
  auto tokens = engine == api::Engine::Vllm ? root["data"].at(0)["max_model_len"].integer()
                                            : root["default_generation_settings"]["n_ctx"].integer();
  return tokens && *tokens > 0 ? tokens : std::nullopt;
}

Ask load_ask(api::Engine) {
  return {.method = "GET", .path = "/metrics", .body = {}};
}

std::optional<Load> read_load(api::Engine engine, std::string_view metrics_text) {
  bool vllm = engine == api::Engine::Vllm;
  auto running = count_of(metrics_text, vllm ? "vllm:num_requests_running" : "llamacpp:requests_processing");
  auto waiting = count_of(metrics_text, vllm ? "vllm:num_requests_waiting" : "llamacpp:requests_deferred");
  if (!running || !waiting) return std::nullopt;
  return Load{.running = *running, .waiting = *waiting};
}

}  // namespace strix::engines
