// Why: whoever reaches the operator's ports may open connections, and send what they like and as slowly as
// they like. The library behind listener.h knows no limits and ends the process over some requests, so it
// listens on the loopback alone, and what strangers send goes through here first: with TLS or without, with a
// bound on every connection, byte and second.
// May not: block outside poll(), throw, or know what is said.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "serve/connection.h"
#include "serve/identity.h"

struct pollfd;

namespace strix::serve {

struct PortOptions {
  std::string address;  // "0.0.0.0" or another IPv4 address
  int port = 0;
  size_t body_bytes_max = 0;
  std::shared_ptr<const Identity> identity;  // absent: without TLS
  PortLimits limits;
  std::shared_ptr<PortLoad> load = std::make_shared<PortLoad>();
};

// One thread for all connections. Owner: the thread that opened it.
class Port {
 public:
  // Errors: Unavailable (the port is taken, no such address). Connections wait until pass_on_to().
  static Result<std::unique_ptr<Port>> open(PortOptions options);
  void pass_on_to(int loopback_port);
  // Closes every connection. Requests that have come whole get a moment for their answers.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

 private:
  Port(PortOptions options, Descriptor listening, Descriptor wakened);
  void run(const std::stop_token& stop);
  std::vector<pollfd> to_poll() const;
  int wait_millis() const;
  void look_after(const std::vector<pollfd>& polled, bool stopping);
  void accept_some();
  bool make_room();
  void welcome(Descriptor accepted);

  const PortOptions options_;
  const Descriptor wakened_;  // an eventfd
  Descriptor listening_;
  int onto_port_ = 0;
  BootMillis accepts_from_ = 0;  // later than now: accepting failed
  std::list<Connection> connections_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace strix::serve
