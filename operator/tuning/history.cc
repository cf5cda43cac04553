#include "tuning/history.h"

#include <algorithm>
#include <limits>

namespace strix::tuning {

namespace {

constexpr int64_t window_millis_min = 3'600'000;

template <class Small>
Small cut(int64_t value) {
  constexpr int64_t most = std::numeric_limits<Small>::max();
  return static_cast<Small>(std::clamp<int64_t>(value, 0, most));
}

template <class Small>
void most(Small& kept, int64_t value) {
  kept = std::max(kept, cut<Small>(value));
}

template <class Small>
void add(Small& sum, int64_t value) {
  sum = cut<Small>(static_cast<int64_t>(sum) + cut<Small>(value));
}

int64_t tokens(uint32_t kept) {
  return kept == std::numeric_limits<uint32_t>::max() ? engines::unbounded_tokens : int64_t{kept};
}

// The longest of two, each told as more than `over` and at most `most`.
template <class Tokens>
void longer(Tokens& over, Tokens& most, Tokens other_over, Tokens other_most) {
  if (other_most < most) return;
  over = other_most > most ? other_over : std::max(over, other_over);
  most = other_most;
}

}  // namespace

History::History(int64_t window_millis) {
  int64_t intervals = std::max(window_millis, window_millis_min) / interval_millis;
  width_ = (intervals + static_cast<int64_t>(buckets_most) - 1) / static_cast<int64_t>(buckets_most);
  count_ = std::min<int64_t>(intervals / width_, buckets_most);
}

int64_t History::first_of_window() const {
  return buckets_.empty() ? std::numeric_limits<int64_t>::min() : buckets_.back().number - count_ + 1;
}

History::Bucket* History::bucket(int64_t number) {
  if (number < first_of_window()) return nullptr;
  auto at = std::lower_bound(buckets_.begin(), buckets_.end(), number,
                             [](const Bucket& b, int64_t wanted) { return b.number < wanted; });
  if (at == buckets_.end() || at->number != number) {
    at = buckets_.insert(at, Bucket{});
    at->number = number;
  }
  if (at + 1 != buckets_.end()) return &*at;
  std::erase_if(buckets_, [first = first_of_window()](const Bucket& b) { return b.number < first; });
  return &buckets_.back();
}

void History::fold(const Interval& interval) {
  Bucket* b = bucket(interval.number / width_);
  if (!b) return;
  most(b->kv_tokens_most, interval.kv_tokens_most);
  most(b->alone_tokens_most, interval.alone_tokens_most);
  most(b->sequence_tokens_most, interval.sequence_tokens_most);
  most(b->running_most, interval.running_most);
  most(b->waiting_most, interval.waiting_most);
  most(b->kv_used_milli_most, interval.kv_used_milli_most);
  longer(b->prompt_tokens_over, b->prompt_tokens_most, cut<uint32_t>(interval.prompt_tokens_over),
         cut<uint32_t>(interval.prompt_tokens_most));
  longer(b->answer_tokens_over, b->answer_tokens_most, cut<uint32_t>(interval.answer_tokens_over),
         cut<uint32_t>(interval.answer_tokens_most));
  add(b->requests, interval.requests);
  add(b->preemptions, interval.preemptions);
  add(b->refused, interval.refused);
  add(b->intervals, 1);
  add(b->kv_intervals, interval.kv_told ? 1 : 0);
  add(b->preempting_intervals, interval.preemptions > 0 ? 1 : 0);
  add(b->refusing_intervals, interval.refused > 0 ? 1 : 0);
  add(b->short_intervals, interval.short_of_kv ? 1 : 0);
}

Seen History::seen() const {
  Seen seen;
  for (const Bucket& b : buckets_) {
    seen.observed_millis += int64_t{b.intervals} * interval_millis;
    seen.kv_intervals += b.kv_intervals;
    seen.kv_used_milli_most = std::max(seen.kv_used_milli_most, int{b.kv_used_milli_most});
    seen.kv_tokens_most = std::max(seen.kv_tokens_most, tokens(b.kv_tokens_most));
    seen.alone_tokens_most = std::max(seen.alone_tokens_most, tokens(b.alone_tokens_most));
    seen.sequence_tokens_most = std::max(seen.sequence_tokens_most, tokens(b.sequence_tokens_most));
    seen.running_most = std::max(seen.running_most, int64_t{b.running_most});
    seen.waiting_most = std::max(seen.waiting_most, int64_t{b.waiting_most});
    longer(seen.prompt_tokens_over, seen.prompt_tokens_most, tokens(b.prompt_tokens_over),
           tokens(b.prompt_tokens_most));
    longer(seen.answer_tokens_over, seen.answer_tokens_most, tokens(b.answer_tokens_over),
           tokens(b.answer_tokens_most));
    seen.requests += b.requests;
    seen.preemptions += b.preemptions;
    seen.refused += b.refused;
    seen.preempting_intervals += b.preempting_intervals;
    seen.refusing_intervals += b.refusing_intervals;
    seen.short_intervals += b.short_intervals;
  }
  return seen;
}

}  // namespace strix::tuning
