#include "reconcile/read_back.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"

namespace strix::reconcile {

namespace {

bool close(int64_t one, int64_t other) {
  int64_t apart = one < other ? other - one : one - other;
  return apart <= std::max(kv_tokens_slack, other / kv_tokens_slack_fraction);
}

std::optional<std::string> context_differs(const TierContext& c, const engines::Report& report) {
  int64_t planned = c.effective.context_tokens;
  if (planned <= 0 || !report.context_length_tokens || *report.context_length_tokens >= planned)
    return std::nullopt;
  return fmt::format(
      "the engine takes at most {} tokens a request, and was started for {}; set contextLength to {} so that "
      "nobody counts on more",
      *report.context_length_tokens, planned, *report.context_length_tokens);
}

std::optional<std::string> slots_differ(const TierContext& c, const engines::Report& report) {
  if (!report.slots || *report.slots == c.tier->max_sequences) return std::nullopt;
  return fmt::format("the engine has {} slots, and was started for {}; set maxSequences to {}", *report.slots,
                     c.tier->max_sequences, *report.slots);
}

std::optional<std::string> cache_differs(const TierContext& c, const engines::Report& report) {
  auto tokens = engines::kv_tokens_at_full_length(report);
  // One that fills its fraction by itself is not wrong about what it found.
  bool fills = c.tier->engine == api::Engine::Vllm && !c.effective.kv_bytes;
  int64_t planned = c.planned && !fills ? c.planned->kv_tokens : 0;
  if (!tokens || planned <= 0 || close(*tokens, planned)) return std::nullopt;
  return fmt::format(
      "its KV cache holds {} tokens, and the plan says {}: {} the memory that one token takes is not what "
      "the "
      "plan counts with. Correct model.facts, or kvCacheType",
      *tokens, planned, *tokens < planned ? "fewer requests run at once;" : "more was taken than needed;");
}

}  // namespace

void read_back(const TierContext& c, api::TierStatus& status) {
  static const engines::Report nothing;
  const engines::Report& report = c.probe ? c.probe->report : nothing;
  status.context_length_tokens = report.context_length_tokens;
  if (auto tokens = engines::kv_tokens_at_full_length(report)) {
    status.kv = api::KvStatus{.bytes = report.kv_bytes,
                              .tokens = *tokens,
                              .concurrency_hundredths = engines::kv_concurrency_hundredths(report),
                              .peak_percent = {}};
    bool as_planned = c.planned && c.planned->kv_tokens > 0 && close(*tokens, c.planned->kv_tokens);
    if (!status.kv->bytes && as_planned && c.planned->footprint.kv_bytes > 0 &&
        c.tier->engine == api::Engine::LlamaCpp)
      status.kv->bytes = c.planned->footprint.kv_bytes;
  }
  status.engine_version = report.version;
  if (!c.last) return;
  if (!status.context_length_tokens) status.context_length_tokens = c.last->context_length_tokens;
  if (!status.kv) status.kv = c.last->kv;
  if (status.engine_version.empty()) status.engine_version = c.last->engine_version;
}

std::optional<Verdict> differs_from_plan(const TierContext& c) {
  if (!c.probe || !c.probe->told) {
    bool stands = c.last && c.last->state == state::ready && c.last->reason == names::reason_engine_differs;
    return stands ? std::optional(Verdict{c.last->reason, c.last->message}) : std::nullopt;
  }
  std::string all;
  for (auto differs : {context_differs, cache_differs, slots_differ})
    if (auto sentence = differs(c, c.probe->report)) all += (all.empty() ? "" : "; ") + *sentence;
  if (all.empty()) return std::nullopt;
  return Verdict{names::reason_engine_differs, std::move(all)};
}

}  // namespace strix::reconcile
