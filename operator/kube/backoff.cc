#include "kube/backoff.h"

#include <algorithm>

namespace strix::kube {

int64_t exponential_millis(int64_t initial_millis, double factor, int failures, int64_t ceiling_millis) {
  auto ceiling = static_cast<double>(ceiling_millis);
  auto millis = static_cast<double>(initial_millis);
  for (int i = 0; i < failures && millis < ceiling; ++i) millis *= factor;
  return static_cast<int64_t>(std::min(millis, ceiling));
}

int64_t Backoff::next_millis(BootMillis now, double random) {
  if (now - quiet_since_ >= settings_.reset_after_millis) failures_ = 0;
  // The ceiling leaves room for the jitter: at the ceiling many clients must still not come at once.
  auto ceiling =
      static_cast<int64_t>(static_cast<double>(settings_.ceiling_millis) / (1.0 + settings_.jitter));
  int64_t interval = exponential_millis(settings_.initial_millis, settings_.factor, failures_, ceiling);
  if (interval < ceiling) ++failures_;
  auto delay = static_cast<int64_t>(static_cast<double>(interval) * (1.0 + settings_.jitter * random));
  delay = std::min(delay, settings_.ceiling_millis);
  quiet_since_ = now + delay;
  return delay;
}

}  // namespace strix::kube
