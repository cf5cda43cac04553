// Why: kubeconfigs and Secrets carry their bytes as base64.
// May not: accept anything but the standard alphabet with its padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strix {

// Absent when it is not base64. Line breaks and blanks are skipped, as YAML folds long values.
std::optional<std::string> base64_decode(std::string_view text);

// With padding, without line breaks.
std::string base64_encode(std::string_view bytes);

}  // namespace strix
