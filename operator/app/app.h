// Why: the composition of the whole operator: what is made from what, started and stopped in which order.
// May not: hold logic that could live in a folder below.
#pragma once

#include "app/options.h"

namespace strix::app {

// Runs until SIGTERM or SIGINT, or until leadership is lost. The exit code of the process: 0 asked to stop,
// 1 lost leadership or something broke on the way, 2 could not start.
int run(const RunOptions& options);

}  // namespace strix::app
