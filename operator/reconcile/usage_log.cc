#include "reconcile/usage_log.h"

#include <algorithm>

#include "api/names.h"

namespace strix::reconcile {

void UsageLog::fold(const api::InferenceStack& stack, const std::vector<Shared<api::Pod>>& pods,
                    const std::map<std::string, ProbeReading>& probes) {
  const api::Tuning& tuning = stack.spec.tuning;
  if (tuning.mode == api::TuningMode::Off) {
    tiers_.clear();
    fresh_ = false;
    return;
  }
  std::erase_if(tiers_, [&](const auto& entry) {
    return std::none_of(stack.spec.tiers.begin(), stack.spec.tiers.end(),
                        [&](const api::Tier& tier) { return tier.name == entry.first; });
  });
  for (const auto& pod : pods) {
    auto reading = probes.find(pod->metadata.uid);
    if (reading == probes.end() || !reading->second.interval) continue;
    const tuning::Interval& interval = *reading->second.interval;
    auto known = std::find_if(stack.spec.tiers.begin(), stack.spec.tiers.end(), [&](const api::Tier& tier) {
      return stack.metadata.name + "-" + tier.name == pod->metadata.name;
    });
    if (known == stack.spec.tiers.end()) continue;
    Tier& tier = tiers_[known->name];
    std::string settings = std::string(pod->metadata.annotation(names::annotation_template_hash)) + " " +
                           std::to_string(tuning.window_seconds);
    if (tier.settings != settings) tier = {settings, {}, -1, tuning::History(tuning.window_seconds * 1000)};
    if (tier.uid != pod->metadata.uid) tier.folded = -1;
    tier.uid = pod->metadata.uid;
    if (interval.number == tier.folded) continue;
    tier.folded = interval.number;
    tier.history.fold(interval);
    fresh_ = true;
  }
}

std::map<std::string, tuning::Seen> UsageLog::seen() const {
  std::map<std::string, tuning::Seen> all;
  for (const auto& [name, tier] : tiers_) all[name] = tier.history.seen();
  return all;
}

std::optional<int64_t> UsageLog::due_in_millis(BootMillis now) const {
  if (!fresh_ || now >= rests_until_) return std::nullopt;
  return rests_until_ - now;
}

void UsageLog::told(BootMillis now) {
  fresh_ = false;
  rests_until_ = now + rest_millis;
}

}  // namespace strix::reconcile
