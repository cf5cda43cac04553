// Why: what the tiers of a stack were used for, between the passes that look at it: the probes tell ten
// minutes at a time, and what comes of it goes into status no more often than that.
// May not: judge, or outlive its process: after a start of the operator it is observed anew.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reconcile/ports.h"
#include "tuning/history.h"

namespace strix::reconcile {

// Owned by one reconciler, for one stack; not thread-safe (one pass a key at a time).
class UsageLog {
 public:
  // Figures of use change in status no more often than this.
  static constexpr int64_t rest_millis = 600'000;

  // Takes what the probes have told since. What was seen of a tier with other settings is forgotten.
  void fold(const api::InferenceStack& stack, const std::vector<Shared<api::Pod>>& pods,
            const std::map<std::string, ProbeReading>& probes);

  std::map<std::string, tuning::Seen> seen() const;  // by tier
  // Something new was seen, and the last time that it was told is long enough ago.
  bool due(BootMillis now) const { return fresh_ && now >= rests_until_; }
  // Absent: there is nothing new to tell, or it is due.
  std::optional<int64_t> due_in_millis(BootMillis now) const;
  void told(BootMillis now);

 private:
  struct Tier {
    std::string settings;  // what its pod was made from, and the window
    std::string uid;
    int64_t folded = -1;  // number of the last interval of that pod
    tuning::History history{0};
  };
  std::map<std::string, Tier> tiers_;
  bool fresh_ = false;
  BootMillis rests_until_ = 0;
};

}  // namespace strix::reconcile
