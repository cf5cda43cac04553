#include "api/text.h"

namespace strix::api {

namespace {

bool is_continuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

// The length of the UTF-8 character that starts here; 0 when it is not a valid one (overlong forms,
// surrogates and values above U+10FFFF included).
size_t character_length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if (!is_continuation(byte(i))) return 0;
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

bool is_control(unsigned char byte) {
  return (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
}

constexpr std::string_view ellipsis = "...";

}  // namespace

std::string quoted(std::string_view text) {
  constexpr size_t bytes_max = 48;
  std::string out = "'";
  for (char c : text.substr(0, bytes_max)) out += c >= 0x20 && c < 0x7F ? c : '?';
  if (text.size() > bytes_max) out += ellipsis;
  return out + "'";
}

std::string clipped(std::string_view text, size_t bytes_max) {
  std::string out;
  out.reserve(text.size() < bytes_max ? text.size() : bytes_max);
  bool cut = false;
  while (!text.empty()) {
    size_t length = character_length(text);
    bool replace = length == 0 || is_control(static_cast<unsigned char>(text.front()));
    size_t taken = length == 0 ? 1 : length;
    if (out.size() + (replace ? 1 : taken) > bytes_max) {
      cut = true;
      break;
    }
    if (replace) {
      out += '?';
    } else {
      out += text.substr(0, taken);
    }
    text.remove_prefix(taken);
  }
  if (!cut || bytes_max < ellipsis.size()) return out;
  while (!out.empty() && (out.size() + ellipsis.size() > bytes_max)) {
    while (!out.empty() && is_continuation(static_cast<unsigned char>(out.back()))) out.pop_back();
    if (!out.empty()) out.pop_back();
  }
  return out.append(ellipsis);
}

}  // namespace strix::api
