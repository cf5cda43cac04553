// Why: the operator reads its own status back (counts, times, conditions) after a restart.
// May not: note errors; what cannot be read is as if it had not been written.
#pragma once

#include "api/inference_stack.h"
#include "base/json.h"

namespace strix::api {

StackStatus decode_status(json::Value value);

}  // namespace strix::api
