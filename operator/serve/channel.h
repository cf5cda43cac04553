// Why: a client's connection reads and writes the same way with TLS and without.
// May not: block, raise SIGPIPE where signals are blocked, or know what is said.
#pragma once

#include <poll.h>

#include <string>

#include "serve/identity.h"

namespace strix::serve {

// Owns a descriptor; -1: none.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;

  void reset();
  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

enum class Moved { Some, Nothing, Ended };  // Nothing: not now. Ended: by the other side, or broken

// Of a socket that does not block. Owner: the port's thread.
Moved receive(int socket, std::string& into, size_t bytes_max);
Moved send(int socket, std::string& from);  // takes out what it sent; an empty one takes no memory

class Channel {
 public:
  Channel(Descriptor socket, TlsSession session)  // no session: without TLS
      : socket_(std::move(socket)), session_(std::move(session)) {}

  Moved read(std::string& into, size_t bytes_max);  // shakes hands, too
  Moved write(std::string& from);
  bool ready() const;                 // hands are shaken
  void end();                         // nothing more is said
  Moved discard(size_t& bytes_left);  // after end(): what still comes, whatever it is

  int descriptor() const { return socket_.number(); }
  // What poll() has to wait for before the call that moved nothing may move something.
  short read_events() const { return read_events_; }
  short write_events() const { return write_events_; }

 private:
  Moved outcome(int result, short& events);

  Descriptor socket_;
  TlsSession session_;  // before socket_ goes
  short read_events_ = POLLIN, write_events_ = POLLOUT;
  bool broken_ = false;
};

}  // namespace strix::serve
