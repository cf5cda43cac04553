// Why: what the API server refuses for good (a name that is taken, a policy) is told to the author, and tried
// again only now and then: it heals by somebody's doing, not by asking.
// May not: decide what an object's refusal means for its tier.
#pragma once

#include <string>

#include "api/names.h"
#include "base/result.h"
#include "reconcile/window.h"

namespace strix::reconcile {

// What was refused is tried again this often.
inline constexpr int64_t refusal_millis = 30'000;

// Whether the API server has answered, and would answer the same again.
inline bool is_refusal(const Error& error) {
  return error.kind == ErrorKind::Forbidden || error.kind == ErrorKind::Invalid;
}

// `object`: what it refuses, as in "pod/llm/strix-coder".
inline Verdict refused_verdict(const std::string& object, const Error& error) {
  return {names::reason_refused, "the API server refuses " + object + ": " + error.text};
}

}  // namespace strix::reconcile
