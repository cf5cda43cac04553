#include "engines/usage.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engines/metrics_text.h"

namespace strix::engines {

namespace {

constexpr double count_most = 1e15;  // doubles are exact that far

std::optional<int64_t> count_of(std::optional<double> value) {
  if (!value || *value > count_most) return std::nullopt;
  return std::llround(*value);
}

// "2000.0" or "+Inf".
std::optional<int64_t> edge_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  if (*text == "+Inf") return unbounded_tokens;
  double edge = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), edge);
  bool number = error == std::errc() && end == text->data() + text->size();
  if (!number || !(edge > 0 && edge <= count_most)) return std::nullopt;
  return std::llround(edge);
}

// Of several engines the sum. A histogram that is not one (no unbounded bucket, more edges than any engine
// has, counts that fall) is not told.
std::vector<TokenBucket> histogram(std::string_view text, std::string_view name) {
  std::map<int64_t, double> sums;
  bool sound = for_each_series(text, name, [&](std::string_view labels, double value) {
    if (auto edge = edge_of(label_value(labels, "le")); edge && sums.size() <= buckets_most)
      sums[*edge] += value;
  });
  std::vector<TokenBucket> buckets;
  if (!sound || sums.size() > buckets_most || !sums.contains(unbounded_tokens)) return buckets;
  for (const auto& [edge, sum] : sums) {
    auto count = count_of(sum);
    if (!count || (!buckets.empty() && *count < buckets.back().requests)) return {};
    buckets.push_back({edge, *count});
  }
  return buckets;
}

// http_requests_total{handler="/v1/completions",method="POST",status="4xx"}: of the instrumentator, which
// shows a row from its first request on.
int64_t refused(std::string_view text) {
  double sum = 0;
  bool sound = for_each_series(text, "http_requests_total", [&](std::string_view labels, double value) {
    std::string handler = label_value(labels, "handler").value_or("");
    bool completes =
        handler.ends_with("completions") || handler.ends_with("/responses") || handler.ends_with("/messages");
    if (completes && label_value(labels, "status") == "4xx") sum += value;
  });
  return sound ? count_of(sum).value_or(0) : 0;
}

}  // namespace

std::optional<Usage> read_usage(api::Engine engine, std::string_view text) {
  auto load = read_load(engine, text);
  if (!load) return std::nullopt;
  Usage usage;
  usage.load = *load;
  if (engine == api::Engine::LlamaCpp) {
    usage.sequence_tokens_most = count_of(sum_of_series(text, "llamacpp:n_tokens_max"));
    return usage;
  }
  double most = -1;  // of several engines the fullest
  bool sound = for_each_series(text, "vllm:kv_cache_usage_perc",
                               [&](std::string_view, double value) { most = std::max(most, value); });
  if (sound && most >= 0) usage.kv_used_milli = static_cast<int>(std::lround(std::min(most, 1.0) * 1000));
  usage.preemptions = count_of(sum_of_series(text, "vllm:num_preemptions_total"));
  usage.refused = refused(text);
  usage.prompts = histogram(text, "vllm:request_prompt_tokens_bucket");
  usage.answers = histogram(text, "vllm:request_generation_tokens_bucket");
  return usage;
}

}  // namespace strix::engines
