#include "serve/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace strix::serve {

namespace {

constexpr size_t piece_bytes_max = 16 * 1024;
constexpr size_t discarded_bytes_max = 1024 * 1024;

}  // namespace

Connection::Connection(Channel client, const PortLimits& limits, size_t body_bytes_max, int onto_port,
                       PortLoad& load)
    : client_(std::move(client)),
      limits_(limits),
      onto_port_(onto_port),
      load_(load),
      requests_(limits.head_bytes_max, body_bytes_max),
      deadline_(boot_now() + (client_.ready() ? limits.idle_millis : limits.handshake_millis)),
      discarded_bytes_left_(discarded_bytes_max) {}

bool Connection::takes_more() const {
  if (closing_) return ended_;
  auto state = requests_.state();
  return !client_ended_ && !library_deaf_ && ahead_.empty() && to_library_.size() < piece_bytes_max &&
         (state == RequestReader::State::Head || state == RequestReader::State::Body);
}

short Connection::client_events() const {
  int events = takes_more() ? client_.read_events() : 0;
  if (!to_client_.empty()) events |= client_.write_events();
  return static_cast<short>(events);
}

short Connection::library_events() const {
  int events = to_client_.size() < piece_bytes_max && !answer_.whole() ? POLLIN : 0;
  if (!to_library_.empty()) events |= POLLOUT;
  return static_cast<short>(events);
}

// Each round moves bytes, of which a client has only so many before it has to wait for an answer.
bool Connection::advance() {
  bool moved = true;
  while (moved && !over_) {
    moved = moves_in();
    moved = moves_on() || moved;
    moved = moves_back() || moved;
    moved = moves_out() || moved;
  }
  return !over_;
}

// From the client. Once everything is said, what it still sends is thrown away: closed on unread bytes, the
// connection would be reset, and the last words lost.
bool Connection::moves_in() {
  if (over_ || !takes_more()) return false;
  bool was_ready = client_.ready();
  Moved moved = ended_ ? client_.discard(discarded_bytes_left_) : client_.read(ahead_, piece_bytes_max);
  if (!was_ready && client_.ready()) deadline_ = boot_now() + limits_.idle_millis;
  if (ended_) {
    over_ = moved == Moved::Ended;
    return moved == Moved::Some;
  }
  if (moved == Moved::Some) {
    count(ahead_.size());
  } else if (moved == Moved::Ended) {
    client_ended_ = true;
    // A request that breaks off in its body is in the library's hands, which will say so.
    over_ = over_ || requests_.state() == RequestReader::State::Head;
  }
  return moved != Moved::Nothing;
}

void Connection::count(size_t bytes) {
  begin();
  bytes_ += static_cast<int64_t>(bytes);
  over_ = over_ || (load_.bytes += static_cast<int64_t>(bytes)) > limits_.bytes_max;
}

void Connection::begin() {
  if (in_request_) return;
  in_request_ = true;
  await(limits_.request_millis);
}

void Connection::await(int64_t millis) {
  since_ = boot_now();
  deadline_ = since_ + millis;
}

// To the library.
bool Connection::moves_on() {
  if (over_ || closing_) return false;
  pass();
  if (over_ || !library_ || library_deaf_) return false;
  Moved moved = to_library_.empty() ? Moved::Nothing : send(library_.number(), to_library_);
  if (moved == Moved::Ended) {
    library_deaf_ = true;
    std::string().swap(to_library_);
  }
  bool breaks_off = client_ended_ && requests_.state() == RequestReader::State::Body;
  if (breaks_off && to_library_.empty()) {
    ::shutdown(library_.number(), SHUT_WR);
    library_deaf_ = true;
  }
  return moved == Moved::Some;
}

void Connection::pass() {
  if (ahead_.empty() || library_deaf_ || to_library_.size() >= piece_bytes_max) return;
  size_t taken = requests_.take(ahead_, to_library_);
  if (taken == ahead_.size())
    std::string().swap(ahead_);
  else
    ahead_.erase(0, taken);
  if (requests_.state() == RequestReader::State::Refused)
    close_after(refusal_text(requests_.status()));
  else if (!to_library_.empty() && !library_)
    connect();
}

void Connection::connect() {
  library_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  answer_ = AnswerReader(requests_.head_only());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(onto_port_));
  int at_once = 1;
  ::setsockopt(library_.number(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
  // Whether it comes about, the first send() or recv() tells.
  bool begun = ::connect(library_.number(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ||
               errno == EINPROGRESS;
  over_ = over_ || !begun;
}

// From the library.
bool Connection::moves_back() {
  if (over_ || closing_ || !library_ || answer_.whole() || to_client_.size() >= piece_bytes_max) return false;
  std::string came;
  Moved moved = receive(library_.number(), came, piece_bytes_max);
  to_client_.append(came, 0, answer_.take(came));
  if (moved != Moved::Ended) return moved == Moved::Some;
  answer_.end();
  if (!answer_.whole()) close_after(std::exchange(to_client_, {}));
  return true;
}

// To the client.
bool Connection::moves_out() {
  if (over_) return false;
  Moved moved = to_client_.empty() ? Moved::Nothing : client_.write(to_client_);
  over_ = moved == Moved::Ended;
  if (over_ || !to_client_.empty()) return moved == Moved::Some;
  if (closing_ && !ended_) {
    ended_ = true;
    client_.end();
    return true;
  }
  if (closing_ || !answer_.whole()) return moved == Moved::Some;
  finish();
  return true;
}

void Connection::answered() {
  load_.bytes -= bytes_;
  bytes_ = 0;
  in_request_ = false;
}

void Connection::finish() {
  // The library may answer before it has read all: what is left of this request is no beginning of the next.
  bool all_passed = requests_.state() == RequestReader::State::Whole && to_library_.empty() && !library_deaf_;
  bool last = !all_passed || requests_.closes() || answer_.closes() || client_ended_;
  answer_ = AnswerReader();
  if (last) return close_after("");
  library_.reset();
  answered();
  requests_.next();
  await(limits_.idle_millis);
  if (!ahead_.empty()) count(ahead_.size());
}

void Connection::close_after(std::string last_words) {
  closing_ = true;
  to_client_ = std::move(last_words);
  library_.reset();
  std::string().swap(ahead_);
  std::string().swap(to_library_);
  answered();
  await(limits_.linger_millis);
}

}  // namespace strix::serve
