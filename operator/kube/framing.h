// Why: a watch sends one JSON document a line, but the network hands over arbitrary slices of it.
// May not: parse what it frames, hold more than one line, or look at a byte twice.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace strix::kube {

// Owner thread: whoever reads the stream. One per stream; not reused after an error.
class Framing {
 public:
  static constexpr size_t line_bytes_max_default = 16u << 20;

  explicit Framing(size_t line_bytes_max = line_bytes_max_default) : line_bytes_max_(line_bytes_max) {}

  // Hands every line that is complete now to `visit`, without its newline; empty lines are left out. `visit`
  // returns whether it wants more: after false nothing is handed over any more. Errors: Invalid, a line over
  // the bound.
  Status feed(std::string_view bytes, const std::function<bool(std::string_view line)>& visit);

  // Bytes of a line that has not ended: not 0 at the end of a stream means that it broke in the middle.
  size_t pending_bytes() const { return pending_.size(); }

 private:
  // A large line is the exception; its buffer is given back rather than kept for the next small one.
  static constexpr size_t kept_bytes_max = 64u << 10;

  size_t line_bytes_max_;
  std::string pending_;
  bool ended_ = false;
};

}  // namespace strix::kube
