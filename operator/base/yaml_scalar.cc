#include "base/yaml_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>

#include "base/json.h"

namespace strix::yaml {

namespace {

constexpr std::string_view nulls[] = {"", "~", "null", "Null", "NULL"};
constexpr std::string_view truths[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                       "True", "TRUE", "on",  "On",  "ON"};
constexpr std::string_view untruths[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                         "False", "FALSE", "off", "Off", "OFF"};
constexpr std::string_view not_finite[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                           "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};

template <typename List>
bool lists(const List& list, std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The base that a number's prefix tells, as Go's ParseInt does with base 0; the prefix is taken off.
int take_base(std::string_view& digits) {
  if (digits.size() < 2 || digits[0] != '0') return 10;
  char letter = static_cast<char>(digits[1] | 0x20);
  int base = letter == 'x' ? 16 : letter == 'b' ? 2 : letter == 'o' ? 8 : 0;
  digits.remove_prefix(base == 0 ? 1 : 2);
  return base == 0 ? 8 : base;
}

std::optional<std::string> whole_number(std::string_view text) {
  bool negative = text[0] == '-';
  if (text[0] == '-' || text[0] == '+') text.remove_prefix(1);
  std::string_view digits = text;
  int base = take_base(digits);
  uint64_t value = 0;
  auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || end != digits.data() + digits.size()) return std::nullopt;
  if (problem == std::errc::result_out_of_range || (negative && value > (uint64_t{1} << 63))) {
    if (base != 10) return std::nullopt;
    return (negative ? "-" : "") + std::string(digits);  // beyond 64 bits, but a number
  }
  if (problem != std::errc()) return std::nullopt;
  return (negative && value > 0 ? "-" : "") + std::to_string(value);
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool is_decimal(std::string_view text) {
  size_t at = 0, whole = 0, fraction = 0, exponent = 0;
  auto take_digits = [&](size_t* count) {
    for (; at < text.size() && is_digit(text[at]); ++at) ++*count;
  };
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  take_digits(&whole);
  if (at < text.size() && text[at] == '.') {
    ++at;
    take_digits(&fraction);
  }
  if (whole + fraction == 0) return false;
  if (at < text.size() && (text[at] | 0x20) == 'e') {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    take_digits(&exponent);
    if (exponent == 0) return false;
  }
  return at == text.size();
}

std::optional<std::string> decimal(std::string_view text) {
  if (!is_decimal(text)) return std::nullopt;
  if (text[0] == '+') text.remove_prefix(1);
  double value = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  constexpr double exact = 9007199254740992.0;  // 2^53
  if (value == std::trunc(value) && std::fabs(value) < exact)
    return std::to_string(static_cast<int64_t>(value));
  json::Writer writer;
  return writer.number(value).take();
}

}  // namespace

Scalar resolve(std::string_view text) {
  if (lists(nulls, text)) return {ScalarKind::Null, "null"};
  if (lists(truths, text)) return {ScalarKind::Boolean, "true"};
  if (lists(untruths, text)) return {ScalarKind::Boolean, "false"};
  if (lists(not_finite, text)) return {ScalarKind::NotANumber, ""};
  char first = text[0];
  if (first == '.') {
    if (auto number = decimal(text)) return {ScalarKind::Number, *number};
  } else if (is_digit(first) || first == '-' || first == '+') {
    std::string plain(text);
    plain.erase(std::remove(plain.begin(), plain.end(), '_'), plain.end());
    if (auto number = whole_number(plain)) return {ScalarKind::Integer, *number};
    if (auto number = decimal(plain)) return {ScalarKind::Number, *number};
  }
  return {ScalarKind::Text, std::string(text)};
}

}  // namespace strix::yaml
