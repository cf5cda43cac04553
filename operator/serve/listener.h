// Why: an HTTP port of the operator's own, for probes and Prometheus. It hides the library that does it,
// which is in maintenance mode, so that it can be replaced.
// May not: let an exception or a second reply through, keep a request's body, or know what is answered.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "serve/endpoints.h"

namespace strix::serve {

// Runs on a thread of the library's pool; must not block. `target` is the path with its query, undecoded.
using Handler = std::function<Reply(std::string_view method, std::string_view target)>;

// Owner thread: the one that opened it, which is main's; it also destroys it.
class Listener {
 public:
  // Plain HTTP on "0.0.0.0" or another IPv4 address. Errors: Unavailable (the port is taken, no such
  // address), Invalid (an IPv6 address). The first call starts the library's pool of two threads, which last
  // as long as the process.
  static Result<std::unique_ptr<Listener>> open(const std::string& address, int port, Handler handler);
  // Closes the port and every connection; when it returns the handler is not running and will not be called.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  class Port;
  explicit Listener(std::unique_ptr<Port> port);
  std::unique_ptr<Port> port_;
};

}  // namespace strix::serve
