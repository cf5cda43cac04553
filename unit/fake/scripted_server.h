// Why: what a client does on a bad network is tested against real sockets that misbehave as told.
// May not: wait without a bound, or outlive the test: its end closes every connection.
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "fake/certificates.h"

namespace strix::fake {

struct Seen {
  int connection = 0;  // 1 is the first
  std::string method, target, body;
  std::map<std::string, std::string> headers;  // names in lower case
};

// What the server shows, and the CA that a client's certificate must come from (empty: none is asked for).
struct ServerTls {
  std::string certificate_pem, key_pem, client_ca_pem;
};

class ScriptedServer;

// One connection. Owner thread: its own.
class Peer {
 public:
  Peer(ScriptedServer& server, int descriptor, SSL_CTX* tls, int number);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send(std::string_view bytes);
  void send_slices(std::string_view bytes, size_t slice_bytes, int pause_millis);
  void reply(int status, std::string_view body, const std::string& headers = "");
  void begin_chunked(int status = 200, const std::string& headers = "");
  void chunk(std::string_view bytes);
  void end_chunked() { send("0\r\n\r\n"); }
  void pause(int millis);          // ends early when the server stops
  bool closed_within(int millis);  // true: the client closed the connection
  void close() { open_ = false; }  // after the script returns
  bool open() const { return open_; }

  bool read_request(Seen* seen);

 private:
  bool handshake(SSL_CTX* tls);
  bool fill();

  ScriptedServer& server_;
  int descriptor_;
  int number_;
  std::unique_ptr<SSL, Freed<SSL_free>> ssl_;
  std::string buffer_;
  bool open_ = true;
};

// A loopback server whose answer to each request is a function. Thread-safe; scripts run on the
// connections' threads.
class ScriptedServer {
 public:
  using Script = std::function<void(Peer&, const Seen&)>;
  explicit ScriptedServer(Script script, std::optional<ServerTls> tls = {});
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  std::string origin() const {
    return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_);
  }
  std::vector<Seen> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  int connections() const {
    std::lock_guard lock(mutex_);
    return connections_;
  }
  // True as soon as that many requests have been read.
  bool saw(size_t requests, int within_millis = 10'000) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(within_millis),
                             [&] { return seen_.size() >= requests; });
  }

 private:
  friend class Peer;
  void accept_all();
  void serve(int descriptor, int number);
  void make_tls(const ServerTls& tls);

  Script script_;
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> tls_;
  int listener_ = -1, stop_event_ = -1, port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // guarded, as all below
  int connections_ = 0;
  std::vector<Seen> seen_;
  std::vector<int> descriptors_;      // of connections that are open
  std::vector<std::thread> threads_;  // touched by the accepting thread, and by the destructor after it
  std::thread accepting_;
};

inline Peer::Peer(ScriptedServer& server, int descriptor, SSL_CTX* tls, int number)
    : server_(server), descriptor_(descriptor), number_(number) {
  if (tls) open_ = handshake(tls);
}

inline Peer::~Peer() {
  if (ssl_) SSL_shutdown(ssl_.get());
}

inline bool Peer::handshake(SSL_CTX* tls) {
  ssl_.reset(SSL_new(tls));
  SSL_set_fd(ssl_.get(), descriptor_);
  return SSL_accept(ssl_.get()) == 1;
}

