#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
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

constexpr int64_t number_most = int64_t{1} << 60;
constexpr size_t version_bytes_max = 64;

std::optional<int64_t> positive(std::optional<int64_t> number) {
  return number && *number > 0 && *number <= number_most ? number : std::nullopt;
}

// It goes into status: what is no word is not taken for one.
std::string version_of(json::Value value) {
  std::string text = value.string_or("");
  bool word = text.size() <= version_bytes_max && std::all_of(text.begin(), text.end(), [](unsigned char c) {
                return std::isalnum(c) || c == '.' || c == '-' || c == '+' || c == '_';
              });
  return word ? text : std::string();
}

std::optional<int64_t> whole_label(std::string_view labels, std::string_view label) {
  auto text = label_value(labels, label);
  if (!text) return std::nullopt;
  int64_t number = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  bool whole = error == std::errc() && end == text->data() + text->size();
  return whole ? positive(number) : std::nullopt;
}

// Its own count, or its blocks: older versions have only those.
std::optional<int64_t> cache_tokens(std::string_view labels) {
  if (auto tokens = whole_label(labels, "kv_cache_size_tokens")) return tokens;
  auto blocks = whole_label(labels, "num_gpu_blocks"), block = whole_label(labels, "block_size");
  if (!blocks || !block || *blocks > number_most / *block) return std::nullopt;
  return *blocks * *block;
}

std::optional<int64_t> cache_requests_millionths(std::string_view labels) {
  auto text = label_value(labels, "kv_cache_max_concurrency");
  if (!text) return std::nullopt;
  double requests = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), requests);
  bool number = error == std::errc() && end == text->data() + text->size();
  if (!number || !(requests > 0 && requests <= requests_most)) return std::nullopt;
  return positive(std::llround(requests * 1e6));
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

std::optional<int64_t> kv_tokens_at_full_length(const Report& report) {
  constexpr int64_t millionths = 1'000'000;
  const auto& requests = report.kv_requests_millionths;
  const auto& context = report.context_length_tokens;
  if (!requests || !context || *requests > number_most / *context) return report.kv_tokens;
  return (*requests * *context + millionths / 2) / millionths;
}

std::optional<int64_t> kv_concurrency_hundredths(const Report& report) {
  double requests = 0;
  if (report.kv_requests_millionths) {
    requests = static_cast<double>(*report.kv_requests_millionths) / 1e6;
  } else if (report.kv_tokens && report.context_length_tokens) {
    requests = static_cast<double>(*report.kv_tokens) / static_cast<double>(*report.context_length_tokens);
  }
  if (!(requests > 0 && requests <= requests_most)) return std::nullopt;
  // By its decimals, as the engine's log has it: a product of doubles can be off by a half.
  std::string printed = fmt::format("{:.2f}", requests);
  printed.erase(printed.size() - 3, 1);
  int64_t hundredths = 0;
  std::from_chars(printed.data(), printed.data() + printed.size(), hundredths);
  return positive(hundredths);
}

Report merged(Report first, const Report& second) {
  auto take = [](auto& known, const auto& told) {
    if (!known) known = told;
  };
  take(first.context_length_tokens, second.context_length_tokens);
  take(first.kv_tokens, second.kv_tokens);
  take(first.kv_requests_millionths, second.kv_requests_millionths);
  take(first.kv_bytes, second.kv_bytes);
  take(first.slots, second.slots);
  if (first.version.empty()) first.version = second.version;
  return first;
}

// What one request may have. llama-server's n_ctx is per slot, and since the slots share one cache
// (--kv-unified) that is the whole context, and what the cache holds; it also shows a context that was cut to
// what the model was trained for, and one that a build without the flag has split. Seen with 0.7.0:
// -c 8192 -np 4 says 8192, split it says 2048.
Report read_effective(api::Engine engine, std::string_view body) {
  Report report;
  auto document = json::Document::parse(body, answer_limits);
  if (!document) return report;
  json::Value root = document->root();
  if (engine == api::Engine::Vllm) {
    report.context_length_tokens = positive(root["data"].at(0)["max_model_len"].integer());
    return report;
  }
  report.context_length_tokens = positive(root["default_generation_settings"]["n_ctx"].integer());
  report.kv_tokens = report.context_length_tokens;
  report.slots = positive(root["total_slots"].integer());
  report.version = version_of(root["build_info"]);
  return report;
}

Ask version_ask() {
  return {.method = "GET", .path = "/version", .body = {}};
}

Report read_version(std::string_view body) {
  Report report;
  auto document = json::Document::parse(body, answer_limits);
  if (document) report.version = version_of(document->root()["version"]);
  return report;
}

// vllm:cache_config_info is a gauge of 1 whose labels are the whole cache configuration; which ones there are
// differs by version, and what is not set is "None". Of several engines (data parallel) the sum.
Report read_cache(api::Engine engine, std::string_view text) {
  Report report;
  if (engine != api::Engine::Vllm) return report;
  auto add = [](std::optional<int64_t>& sum, std::optional<int64_t> value) {
    if (value && sum.value_or(0) <= number_most - *value) sum = sum.value_or(0) + *value;
  };
  bool read = for_each_series(text, "vllm:cache_config_info", [&](std::string_view labels, double) {
    add(report.kv_tokens, cache_tokens(labels));
    add(report.kv_requests_millionths, cache_requests_millionths(labels));
    add(report.kv_bytes, whole_label(labels, "kv_cache_memory_bytes"));
  });
  return read ? report : Report{};
}

Ask metrics_ask() {
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
