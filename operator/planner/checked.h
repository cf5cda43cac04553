// Why: footprints are long sums of products of numbers that come from files; one that leaves 64 bits must
// not come out small.
// May not: be kept; the value is taken where the sum ends.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace strix::planner {

class Checked {
 public:
  constexpr Checked(int64_t value) : value_(value) {}
  constexpr Checked(std::optional<int64_t> value) : value_(value) {}
  constexpr Checked(std::nullopt_t) {}

  std::optional<int64_t> value() const { return value_; }

  friend Checked operator+(Checked a, Checked b) {
    return a.value_ && b.value_ ? Checked(checked_add(*a.value_, *b.value_)) : Checked(std::nullopt);
  }
  friend Checked operator*(Checked a, Checked b) {
    return a.value_ && b.value_ ? Checked(checked_multiply(*a.value_, *b.value_)) : Checked(std::nullopt);
  }
  Checked& operator+=(Checked other) { return *this = *this + other; }

 private:
  std::optional<int64_t> value_;
};

// ceil(a / b) for a >= 0 and b > 0.
constexpr int64_t ceil_divide(int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

// The next multiple of `grid`, for a value that has room for it.
constexpr int64_t round_up(int64_t value, int64_t grid) {
  return ceil_divide(value, grid) * grid;
}

// The largest of 0..most for which `fits` holds, where it holds for all below that; `fits(0)` is taken as
// true.
template <typename Fits>
int64_t largest_that(int64_t most, const Fits& fits) {
  int64_t low = 0, high = most < 0 ? 0 : most;
  while (low < high) {
    int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

}  // namespace strix::planner
