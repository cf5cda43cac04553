#include "planner/engine_version.h"

#include <algorithm>
#include <charconv>

namespace strix::planner {
namespace {

constexpr size_t numbers_max = 6, text_max = 64, bounds_max = 4;

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// One number from the front of `text`, which loses it.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

// Whether what follows the numbers is known to follow a version, and whether it comes before it.
std::optional<bool> comes_before(std::string_view rest) {
  if (rest.empty() || rest.front() == '+') return false;
  if (rest.front() == '.' || rest.front() == '-') rest.remove_prefix(1);
  if (rest.starts_with("post")) return false;
  for (std::string_view word : {"rc", "dev", "a", "b"})
    if (rest.starts_with(word)) return true;
  return std::nullopt;
}

}  // namespace

std::optional<EngineVersion> EngineVersion::parse(std::string_view text) {
  if (text.size() > text_max) return std::nullopt;
  if (text.size() > 1 && (text.front() == 'v' || text.front() == 'b') && digit(text[1]))
    text.remove_prefix(1);
  EngineVersion version;
  version.text_ = text;
  while (version.numbers_.size() < numbers_max) {
    auto number = text.empty() || !digit(text.front()) ? std::nullopt : take_number(text);
    if (!number) return std::nullopt;
    version.numbers_.push_back(*number);
    if (text.size() < 2 || text.front() != '.' || !digit(text[1])) break;
    text.remove_prefix(1);
  }
  auto before = comes_before(text);
  if (!before) return std::nullopt;
  version.before_ = *before;
  return version;
}

bool EngineVersion::operator<(const EngineVersion& other) const {
  for (size_t i = 0; i < std::max(numbers_.size(), other.numbers_.size()); ++i) {
    int64_t left = i < numbers_.size() ? numbers_[i] : 0;
    int64_t right = i < other.numbers_.size() ? other.numbers_[i] : 0;
    if (left != right) return left < right;
  }
  return before_ && !other.before_;
}

std::optional<VersionRange> VersionRange::parse(std::string_view text) {
  VersionRange range;
  range.text_ = text;
  while (!text.empty()) {
    size_t relation = std::min(text.find_first_not_of("<>="), text.size());
    size_t end = std::min(text.find(' '), text.size());
    std::string found(text.substr(0, relation));
    bool known = found == "<" || found == "<=" || found == ">" || found == ">=" || found == "=";
    auto version = EngineVersion::parse(text.substr(relation, end - std::min(relation, end)));
    if (!known || !version || range.bounds_.size() == bounds_max) return std::nullopt;
    range.bounds_.push_back({found, *version});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (range.bounds_.empty()) return std::nullopt;
  return range;
}

bool VersionRange::holds(const Bound& bound, const EngineVersion& version) {
  if (bound.relation == "<") return version < bound.version;
  if (bound.relation == "<=") return !(bound.version < version);
  if (bound.relation == ">") return bound.version < version;
  if (bound.relation == ">=") return !(version < bound.version);
  return version == bound.version;
}

bool VersionRange::contains(const std::optional<EngineVersion>& version) const {
  return std::all_of(bounds_.begin(), bounds_.end(), [&](const Bound& bound) {
    return version ? holds(bound, *version) : bound.relation.front() == '>';
  });
}

}  // namespace strix::planner
