#include "engines/metrics_text.h"

#include <charconv>
#include <cmath>

namespace strix::engines {
namespace {

constexpr size_t text_bytes_max = 8u << 20;

bool blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view skip_blanks(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  return text;
}

// What follows {...}; a label's value may hold braces and escaped quotes. Absent: the line breaks off.
std::optional<std::string_view> skip_labels(std::string_view text) {
  bool quoted = false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '}' && !quoted) {
      return text.substr(i + 1);
    }
  }
  return std::nullopt;
}

// A value may be followed by a timestamp.
std::optional<double> read_value(std::string_view text) {
  text = skip_blanks(text);
  std::string_view token = text.substr(0, text.find_first_of(" \t\r"));
  if (!token.empty() && token.front() == '+') token.remove_prefix(1);
  double value = 0;
  auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return std::isfinite(value) && value >= 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<double> sum_of_series(std::string_view text, std::string_view name) {
  if (text.size() > text_bytes_max) return std::nullopt;
  std::optional<double> sum;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = skip_blanks(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.substr(0, name.size()) != name) continue;  // comments begin with #
    std::string_view rest = line.substr(name.size());
    if (rest.empty() || !(blank(rest.front()) || rest.front() == '{')) continue;  // a longer name
    rest = skip_blanks(rest);
    auto after = !rest.empty() && rest.front() == '{' ? skip_labels(rest) : std::optional(rest);
    auto value = after ? read_value(*after) : std::nullopt;
    if (!value) return std::nullopt;
    sum = sum.value_or(0) + *value;
  }
  return sum;
}

}  // namespace strix::engines
