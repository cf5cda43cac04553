#include "api/codec.h"
#include "api/names.h"
#include "api/text.h"

namespace strix::api {

namespace {

// The CRD's limits: a status over one of them would be refused as a whole.
constexpr size_t condition_message_bytes_max = 32768;
constexpr size_t reason_bytes_max = 128;
constexpr size_t message_bytes_max = 4096;
constexpr size_t word_bytes_max = 64;
constexpr size_t name_bytes_max = 253;
constexpr size_t summary_bytes_max = 64;
constexpr size_t summary_status_bytes_max = 256;
constexpr size_t long_bytes_max = 1024;

enum class Times { Written, LeftOut };

// Empty texts and unknown times are left out: with server-side apply that removes them.
void text(json::Writer& out, std::string_view name, std::string_view value, size_t bytes_max) {
  if (!value.empty()) out.member(name, clipped(value, bytes_max));
}

void time(json::Writer& out, std::string_view name, WallMillis value, Times times) {
  if (value != 0 && times == Times::Written) out.member(name, format_time(value));
}

// Required by the schema, so written even where the caller has none.
void condition(json::Writer& out, const Condition& value, Times times) {
  out.begin_object();
  out.member("type", clipped(value.type, 316));
  out.member("status", value.status);
  out.member("reason", value.reason.empty() ? "Unknown" : clipped(value.reason, reason_bytes_max));
  out.member("message", clipped(value.message, condition_message_bytes_max));
  out.member("observedGeneration", value.observed_generation);
  if (times == Times::Written) out.member("lastTransitionTime", format_time(value.last_transition));
  out.end_object();
}

void summary(json::Writer& out, const Summary& value) {
  out.begin_object();
  text(out, "ready", value.ready, 32);
  text(out, "status", value.status, summary_status_bytes_max);
  text(out, "gpu", value.gpu, summary_bytes_max);
  text(out, "pool", value.pool, summary_bytes_max);
  text(out, "headroom", value.headroom, summary_bytes_max);
  text(out, "nodes", value.nodes, long_bytes_max);
  out.end_object();
}

void failure(json::Writer& out, const Failure& value, Times times) {
  out.begin_object();
  text(out, "class", value.failure_class, word_bytes_max);
  text(out, "message", value.message, message_bytes_max);
  time(out, "time", value.time, times);
  text(out, "subject", value.subject, word_bytes_max);
  text(out, "cleared", value.cleared, word_bytes_max);
  out.end_object();
}

void cache(json::Writer& out, const KvStatus& value) {
  out.begin_object();
  if (value.bytes) out.member("bytes", *value.bytes);
  out.member("tokens", value.tokens);
  if (value.concurrency_hundredths)
    out.key("concurrency").number(static_cast<double>(*value.concurrency_hundredths) / 100);
  if (value.peak_percent) out.member("peak", int64_t{*value.peak_percent});
  out.end_object();
}

void recommended(json::Writer& out, const Recommended& value, Times times) {
  out.begin_object();
  if (value.context_length_tokens) out.member("contextLength", *value.context_length_tokens);
  if (value.gpu_fraction_milli) out.key("gpuFraction").number(*value.gpu_fraction_milli / 1000.0);
  if (value.kv_cache_bytes) out.member("kvCache", *value.kv_cache_bytes);
  text(out, "message", value.message, message_bytes_max);
  time(out, "since", value.since, times);
  out.end_object();
}

void tier(json::Writer& out, const TierStatus& value, Times times) {
  out.begin_object();
  out.member("name", clipped(value.name, name_bytes_max));
  text(out, "state", value.state, word_bytes_max);
  text(out, "reason", value.reason, reason_bytes_max);
  text(out, "message", value.message, message_bytes_max);
  time(out, "since", value.since, times);
  text(out, "podName", value.pod_name, name_bytes_max);
  text(out, "node", value.node, name_bytes_max);
  out.member("restarts", value.restarts);
  out.member("consecutiveFailures", value.consecutive_failures);
  if (value.last_failure) {
    out.key("lastFailure");
    failure(out, *value.last_failure, times);
  }
  if (value.context_length_tokens) out.member("contextLength", *value.context_length_tokens);
  if (value.gpu_fraction_milli) out.key("gpuFraction").number(*value.gpu_fraction_milli / 1000.0);
  if (value.bytes) out.member("bytes", *value.bytes);
  if (value.kv) {
    out.key("kv");
    cache(out, *value.kv);
  }
  text(out, "engineVersion", value.engine_version, word_bytes_max);
  if (value.recommended) {
    out.key("recommended");
    recommended(out, *value.recommended, times);
  }
  text(out, "endpoint", value.endpoint, 512);
  out.end_object();
}

void memory(json::Writer& out, const NodeMemory& value) {
  out.begin_object();
  out.member("node", clipped(value.node, name_bytes_max));
  out.member("total", value.total_bytes);
  out.member("gpuTotal", value.gpu_total_bytes);
  out.member("reserved", value.reserved_bytes);
  out.member("planned", value.planned_bytes);
  out.member("held", value.held_bytes);
  out.member("headroom", value.headroom_bytes);
  out.end_object();
}

void learned(json::Writer& out, const Learned& value) {
  out.begin_object();
  out.member("tier", clipped(value.tier, name_bytes_max));
  if (const auto& context = value.context) {
    out.key("context").begin_object();
    out.member("refused", context->refused_tokens);
    out.member("refusals", context->refusals);
    out.member("estimate", context->estimate_tokens);
    text(out, "inputs", context->inputs, word_bytes_max);
    out.end_object();
  }
  if (const auto& engine = value.engine) {
    out.key("engine").begin_object();
    out.member("bytes", engine->bytes);
    text(out, "inputs", engine->inputs, word_bytes_max);
    out.end_object();
  }
  if (const auto& gpu_memory = value.gpu_memory) {
    out.key("gpuMemory").begin_object();
    out.member("total", gpu_memory->total_bytes);
    text(out, "inputs", gpu_memory->inputs, word_bytes_max);
    out.end_object();
  }
  out.end_object();
}

void write_status(json::Writer& out, const StackStatus& status, Times times) {
  out.begin_object();
  out.member("observedGeneration", status.observed_generation);
  out.key("conditions").begin_array();
  for (const auto& entry : status.conditions) condition(out, entry, times);
  out.end_array();
  out.key("summary");
  summary(out, status.summary);
  out.key("tiers").begin_array();
  for (const auto& entry : status.tiers) tier(out, entry, times);
  out.end_array();
  out.key("memory").begin_array();
  for (const auto& entry : status.memory) memory(out, entry);
  out.end_array();
  if (!status.learned.empty()) {
    out.key("learned").begin_array();
    for (const auto& entry : status.learned) learned(out, entry);
    out.end_array();
  }
  out.end_object();
}

}  // namespace

std::string encode_status_apply(const InferenceStack& stack, const StackStatus& status) {
  json::Writer out;
  out.begin_object();
  out.member("apiVersion", names::api_version);
  out.member("kind", names::kind);
  out.key("metadata").begin_object();
  out.member("name", stack.metadata.name);
  out.member("namespace", stack.metadata.namespace_);
  out.member("resourceVersion", stack.metadata.resource_version);
  out.end_object();
  out.key("status");
  write_status(out, status, Times::Written);
  out.end_object();
  return out.take();
}

std::string status_fingerprint(const StackStatus& status) {
  json::Writer out;
  write_status(out, status, Times::LeftOut);
  return out.take();
}

}  // namespace strix::api