inline void Peer::send(std::string_view bytes) {
  while (open_ && !bytes.empty()) {
    ssize_t sent = ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                        : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      open_ = false;
      return;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

inline void Peer::send_slices(std::string_view bytes, size_t slice_bytes, int pause_millis) {
  for (size_t at = 0; at < bytes.size() && open_; at += slice_bytes) {
    send(bytes.substr(at, slice_bytes));
    if (pause_millis > 0) pause(pause_millis);
  }
}

inline void Peer::reply(int status, std::string_view body, const std::string& headers) {
  send("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nContent-Length: " + std::to_string(body.size()) +
       "\r\n" + headers + "\r\n" + std::string(body));
}

inline void Peer::begin_chunked(int status, const std::string& headers) {
  send("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nTransfer-Encoding: chunked\r\n" + headers +
       "\r\n");
}

inline void Peer::chunk(std::string_view bytes) {
  char size[32];
  std::snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  send(size + std::string(bytes) + "\r\n");
}

inline void Peer::pause(int millis) {
  std::unique_lock lock(server_.mutex_);
  server_.changed_.wait_for(lock, std::chrono::milliseconds(millis), [&] { return server_.stopping_; });
}

inline bool Peer::closed_within(int millis) {
  pollfd waits{descriptor_, POLLIN | POLLRDHUP, 0};
  if (::poll(&waits, 1, millis) <= 0) return false;
  char byte;
  bool gone =
      ::recv(descriptor_, &byte, 1, MSG_PEEK) <= 0 || (waits.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  if (gone) open_ = false;
  return gone;
}

inline bool Peer::fill() {
  char bytes[4096];
  ssize_t count =
      ssl_ ? SSL_read(ssl_.get(), bytes, sizeof(bytes)) : ::recv(descriptor_, bytes, sizeof(bytes), 0);
  if (count <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(count));
  return buffer_.size() < (64u << 20);
}

inline bool Peer::read_request(Seen* seen) {
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return false;
  }
  std::string head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  size_t space = head.find(' '), second = head.find(' ', space + 1), line = head.find("\r\n");
  seen->connection = number_;
  seen->method = head.substr(0, space);
  seen->target = head.substr(space + 1, second - space - 1);
  for (size_t at = line + 2; at < head.size();) {
    size_t stop = head.find("\r\n", at), colon = head.find(':', at);
    std::string name = head.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    size_t value = head.find_first_not_of(' ', colon + 1);
    seen->headers[name] = head.substr(value, stop - value);
    at = stop + 2;
  }
  size_t length = seen->headers.contains("content-length") ? std::stoul(seen->headers["content-length"]) : 0;
  while (buffer_.size() < length) {
    if (!fill()) return false;
  }
  seen->body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return true;
}

inline ScriptedServer::ScriptedServer(Script script, std::optional<ServerTls> tls)
    : script_(std::move(script)) {
  if (tls) make_tls(*tls);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  INVARIANT(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  INVARIANT(::listen(listener_, 128) == 0);
  socklen_t size = sizeof(address);
  INVARIANT(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  stop_event_ = ::eventfd(0, EFD_CLOEXEC);
  sigset_t broken_pipe, before;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
  accepting_ = std::thread([this] { accept_all(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

inline ScriptedServer::~ScriptedServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (int descriptor : descriptors_) ::shutdown(descriptor, SHUT_RDWR);
  }
  changed_.notify_all();
  uint64_t one = 1;
  INVARIANT(::write(stop_event_, &one, sizeof(one)) == sizeof(one));
  accepting_.join();
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
  ::close(stop_event_);
}

inline void ScriptedServer::make_tls(const ServerTls& tls) {
  auto load = [](const std::string& pem) {
    return Memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  };
  tls_.reset(SSL_CTX_new(TLS_server_method()));
  Certificate certificate(PEM_read_bio_X509(load(tls.certificate_pem).get(), nullptr, nullptr, nullptr));
  Key key(PEM_read_bio_PrivateKey(load(tls.key_pem).get(), nullptr, nullptr, nullptr));
  INVARIANT(SSL_CTX_use_certificate(tls_.get(), certificate.get()) == 1);
  INVARIANT(SSL_CTX_use_PrivateKey(tls_.get(), key.get()) == 1);
  if (tls.client_ca_pem.empty()) return;
  Certificate ca(PEM_read_bio_X509(load(tls.client_ca_pem).get(), nullptr, nullptr, nullptr));
  INVARIANT(X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_.get()), ca.get()) == 1);
  SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

inline void ScriptedServer::accept_all() {
  while (true) {
    pollfd waits[] = {{listener_, POLLIN, 0}, {stop_event_, POLLIN, 0}};
    ::poll(waits, 2, -1);  // the stop event bounds it
    if (waits[1].revents != 0) return;
    int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) continue;
    int number;
    {
      std::lock_guard lock(mutex_);
      number = ++connections_;
      descriptors_.push_back(descriptor);
      if (stopping_) ::shutdown(descriptor, SHUT_RDWR);
    }
    threads_.emplace_back([this, descriptor, number] { serve(descriptor, number); });
  }
}

inline void ScriptedServer::serve(int descriptor, int number) {
  {
    Peer peer(*this, descriptor, tls_.get(), number);
    Seen seen;
    while (peer.open() && peer.read_request(&seen)) {
      {
        std::lock_guard lock(mutex_);
        seen_.push_back(seen);
      }
      changed_.notify_all();
      script_(peer, seen);
      seen = Seen{};
    }
  }
  std::lock_guard lock(mutex_);
  std::erase(descriptors_, descriptor);
  ::close(descriptor);
}

}  // namespace strix::fake
