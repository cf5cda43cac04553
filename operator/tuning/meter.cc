#include "tuning/meter.h"

#include <algorithm>

namespace strix::tuning {

namespace {

using Buckets = std::vector<engines::TokenBucket>;

// A counter that fell has begun anew.
int64_t increase(const std::optional<int64_t>& before, const std::optional<int64_t>& after) {
  if (!after) return 0;
  int64_t from = before && *before <= *after ? *before : 0;
  return *after - from;
}

// Other edges, or a count that fell: another run of the engine.
bool continues(const Buckets& before, const Buckets& after) {
  if (before.size() != after.size()) return false;
  for (size_t i = 0; i < before.size(); ++i)
    if (before[i].tokens_most != after[i].tokens_most || before[i].requests > after[i].requests) return false;
  return true;
}

struct Longest {
  int64_t requests = 0, over = 0, most = 0;
};

// Of the requests that came since.
Longest longest(const Buckets& before, const Buckets& after) {
  Longest found;
  if (after.empty()) return found;
  bool same = continues(before, after);
  int64_t below = 0;  // that came in the buckets before, which have them too
  for (size_t i = 0; i < after.size(); ++i) {
    int64_t came = after[i].requests - (same ? before[i].requests : 0);
    if (came > below) {
      found.over = i == 0 ? 0 : after[i - 1].tokens_most;
      found.most = after[i].tokens_most;
    }
    below = came;
  }
  found.requests = below;
  return found;
}

void widen(const Longest& found, int64_t& over, int64_t& most) {
  if (found.most < most) return;
  most = found.most;
  over = found.over;
}

}  // namespace

int64_t share(int64_t amount, int milli) {
  return amount / 1000 * milli + amount % 1000 * milli / 1000;
}

void Meter::count(const engines::Usage& usage) {
  if (!before_ && !from_start_) return;
  static const engines::Usage nothing;
  const engines::Usage& before = before_ ? *before_ : nothing;
  current_.preemptions += increase(before.preemptions, usage.preemptions);
  current_.refused += increase(before.refused, usage.refused);
  Longest prompts = longest(before.prompts, usage.prompts), answers = longest(before.answers, usage.answers);
  current_.requests += prompts.requests;
  widen(prompts, current_.prompt_tokens_over, current_.prompt_tokens_most);
  widen(answers, current_.answer_tokens_over, current_.answer_tokens_most);
}

std::optional<Interval> Meter::take(const engines::Usage& usage, int64_t kv_tokens, BootMillis now) {
  std::optional<Interval> ended;
  int64_t number = now / interval_millis;
  if (current_.readings > 0 && number != current_.number) ended = current_;
  if (ended || current_.readings == 0) {
    current_ = {};
    current_.number = number;
  }
  ++current_.readings;
  int used = usage.kv_used_milli.value_or(0);
  int64_t tokens = share(kv_tokens, used);
  current_.kv_told = current_.kv_told || usage.kv_used_milli.has_value();
  current_.kv_used_milli_most = std::max(current_.kv_used_milli_most, used);
  current_.kv_tokens_most = std::max(current_.kv_tokens_most, tokens);
  if (usage.load.running == 1) current_.alone_tokens_most = std::max(current_.alone_tokens_most, tokens);
  current_.sequence_tokens_most =
      std::max(current_.sequence_tokens_most, usage.sequence_tokens_most.value_or(0));
  current_.running_most = std::max(current_.running_most, usage.load.running);
  current_.waiting_most = std::max(current_.waiting_most, usage.load.waiting);
  if (usage.load.waiting > 0 && used >= nearly_full_milli) current_.short_of_kv = true;
  count(usage);
  before_ = usage;
  return ended;
}

}  // namespace strix::tuning
