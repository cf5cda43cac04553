#include "serve/port.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace strix::serve {

namespace {

constexpr int backlog = 64;
constexpr int accepted_at_once_max = 16;
constexpr int64_t accept_pause_millis = 100;
constexpr int64_t last_answers_millis = 1'000;
constexpr int stopping_poll_millis = 20;
constexpr int descriptors_of_port = 2, descriptors_of_connection = 2;

Error unavailable(std::string why) {
  return Error{ErrorKind::Unavailable, std::move(why), 0};
}

Result<Descriptor> listen_on(const std::string& address, int port) {
  addrinfo wanted{};
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int resolved = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &wanted, &found);
  if (resolved != 0) return unavailable(::gai_strerror(resolved));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> freed(found, ::freeaddrinfo);
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int again = 1;
  bool listens = socket &&
                 ::setsockopt(socket.number(), SOL_SOCKET, SO_REUSEADDR, &again, sizeof(again)) == 0 &&
                 ::bind(socket.number(), found->ai_addr, found->ai_addrlen) == 0 &&
                 ::listen(socket.number(), backlog) == 0;
  if (!listens) return unavailable(std::strerror(errno));
  return socket;
}

pollfd waits_for(int descriptor, short events) {
  return {events == 0 ? -1 : descriptor, events, 0};
}

}  // namespace

Port::Port(PortOptions options, Descriptor listening, Descriptor wakened)
    : options_(std::move(options)), wakened_(std::move(wakened)), listening_(std::move(listening)) {}

Result<std::unique_ptr<Port>> Port::open(PortOptions options) {
  auto listening = listen_on(options.address, options.port);
  if (!listening) return listening.error();
  Descriptor wakened(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wakened) return unavailable(std::strerror(errno));
  return std::unique_ptr<Port>(
      new Port(std::move(options), std::move(listening).value(), std::move(wakened)));
}

void Port::pass_on_to(int loopback_port) {
  onto_port_ = loopback_port;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are main's
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Port::~Port() {
  thread_.request_stop();
  (void)!::eventfd_write(wakened_.number(), 1);
}

void Port::run(const std::stop_token& stop) {
  BootMillis stops_at = 0;  // 0: it is not to stop
  while (stops_at == 0 || (boot_now() < stops_at && !connections_.empty())) {
    std::vector<pollfd> polled = to_poll();
    ::poll(polled.data(), polled.size(), stops_at == 0 ? wait_millis() : stopping_poll_millis);
    if (stop.stop_requested() && stops_at == 0) {
      stops_at = boot_now() + last_answers_millis;
      listening_.reset();
      eventfd_t count = 0;
      (void)!::eventfd_read(wakened_.number(), &count);
    }
    look_after(polled, stops_at != 0);
    accept_some();
    options_.load->connections = static_cast<int>(connections_.size());
  }
  connections_.clear();
  options_.load->connections = 0;
}

std::vector<pollfd> Port::to_poll() const {
  std::vector<pollfd> polled;
  polled.reserve(descriptors_of_port + descriptors_of_connection * connections_.size());
  polled.push_back({wakened_.number(), POLLIN, 0});
  polled.push_back({boot_now() < accepts_from_ ? -1 : listening_.number(), POLLIN, 0});
  for (const Connection& connection : connections_) {
    // Of the client poll() tells even without an event that it is gone.
    polled.push_back({connection.client(), connection.client_events(), 0});
    polled.push_back(waits_for(connection.library(), connection.library_events()));
  }
  return polled;
}

// Until the first deadline; -1: nothing is waited for but what poll() sees.
int Port::wait_millis() const {
  BootMillis now = boot_now(), first = accepts_from_ > now ? accepts_from_ : INT64_MAX;
  for (const Connection& connection : connections_) first = std::min(first, connection.deadline());
  if (first == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>(first - now + 1, 0, 3'600'000));
}

void Port::look_after(const std::vector<pollfd>& polled, bool stopping) {
  size_t at = descriptors_of_port;
  for (auto connection = connections_.begin(); connection != connections_.end();) {
    short client = polled[at].revents, library = polled[at + 1].revents;
    at += descriptors_of_connection;
    bool stays = (client & (POLLERR | POLLHUP | POLLNVAL)) == 0;
    if (stays && (client != 0 || library != 0)) stays = connection->advance();
    stays = stays && boot_now() <= connection->deadline() && !(stopping && connection->owes_us());
    connection = stays ? std::next(connection) : connections_.erase(connection);
  }
}

void Port::accept_some() {
  if (!listening_ || boot_now() < accepts_from_) return;
  for (int i = 0; i < accepted_at_once_max; ++i) {
    Descriptor accepted(::accept4(listening_.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted) {
      welcome(std::move(accepted));
    } else {
      bool none = errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNABORTED || errno == EINTR;
      if (!none) accepts_from_ = boot_now() + accept_pause_millis;
      return;
    }
  }
}

// Strangers who hold connections and say nothing must not keep a probe out.
bool Port::make_room() {
  if (static_cast<int>(connections_.size()) < options_.limits.connections_max) return true;
  auto goes = connections_.end();
  for (auto other = connections_.begin(); other != connections_.end(); ++other)
    if (other->owes_us() && (goes == connections_.end() || other->since() < goes->since())) goes = other;
  if (goes == connections_.end()) return false;
  connections_.erase(goes);
  return true;
}

void Port::welcome(Descriptor accepted) {
  int at_once = 1;
  ::setsockopt(accepted.number(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
  TlsSession session = options_.identity ? options_.identity->session(accepted.number()) : nullptr;
  if ((options_.identity && !session) || !make_room()) return;
  connections_.emplace_back(Channel(std::move(accepted), std::move(session)), options_.limits,
                            options_.body_bytes_max, onto_port_, *options_.load);
  if (!connections_.back().advance()) connections_.pop_back();
}

}  // namespace strix::serve
