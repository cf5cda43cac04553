// Why: numbers and labels out of an engine's Prometheus text.
// May not: take anything for a number that is not finite, or read without a bound.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace strix::engines {

// Calls `take` for each series of exactly this name, in the text's order, with what stands between its
// braces. False: one has a value that is no finite number of at least 0, or the text is larger than 8 MiB
// (vLLM's is about 100 KiB); `take` may have been called for those before it.
bool for_each_series(std::string_view text, std::string_view name,
                     const std::function<void(std::string_view labels, double value)>& take);

// The value of one label, of at most 128 bytes; absent where it is not there, or longer.
std::optional<std::string> label_value(std::string_view labels, std::string_view label);

// The sum over all series of exactly this name; absent when there is none, or as for_each_series says.
std::optional<double> sum_of_series(std::string_view text, std::string_view name);

}  // namespace strix::engines
