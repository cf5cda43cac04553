// Why: the operator's own ports: HTTP for probes and Prometheus, HTTPS for admission reviews. It hides the
// library that does it, which is in maintenance mode, so that it can be replaced, and puts port.h between it
// and whoever asks.
// May not: let an exception or a second reply through, keep a body that is not asked for, or know what is
// answered.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "serve/endpoints.h"
#include "serve/port.h"

namespace strix::serve {

struct Request {
  std::string_view method;
  std::string_view target;  // the path with its query, undecoded
  std::string_view content_type;
  std::string_view body;  // empty where bodies are thrown away
};

// Runs on a thread of the library's pool; must not block. The views are gone when it returns.
using Handler = std::function<Reply(const Request&)>;

struct ListenOptions {
  std::string address;  // "0.0.0.0" or another IPv4 address
  int port = 0;
  size_t body_bytes_max = 0;                      // 0: bodies are short, and thrown away as they come
  std::shared_ptr<const Identity> identity = {};  // absent: plain HTTP
  PortLimits limits = {};
  std::shared_ptr<PortLoad> load = std::make_shared<PortLoad>();
};

// Owner thread: the one that opened it, which is main's; it also destroys it.
class Listener {
 public:
  // Errors: Unavailable (the port is taken, no such address), Invalid (an IPv6 address). The first call
  // starts the library's pool of two threads, which last as long as the process.
  static Result<std::unique_ptr<Listener>> open(const ListenOptions& options, Handler handler);
  // When it returns the port and its connections are closed, the handler is not running and will not be
  // called. The library keeps a port of the loopback until the last listener of the process goes; there
  // this one answers 404.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  class Library;
  Listener(std::unique_ptr<Library> library, std::unique_ptr<Port> port);
  std::unique_ptr<Library> library_;
  std::unique_ptr<Port> port_;  // last: it passes on to the library
};

}  // namespace strix::serve
