// Why: memory is counted in whole bytes and fractions in thousandths, so that sums are exact and an
// overflow is an error rather than a small number.
// May not: hold a double but at the edges (parsing a fraction, printing GiB).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strix {

inline constexpr int64_t kib = 1024;
inline constexpr int64_t mib = 1024 * kib;
inline constexpr int64_t gib = 1024 * mib;

// Sums and products that are absent when they leave int64.
std::optional<int64_t> checked_add(int64_t a, int64_t b);
std::optional<int64_t> checked_multiply(int64_t a, int64_t b);

// A Kubernetes quantity ("128Gi", "1536Mi", "4", "500m", "1e3") in whole units, rounded up as the API
// server does. Absent when it is not a quantity, is negative, or does not fit.
std::optional<int64_t> parse_quantity(std::string_view text);

// Milli-units of a quantity (for CPU): "2" is 2000, "500m" is 500.
std::optional<int64_t> parse_quantity_milli(std::string_view text);

// "45.5Gi": GiB with one decimal, for people. Never parsed back.
std::string format_gib(int64_t bytes);

// A fraction of the GPU's memory, in thousandths (0.35 is 350).
int fraction_to_milli(double fraction);
std::string format_fraction(int64_t milli);  // "0.35"

}  // namespace strix
