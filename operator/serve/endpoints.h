// Why: what the operator answers about itself: alive, ready, and its metrics.
// May not: do I/O, know who asks, or answer with anything secret: these paths are open to the cluster.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"

namespace strix::serve {

struct Reply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string allow;  // of a 405
};

// Absent: all is well. Otherwise what is wrong, in a few words.
using Check = std::function<std::optional<std::string>()>;

// Named checks, printed as Kubernetes components print theirs:
//   [+]leader ok
//   [-]informers: not synced
// Thread-safe; checks run on the asking thread and must not block.
class Health {
 public:
  void add(std::string name, Check check);
  // 200 "ok", or 503 with every check. verbose: every check in any case.
  Reply answer(std::string_view endpoint, bool verbose) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, Check>> checks_;
};

// GET of /healthz and /readyz (both with ?verbose) and /metrics. Thread-safe. What it is made of outlives it.
class Endpoints {
 public:
  Endpoints(const Health& alive, const Health& ready, const metrics::Registry& registry)
      : alive_(alive), ready_(ready), registry_(registry) {}

  // `target` is the request's path with its query. Any other path is 404, any other method 405.
  Reply answer(std::string_view method, std::string_view target) const;

 private:
  const Health& alive_;
  const Health& ready_;
  const metrics::Registry& registry_;
};

}  // namespace strix::serve
