// Why: names from model files go into messages, and a file may hold anything.
// May not: be used where the exact name matters.
#pragma once

#include <string>
#include <string_view>

namespace strix::models {

// At most `most` characters, what is not printable ASCII as '?'.
inline std::string printable(std::string_view text, size_t most = 64) {
  std::string shown(text.substr(0, most));
  for (char& c : shown)
    if (c < 0x20 || c > 0x7e) c = '?';
  if (text.size() > most) shown += "...";
  return shown;
}

}  // namespace strix::models
