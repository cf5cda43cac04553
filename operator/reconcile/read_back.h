// Why: rule 9: status says what the engine reported, not what it was told; and where that is not what the
// plan counts with, it says that, with both numbers.
// May not: ask the engine: it sees what the probes have read.
#pragma once

#include <optional>

#include "reconcile/tier.h"

namespace strix::reconcile {

// Context, KV cache and version of the running engine, into `status`. What has not been asked yet, as after a
// start of the operator, stays as it was told last of the same pod.
void read_back(const TierContext& context, api::TierStatus& status);

// Why a serving tier is not served as it was planned: reason EngineDiffers and a sentence. Absent: it is, or
// nobody knows. Where the engine has not been asked for everything yet, what was found last stands.
std::optional<Verdict> differs_from_plan(const TierContext& context);

// The cache may hold this much more or less than planned before it is told: vLLM rounds to its blocks, whose
// size depends on the platform, and both sides round requests to tokens.
inline constexpr int64_t kv_tokens_slack = 1024;
inline constexpr int64_t kv_tokens_slack_fraction = 50;  // or a fiftieth, if that is more

}  // namespace strix::reconcile
