// Why: an API server says no by an HTTP status and a Status object; callers want the kind to switch on,
// and a sentence.
// May not: decide whether to try again.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace strix::kube {

// The error that an answer of 300 or more stands for. `body` may be a Status, or anything that a proxy on
// the way wrote. A Retry-After header wins over details.retryAfterSeconds.
Error error_from_answer(int http_status, std::string_view body, int retry_after_seconds);

// The same for a Status in hand: the object of a watch's ERROR event, whose code is the `code` in it.
Error error_from_status(json::Value status);

}  // namespace strix::kube
