#include "api/validate_checks.h"

namespace strix::api::checks {

namespace {

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

// Lower-case letters, digits and `extra`, which may not stand at either end.
bool is_dns(std::string_view text, std::string_view extra, size_t length_max) {
  if (text.empty() || text.size() > length_max) return false;
  for (char c : text)
    if (!is_lower(c) && !is_digit(c) && extra.find(c) == std::string_view::npos) return false;
  return extra.find(text.front()) == std::string_view::npos &&
         extra.find(text.back()) == std::string_view::npos;
}

bool has_dot_dot(std::string_view path) {
  while (!path.empty()) {
    size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace

bool is_tier_name(std::string_view text) {
  return is_dns(text, "", 30) && is_lower(text.front());
}
bool is_label(std::string_view text) {
  return is_dns(text, "-", 63);
}
bool is_subdomain(std::string_view text) {
  return is_dns(text, "-.", 253);
}

bool is_word(std::string_view text, std::string_view extra, std::string_view first_extra) {
  if (text.empty()) return false;
  if (!is_alphanumeric(text.front()) && first_extra.find(text.front()) == std::string_view::npos)
    return false;
  for (char c : text.substr(1))
    if (!is_alphanumeric(c) && extra.find(c) == std::string_view::npos) return false;
  return true;
}

bool is_label_value(std::string_view text) {
  if (text.empty()) return true;
  return text.size() <= 63 && is_word(text, "-_.") && is_alphanumeric(text.back());
}

bool is_qualified_name(std::string_view text) {
  size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    if (!is_subdomain(text.substr(0, slash))) return false;
    text.remove_prefix(slash + 1);
  }
  return !text.empty() && is_label_value(text);
}

bool is_absolute_path(std::string_view text) {
  if (text.size() < 2 || text.front() != '/') return false;
  return is_word(text.substr(1), "/._@+-", "/._@+-") && !has_dot_dot(text);
}

bool is_image(std::string_view text) {
  return text.size() <= 512 && is_word(text, "._:/@-") && !has_dot_dot(text) &&
         text.find("//") == std::string_view::npos;
}

size_t characters(std::string_view text) {
  size_t count = 0;
  for (char c : text)
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++count;
  return count;
}

}  // namespace strix::api::checks
