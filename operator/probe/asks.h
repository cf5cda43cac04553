// Why: the questions of probe/machine.h as HTTP requests to a pod, and the answers back in its terms.
// May not: do I/O, put an engine's text into a complaint (it could hold a prompt), or show the API key.
#pragma once

#include "base/result.h"
#include "http/loop.h"
#include "probe/machine.h"
#include "reconcile/ports.h"

namespace strix::probe {

http::Request make_request(const reconcile::ProbeTarget& target, const Question& question);

// Error{Timeout} is TimedOut; every other error but one of an answer over its bound is Refused.
Answer read_answer(AskKind kind, const api::Tier& tier, const Result<http::Response>& result);

}  // namespace strix::probe
