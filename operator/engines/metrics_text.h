// Why: one number out of an engine's Prometheus text, whatever its labels.
// May not: take anything for a number that is not finite, or read without a bound.
#pragma once

#include <optional>
#include <string_view>

namespace strix::engines {

// The sum over all series of exactly this name; absent when there is none, when one has a value that is no
// finite number of at least 0, or when the text is larger than 8 MiB (vLLM's is about 100 KiB).
std::optional<double> sum_of_series(std::string_view text, std::string_view name);

}  // namespace strix::engines
