#include "api/decode_status.h"

#include <cmath>

#include "base/bytes.h"

namespace strix::api {

namespace {

WallMillis time_of(json::Value value) {
  auto text = value.string();
  return text ? parse_time(*text).value_or(0) : 0;
}

Condition decode_condition(json::Value value) {
  return Condition{.type = value["type"].string_or(""),
                   .status = value["status"].string_or(""),
                   .reason = value["reason"].string_or(""),
                   .message = value["message"].string_or(""),
                   .last_transition = time_of(value["lastTransitionTime"]),
                   .observed_generation = value["observedGeneration"].integer_or(0)};
}

std::optional<int> decode_fraction(json::Value value) {
  auto number = value.number();
  if (!number || !(*number >= 0 && *number <= 16)) return std::nullopt;
  return fraction_to_milli(*number);
}

constexpr double concurrency_most = 1e9;

KvStatus decode_cache(json::Value value) {
  KvStatus cache;
  cache.bytes = value["bytes"].integer();
  cache.tokens = value["tokens"].integer_or(0);
  if (auto requests = value["concurrency"].number();
      requests && *requests > 0 && *requests <= concurrency_most)
    cache.concurrency_hundredths = std::llround(*requests * 100);
  if (auto peak = value["peak"].integer(); peak && *peak >= 0 && *peak <= 100)
    cache.peak_percent = static_cast<int>(*peak);
  return cache;
}

Recommended decode_recommended(json::Value value) {
  return Recommended{.context_length_tokens = value["contextLength"].integer(),
                     .gpu_fraction_milli = decode_fraction(value["gpuFraction"]),
                     .kv_cache_bytes = value["kvCache"].integer(),
                     .message = value["message"].string_or(""),
                     .since = time_of(value["since"])};
}

TierStatus decode_tier(json::Value value) {
  TierStatus tier;
  tier.name = value["name"].string_or("");
  tier.state = value["state"].string_or("");
  tier.reason = value["reason"].string_or("");
  tier.message = value["message"].string_or("");
  tier.since = time_of(value["since"]);
  tier.pod_name = value["podName"].string_or("");
  tier.node = value["node"].string_or("");
  tier.restarts = value["restarts"].integer_or(0);
  tier.consecutive_failures = value["consecutiveFailures"].integer_or(0);
  if (json::Value failure = value["lastFailure"]; failure.is_object())
    tier.last_failure = Failure{.failure_class = failure["class"].string_or(""),
                                .message = failure["message"].string_or(""),
                                .time = time_of(failure["time"]),
                                .subject = failure["subject"].string_or(""),
                                .cleared = failure["cleared"].string_or("")};
  tier.context_length_tokens = value["contextLength"].integer();
  tier.gpu_fraction_milli = decode_fraction(value["gpuFraction"]);
  tier.bytes = value["bytes"].integer();
  if (json::Value kv = value["kv"]; kv.is_object()) tier.kv = decode_cache(kv);
  if (json::Value recommended = value["recommended"]; recommended.is_object())
    tier.recommended = decode_recommended(recommended);
  tier.engine_version = value["engineVersion"].string_or("");
  tier.endpoint = value["endpoint"].string_or("");
  return tier;
}

NodeMemory decode_memory(json::Value value) {
  return NodeMemory{.node = value["node"].string_or(""),
                    .total_bytes = value["total"].integer_or(0),
                    .gpu_total_bytes = value["gpuTotal"].integer_or(0),
                    .reserved_bytes = value["reserved"].integer_or(0),
                    .planned_bytes = value["planned"].integer_or(0),
                    .held_bytes = value["held"].integer_or(0),
                    .headroom_bytes = value["headroom"].integer_or(0)};
}

Learned decode_learned(json::Value value) {
  Learned learned;
  learned.tier = value["tier"].string_or("");
  if (json::Value context = value["context"]; context.is_object())
    learned.context = LearnedContext{.refused_tokens = context["refused"].integer_or(0),
                                     .refusals = context["refusals"].integer_or(0),
                                     .estimate_tokens = context["estimate"].integer_or(0),
                                     .inputs = context["inputs"].string_or("")};
  if (json::Value engine = value["engine"]; engine.is_object())
    learned.engine =
        LearnedEngine{.bytes = engine["bytes"].integer_or(0), .inputs = engine["inputs"].string_or("")};
  if (json::Value gpu_memory = value["gpuMemory"]; gpu_memory.is_object())
    learned.gpu_memory = LearnedGpuMemory{.total_bytes = gpu_memory["total"].integer_or(0),
                                          .inputs = gpu_memory["inputs"].string_or("")};
  return learned;
}

}  // namespace

StackStatus decode_status(json::Value value) {
  StackStatus status;
  status.observed_generation = value["observedGeneration"].integer_or(-1);
  value["conditions"].for_each(
      [&](json::Value condition) { status.conditions.push_back(decode_condition(condition)); });
  json::Value summary = value["summary"];
  status.summary = Summary{.ready = summary["ready"].string_or(""),
                           .status = summary["status"].string_or(""),
                           .gpu = summary["gpu"].string_or(""),
                           .pool = summary["pool"].string_or(""),
                           .headroom = summary["headroom"].string_or(""),
                           .nodes = summary["nodes"].string_or("")};
  value["tiers"].for_each([&](json::Value tier) { status.tiers.push_back(decode_tier(tier)); });
  value["memory"].for_each([&](json::Value memory) { status.memory.push_back(decode_memory(memory)); });
  value["learned"].for_each([&](json::Value entry) { status.learned.push_back(decode_learned(entry)); });
  return status;
}

}  // namespace strix::api
