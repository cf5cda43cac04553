#include "planner/image_pattern.h"

#include <algorithm>

namespace strix::planner {
namespace {

constexpr size_t pattern_max = 256, image_max = 512;
constexpr std::string_view placeholder = "{version}";

bool digit(char c) {
  return c >= '0' && c <= '9';
}

bool of_a_version(char c) {
  return digit(c) || c == '.' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resumed = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resumed = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resumed;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

ImageName::ImageName(std::string_view image) {
  std::string name(image.substr(0, image_max));
  size_t slash = name.find('/');
  std::string first = name.substr(0, slash);
  bool registry =
      slash != std::string::npos && (first.find_first_of(".:") != std::string::npos || first == "localhost");
  if (!registry) name = (slash == std::string::npos ? "docker.io/library/" : "docker.io/") + name;
  size_t at = name.find('@');
  size_t tag = name.find(':', name.rfind('/', at));
  bool has_tag = tag < at;
  tagged = name.substr(0, at);
  if (!has_tag && at == std::string::npos) tagged += ":latest";
  if (at != std::string::npos) digested = name.substr(0, has_tag ? tag : at) + name.substr(at);
}

std::optional<ImagePattern> ImagePattern::parse(std::string_view text) {
  if (text.empty() || text.size() > pattern_max) return std::nullopt;
  ImagePattern pattern;
  pattern.text_ = text;
  size_t at = text.find(placeholder);
  pattern.has_version_ = at != std::string_view::npos;
  pattern.before_ = text.substr(0, at);
  if (pattern.has_version_) pattern.after_ = text.substr(at + placeholder.size());
  pattern.of_digest_ = text.find('@') != std::string_view::npos;
  bool braces = pattern.before_.find_first_of("{}") != std::string::npos ||
                pattern.after_.find_first_of("{}") != std::string::npos;
  return braces ? std::nullopt : std::optional(pattern);
}

std::optional<std::string> ImagePattern::match(const ImageName& image) const {
  const std::string& name = of_digest_ ? image.digested : image.tagged;
  if (name.empty()) return std::nullopt;
  if (!has_version_) return matches(before_, name) ? std::optional<std::string>("") : std::nullopt;
  // A version is all of the letters, digits and points that begin with a digit.
  for (size_t begin = 1; begin < name.size(); ++begin) {
    if (!digit(name[begin]) || digit(name[begin - 1]) || name[begin - 1] == '.') continue;
    size_t end = begin;
    while (end < name.size() && of_a_version(name[end])) ++end;
    if (matches(before_, std::string_view(name).substr(0, begin)) &&
        matches(after_, std::string_view(name).substr(end)))
      return name.substr(begin, end - begin);
  }
  return std::nullopt;
}

}  // namespace strix::planner
