// Why: golden files are read by people: indented JSON, one member a line.
// May not: reorder or drop anything.
#pragma once

#include <string>
#include <string_view>

namespace strix::test {

// Of compact JSON.
inline std::string pretty(std::string_view compact) {
  std::string text;
  size_t depth = 0;
  bool quoted = false;
  auto line = [&] { text += '\n' + std::string(2 * depth, ' '); };
  for (size_t i = 0; i < compact.size(); ++i) {
    char c = compact[i];
    if (quoted) {
      text += c;
      if (c == '\\')
        text += compact[++i];
      else if (c == '"')
        quoted = false;
      continue;
    }
    bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
    bool empty = opens && i + 1 < compact.size() && (compact[i + 1] == '}' || compact[i + 1] == ']');
    if (empty) {
      text += c;
      text += compact[++i];
      continue;
    }
    if (closes) {
      --depth;
      line();
    }
    text += c;
    quoted = c == '"';
    if (opens) ++depth;
    if (opens || c == ',') line();
    if (c == ':') text += ' ';
  }
  return text + '\n';
}

}  // namespace strix::test
