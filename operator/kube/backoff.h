// Why: how long to wait after a failure, decided once for everything in kube/, with time and randomness as
// inputs.
// May not: sleep, or read a clock or a generator.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace strix::kube {

struct BackoffSettings {
  int64_t initial_millis = 800;
  double factor = 2.0;
  double jitter = 1.0;  // a delay is its interval times a number in [1, 1 + jitter)
  int64_t ceiling_millis = 30'000;
  int64_t reset_after_millis =
      120'000;  // this long without a failure, and the next one starts at the beginning
};

// A value; belongs to the machine that holds it.
class Backoff {
 public:
  explicit Backoff(BackoffSettings settings = {}) : settings_(settings) {}

  // The delay after one more failure. `random` is in [0, 1). Never over the ceiling, jitter included.
  int64_t next_millis(BootMillis now, double random);
  void reset() { failures_ = 0; }
  // Failures in a row, as far as they made the next delay longer.
  int failures() const { return failures_; }

 private:
  BackoffSettings settings_;
  int failures_ = 0;
  BootMillis quiet_since_ = 0;  // when the last delay had passed
};

// initial * factor^failures, at most the ceiling; exact for factor 2, and never overflowing.
int64_t exponential_millis(int64_t initial_millis, double factor, int failures, int64_t ceiling_millis);

}  // namespace strix::kube
