// Why: amounts in sentences and tables are written one way everywhere.
// May not: be parsed back.
#pragma once

#include <cstdint>
#include <string>

#include "planner/footprint.h"

namespace strix::planner {

// "45.5", "0.2": GiB with one decimal, to the nearest. For tables and where the unit stands beside it.
std::string gib_number(int64_t bytes);
// "45.5 GiB"; below a tenth of a GiB "31 MiB".
std::string gib_text(int64_t bytes);
// What is missing, rounded up where that is "0.0", so that nothing is ever 0 short.
std::string short_text(int64_t bytes);

// "weights 27.5 + engine 6.0 + KV 12.0 at 65536 tokens": the parts that count, in GiB.
std::string parts_text(const Footprint& parts, int64_t context_tokens);

}  // namespace strix::planner
