#include "kube/framing.h"

#include <fmt/format.h>

namespace strix::kube {

Status Framing::feed(std::string_view bytes, const std::function<bool(std::string_view line)>& visit) {
  while (!ended_ && !bytes.empty()) {
    size_t newline = bytes.find('\n');
    std::string_view piece = bytes.substr(0, newline);
    if (pending_.size() + piece.size() > line_bytes_max_) {
      ended_ = true;
      pending_ = {};
      return Error{ErrorKind::Invalid, fmt::format("a line over the limit of {} bytes", line_bytes_max_)};
    }
    if (newline == std::string_view::npos) {
      pending_.append(piece);
      break;
    }
    bytes.remove_prefix(newline + 1);
    // A line that came whole is handed over where it lies.
    std::string joined;
    if (!pending_.empty()) {
      joined.swap(pending_);
      joined.append(piece);
      piece = joined;
    }
    if (!piece.empty() && !visit(piece)) ended_ = true;
    if (joined.capacity() > 0 && joined.capacity() <= kept_bytes_max) {
      joined.clear();
      pending_.swap(joined);
    }
  }
  return success();
}

}  // namespace strix::kube
