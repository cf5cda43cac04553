#include "serve/channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace strix::serve {

namespace {

constexpr size_t piece_bytes = 16 * 1024;  // as much as a TLS record holds

void take_out(std::string& from, size_t count) {
  if (count == from.size())
    std::string().swap(from);
  else
    from.erase(0, count);
}

bool is_for_later() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

void Descriptor::reset() {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

Moved receive(int socket, std::string& into, size_t bytes_max) {
  char bytes[piece_bytes];
  ssize_t count = ::recv(socket, bytes, std::min(bytes_max, sizeof(bytes)), 0);
  if (count < 0) return is_for_later() ? Moved::Nothing : Moved::Ended;
  into.append(bytes, static_cast<size_t>(count));
  return count > 0 ? Moved::Some : Moved::Ended;
}

Moved send(int socket, std::string& from) {
  ssize_t count = ::send(socket, from.data(), from.size(), MSG_NOSIGNAL);
  if (count < 0) return is_for_later() ? Moved::Nothing : Moved::Ended;
  take_out(from, static_cast<size_t>(count));
  return Moved::Some;
}

Moved Channel::outcome(int result, short& events) {
  int error = SSL_get_error(session_.get(), result);
  ERR_clear_error();
  broken_ = error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return Moved::Ended;
  events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
  return Moved::Nothing;
}

Moved Channel::read(std::string& into, size_t bytes_max) {
  if (!session_) return receive(socket_.number(), into, bytes_max);
  if (broken_) return Moved::Ended;
  char bytes[piece_bytes];
  ERR_clear_error();
  int count = SSL_read(session_.get(), bytes, static_cast<int>(std::min(bytes_max, sizeof(bytes))));
  if (count <= 0) return outcome(count, read_events_);
  read_events_ = POLLIN;
  into.append(bytes, static_cast<size_t>(count));
  return Moved::Some;
}

Moved Channel::write(std::string& from) {
  if (!session_) return serve::send(socket_.number(), from);
  if (broken_) return Moved::Ended;
  ERR_clear_error();
  int count = SSL_write(session_.get(), from.data(), static_cast<int>(from.size()));
  if (count <= 0) return outcome(count, write_events_);
  write_events_ = POLLOUT;
  take_out(from, static_cast<size_t>(count));
  return Moved::Some;
}

bool Channel::ready() const {
  return !session_ || SSL_is_init_finished(session_.get());
}

void Channel::end() {
  if (session_ && !broken_ && ready()) SSL_shutdown(session_.get());
  ERR_clear_error();
  ::shutdown(socket_.number(), SHUT_WR);
}

Moved Channel::discard(size_t& bytes_left) {
  std::string thrown_away;
  Moved moved = receive(socket_.number(), thrown_away, bytes_left);
  bytes_left -= thrown_away.size();
  return bytes_left == 0 ? Moved::Ended : moved;
}

}  // namespace strix::serve
