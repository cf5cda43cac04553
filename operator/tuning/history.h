// Why: what a tier was used for over hours or days, in a memory that does not grow: intervals are merged into
// at most 96 buckets of the window, and the older ones go.
// May not: judge what it holds.
#pragma once

#include <cstdint>
#include <vector>

#include "tuning/meter.h"

namespace strix::tuning {

// A window, summed up: maxima over it, sums, and in how many intervals something happened at all.
struct Seen {
  int64_t observed_millis = 0;  // in which the engine was asked
  int64_t kv_intervals = 0;     // in which it told how full its cache was
  int kv_used_milli_most = 0;
  int64_t kv_tokens_most = 0, alone_tokens_most = 0, sequence_tokens_most = 0;
  int64_t running_most = 0, waiting_most = 0;
  int64_t requests = 0, preemptions = 0, refused = 0;
  int64_t preempting_intervals = 0, refusing_intervals = 0, short_intervals = 0;
  int64_t prompt_tokens_over = 0, prompt_tokens_most = 0;
  int64_t answer_tokens_over = 0, answer_tokens_most = 0;
  bool operator==(const Seen&) const = default;
};

class History {
 public:
  static constexpr size_t buckets_most = 96;

  // Of at least an hour; a shorter one is taken for an hour.
  explicit History(int64_t window_millis);

  // Intervals may come late and in any order; one from before the window is left out. Each may come once.
  void fold(const Interval& interval);
  // Of the window that ends with the latest interval.
  Seen seen() const;
  size_t buckets() const { return buckets_.size(); }

 private:
  // 72 bytes: numbers that do not fit are cut to what does, but for tokens without a bound, which stay so.
  struct Bucket {
    int64_t number = 0;
    uint32_t kv_tokens_most = 0, alone_tokens_most = 0, sequence_tokens_most = 0;
    uint32_t prompt_tokens_over = 0, prompt_tokens_most = 0, answer_tokens_over = 0, answer_tokens_most = 0;
    uint32_t requests = 0, preemptions = 0, refused = 0;
    uint16_t running_most = 0, waiting_most = 0, kv_used_milli_most = 0;
    uint16_t intervals = 0, kv_intervals = 0, preempting_intervals = 0, refusing_intervals = 0,
             short_intervals = 0;
  };
  Bucket* bucket(int64_t number);
  int64_t first_of_window() const;

  int64_t width_ = 1;            // of a bucket, in intervals
  int64_t count_ = 1;            // of buckets in the window
  std::vector<Bucket> buckets_;  // ascending
};

}  // namespace strix::tuning
