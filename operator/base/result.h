// Why: expected failures are values with a kind to switch on, wrapped as they rise.
// May not: carry secrets (an Error's text reaches logs, events and status) or be thrown.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace strix {

// What went wrong, in the terms in which callers decide what to do next.
enum class ErrorKind {
  NotFound,       // HTTP 404, a missing file
  AlreadyExists,  // HTTP 409 with reason AlreadyExists
  Conflict,       // HTTP 409 otherwise: a precondition or a resourceVersion did not hold
  Gone,           // HTTP 410, or an ERROR event with code 410
  Forbidden,      // HTTP 403
  Unauthorized,   // HTTP 401
  Throttled,      // HTTP 429: see retry_after_seconds
  Timeout,        // a deadline of ours passed; the outcome is unknown
  Unreachable,    // no connection, or it broke; the outcome of a write is unknown
  Invalid,        // input that will not get better by itself (HTTP 400, 422; a bad manifest)
  Unavailable,    // HTTP 5xx
  Canceled,       // we are stopping, or lost leadership
  Internal,       // a surprise that is not worth a process
};

std::string_view to_string(ErrorKind kind);

struct [[nodiscard]] Error {
  ErrorKind kind = ErrorKind::Internal;
  std::string text;             // one sentence or fragment, with numbers; no secret
  int retry_after_seconds = 0;  // from the server's Retry-After, 0 when it sent none

  // The same error, told from one level further up: "create pod llm/strix-coder: 403 ...".
  Error wrap(std::string_view context) const {
    return Error{kind, std::string(context) + ": " + text, retry_after_seconds};
  }
};

// Either a T or an Error. Reading the wrong side is a broken invariant.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  const T& value() const& {
    INVARIANT(ok());
    return *std::get_if<0>(&state_);
  }
  T& value() & {
    INVARIANT(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    INVARIANT(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const T* operator->() const { return &value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }

  const Error& error() const {
    INVARIANT(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status success() {
  return Unit{};
}

}  // namespace strix
