// Why: an engine is asked every half minute, and one that lives for weeks would fill any memory: readings are
// condensed into one interval of ten minutes after the other.
// May not: know time but as given, or hold more than two readings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "engines/usage.h"

namespace strix::tuning {

inline constexpr int64_t interval_millis = 600'000;

// One interval of one run of an engine. Maxima of what was read, sums of what was counted.
struct Interval {
  int64_t number = 0;  // its beginning as boot time, in intervals
  int readings = 0;
  bool kv_told = false;  // whether the next three were read at all
  int kv_used_milli_most = 0;
  int64_t kv_tokens_most = 0;        // the same in tokens
  int64_t alone_tokens_most = 0;     // the same while one request ran: what that one took, at least
  int64_t sequence_tokens_most = 0;  // llama-server: since its start
  int64_t running_most = 0, waiting_most = 0;
  bool short_of_kv = false;  // requests waited while the cache was nearly full
  int64_t requests = 0;      // that ended
  int64_t preemptions = 0, refused = 0;
  // Of the longest prompt and the longest answer: more than `over`, at most `most`.
  int64_t prompt_tokens_over = 0, prompt_tokens_most = 0;
  int64_t answer_tokens_over = 0, answer_tokens_most = 0;
  bool operator==(const Interval&) const = default;
};

// So many thousandths of an amount, rounded down; of any amount, without leaving the range.
int64_t share(int64_t amount, int milli);

// Whole cache in use by so many thousandths, and requests waiting: they wait for the cache.
inline constexpr int nearly_full_milli = 900;

class Meter {
 public:
  // `from_start`: the engine was seen starting, so that its counters began at nothing; otherwise the first
  // reading is what they are compared with.
  explicit Meter(bool from_start = false) : from_start_(from_start) {}

  // Takes a reading. Answers with the interval before, when this is the first of a new one. `kv_tokens`: what
  // the whole cache holds; 0: not known.
  std::optional<Interval> take(const engines::Usage& usage, int64_t kv_tokens, BootMillis now);

 private:
  void count(const engines::Usage& usage);

  bool from_start_;
  std::optional<engines::Usage> before_;
  Interval current_;
};

}  // namespace strix::tuning
