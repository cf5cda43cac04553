// Why: names and log texts from outside end up in messages, in status and on terminals. Here they are made
// short, printable and valid UTF-8, which the API server insists on.
// May not: change a text that is fine.
#pragma once

#include <string>
#include <string_view>

namespace strix::api {

// 'text' in single quotes for a message: at most 48 bytes, anything but printable ASCII as '?'.
std::string quoted(std::string_view text);

// At most bytes_max bytes, cut between characters ("..." at the end tells), invalid UTF-8 and control
// characters but newline and tab as '?'.
std::string clipped(std::string_view text, size_t bytes_max);

}  // namespace strix::api
