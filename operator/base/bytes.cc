#include "base/bytes.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace strix {

std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

namespace {

struct Decimal {
  __int128 digits = 0;
  int scale = 0;  // digits / 10^scale
};

struct Multiplier {
  int64_t factor = 1;
  int exponent10 = 0;
};

// Reads "123.45"; at most 18 digits, which covers every quantity that fits int64.
std::optional<Decimal> parse_decimal(std::string_view& text) {
  Decimal decimal;
  int digits = 0;
  bool point = false;
  while (!text.empty()) {
    char c = text.front();
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      if (++digits > 18) return std::nullopt;
      decimal.digits = decimal.digits * 10 + (c - '0');
      if (point) ++decimal.scale;
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  return decimal;
}

std::optional<Multiplier> parse_suffix(std::string_view suffix) {
  static constexpr struct {
    std::string_view name;
    int64_t factor;
    int exponent10;
  } known[] = {{"", 1, 0},
               {"n", 1, -9},
               {"u", 1, -6},
               {"m", 1, -3},
               {"k", 1, 3},
               {"M", 1, 6},
               {"G", 1, 9},
               {"T", 1, 12},
               {"P", 1, 15},
               {"E", 1, 18},
               {"Ki", kib, 0},
               {"Mi", mib, 0},
               {"Gi", gib, 0},
               {"Ti", 1024 * gib, 0},
               {"Pi", kib * 1024 * gib, 0},
               {"Ei", mib * 1024 * gib, 0}};
  for (const auto& entry : known)
    if (entry.name == suffix) return Multiplier{entry.factor, entry.exponent10};
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return std::nullopt;
  suffix.remove_prefix(1);
  int sign = 1;
  if (suffix[0] == '-' || suffix[0] == '+') {
    sign = suffix[0] == '-' ? -1 : 1;
    suffix.remove_prefix(1);
  }
  if (suffix.empty() || suffix.size() > 2) return std::nullopt;
  int exponent = 0;
  for (char c : suffix) {
    if (c < '0' || c > '9') return std::nullopt;
    exponent = exponent * 10 + (c - '0');
  }
  return Multiplier{1, sign * exponent};
}

std::optional<int64_t> parse_scaled(std::string_view text, int extra_exponent10) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  auto decimal = parse_decimal(text);
  if (!decimal) return std::nullopt;
  auto multiplier = parse_suffix(text);
  if (!multiplier) return std::nullopt;
  __int128 value = decimal->digits * multiplier->factor;  // < 2^60 * 2^60: fits
  int exponent = multiplier->exponent10 + extra_exponent10 - decimal->scale;
  constexpr __int128 ceiling = std::numeric_limits<int64_t>::max();
  for (; exponent > 0; --exponent) {
    value *= 10;
    if (value > ceiling * 1000) return std::nullopt;
  }
  for (; exponent < 0; ++exponent) value = value / 10 + (value % 10 != 0 ? 1 : 0);
  if (value > ceiling) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace

std::optional<int64_t> parse_quantity(std::string_view text) {
  return parse_scaled(text, 0);
}
std::optional<int64_t> parse_quantity_milli(std::string_view text) {
  return parse_scaled(text, 3);
}

std::string format_gib(int64_t bytes) {
  return fmt::format("{:.1f}Gi", static_cast<double>(bytes) / static_cast<double>(gib));
}

int fraction_to_milli(double fraction) {
  return static_cast<int>(std::lround(fraction * 1000.0));
}

std::string format_fraction(int64_t milli) {
  std::string text = fmt::format("{}.{:03}", milli / 1000, milli % 1000);
  if (text.back() == '0') text.pop_back();
  return text;
}

}  // namespace strix
