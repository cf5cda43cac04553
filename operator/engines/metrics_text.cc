#include "engines/metrics_text.h"

#include <charconv>
#include <cmath>

namespace strix::engines {
namespace {

constexpr size_t text_bytes_max = 8u << 20;
constexpr size_t label_bytes_max = 128;

bool blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view skip_blanks(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  return text;
}

// Where {...} ends, the closing brace included; a label's value may hold braces and escaped quotes. Absent:
// the line breaks off.
std::optional<size_t> labels_end(std::string_view text) {
  bool quoted = false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '}' && !quoted) {
      return i + 1;
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

bool for_each_series(std::string_view text, std::string_view name,
                     const std::function<void(std::string_view labels, double value)>& take) {
  if (text.size() > text_bytes_max) return false;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = skip_blanks(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.substr(0, name.size()) != name) continue;  // comments begin with #
    std::string_view rest = line.substr(name.size());
    if (rest.empty() || !(blank(rest.front()) || rest.front() == '{')) continue;  // a longer name
    rest = skip_blanks(rest);
    std::string_view labels;
    if (!rest.empty() && rest.front() == '{') {
      auto length = labels_end(rest);
      if (!length) return false;
      labels = rest.substr(1, *length - 2);
      rest = rest.substr(*length);
    }
    auto value = read_value(rest);
    if (!value) return false;
    take(labels, *value);
  }
  return true;
}

std::optional<std::string> label_value(std::string_view labels, std::string_view label) {
  while (!labels.empty()) {
    size_t equals = labels.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    std::string_view name = labels.substr(0, equals);
    while (!name.empty() && (blank(name.front()) || name.front() == ',')) name.remove_prefix(1);
    while (!name.empty() && blank(name.back())) name.remove_suffix(1);
    std::string_view rest = skip_blanks(labels.substr(equals + 1));
    if (rest.empty() || rest.front() != '"') return std::nullopt;
    std::string value;
    size_t i = 1;
    for (; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
      if (value.size() <= label_bytes_max) value += rest[i];
    }
    if (name == label) return value.size() <= label_bytes_max ? std::optional(value) : std::nullopt;
    labels = i < rest.size() ? rest.substr(i + 1) : std::string_view();
  }
  return std::nullopt;
}

std::optional<double> sum_of_series(std::string_view text, std::string_view name) {
  std::optional<double> sum;
  bool read =
      for_each_series(text, name, [&](std::string_view, double value) { sum = sum.value_or(0) + value; });
  return read ? sum : std::nullopt;
}

}  // namespace strix::engines
