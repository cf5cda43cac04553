// Why: what becomes of one client of the operator's ports: its requests go to the library one at a time, each
// over a connection of its own, and the answers come back. The library throws away what it has read ahead, so
// that a second request over the same connection could begin anywhere in what a stranger sent.
// May not: block, throw, hold more than a piece of what is on its way, or let a head pass that framing.h has
// not found good.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/time.h"
#include "serve/channel.h"
#include "serve/framing.h"

namespace strix::serve {

struct PortLimits {
  int connections_max = 64;  // one more, and whoever has owed us something for longest makes room
  size_t head_bytes_max = 16 * 1024;
  // Of requests that are not answered yet, all together: who goes over it is cut. More than all connections
  // can hold where bodies are short, so that there strangers do not use it up.
  int64_t bytes_max = 4 << 20;
  int64_t handshake_millis = 5'000;
  int64_t request_millis = 10'000;  // from its first byte to the last of the answer
  int64_t idle_millis = 120'000;    // longer than API servers keep a connection, so that they close it first
  int64_t linger_millis = 1'000;    // in which who is refused may read why
};

// What a port holds. Thread-safe.
struct PortLoad {
  std::atomic<int> connections{0};
  std::atomic<int64_t> bytes{0};  // of requests that are not answered yet
};

// Owner: the port's thread.
class Connection {
 public:
  // The limits and the load outlive it.
  Connection(Channel client, const PortLimits& limits, size_t body_bytes_max, int onto_port, PortLoad& load);
  ~Connection() { answered(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Moves all that can be moved now. False: it is over, and to be closed.
  bool advance();

  // What to poll() for. No library: -1.
  int client() const { return client_.descriptor(); }
  int library() const { return library_.number(); }
  short client_events() const;
  short library_events() const;

  BootMillis deadline() const { return deadline_; }
  // False: its request has come whole, and the answer is still to come.
  bool owes_us() const {
    return closing_ || requests_.state() != RequestReader::State::Whole || answer_.whole();
  }
  BootMillis since() const { return since_; }  // when it came, was answered, or began its request

 private:
  bool takes_more() const;
  bool moves_in();
  bool moves_on();
  bool moves_back();
  bool moves_out();
  void count(size_t bytes);
  void begin();
  void pass();
  void connect();
  void await(int64_t millis);
  void answered();
  void finish();
  void close_after(std::string last_words);

  Channel client_;
  Descriptor library_;  // of the request under way
  const PortLimits& limits_;
  const int onto_port_;
  PortLoad& load_;
  RequestReader requests_;
  AnswerReader answer_;
  std::string ahead_;       // came, and is not looked at yet
  std::string to_library_;  // good, and is not passed on yet
  std::string to_client_;
  int64_t bytes_ = 0;  // since the last answer
  BootMillis since_ = boot_now();
  BootMillis deadline_;
  size_t discarded_bytes_left_;
  bool in_request_ = false;
  bool client_ended_ = false;
  bool library_deaf_ = false;  // it reads no more, but may have answered
  bool closing_ = false;       // to_client_ is the last that is said
  bool ended_ = false;         // and it is said
  bool over_ = false;
};

}  // namespace strix::serve
