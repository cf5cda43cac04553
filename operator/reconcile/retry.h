// Why: a pass asks to be called again for several reasons, and the soonest of them counts.
// May not: know the reasons.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace strix::reconcile {

// In milliseconds; absent: not because of time.
inline void sooner(std::optional<int64_t>& retry, std::optional<int64_t> other) {
  if (other) retry = std::min(retry.value_or(*other), *other);
}

}  // namespace strix::reconcile
