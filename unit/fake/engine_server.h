// Why: the prober is tested against a real port that behaves like an engine's: bound but refusing at first,
// then answering, hanging, cutting off, and refusing again.
// May not: wait without a bound, or outlive the test.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace strix::fake {

struct EngineReply {
  int status = 200;
  std::string body = "";
  int delay_millis = 0;
  bool hang = false;  // reads the request and says nothing
  bool cut = false;   // closes in the middle of the body
};

struct EngineRequest {
  std::string method, path, head, body;
};

// Thread-safe. Each connection has a thread and carries one request.
class EngineServer {
 public:
  explicit EngineServer(int family = AF_INET) : family_(family) { bind_port(0); }
  ~EngineServer() { close(); }
  EngineServer(const EngineServer&) = delete;
  EngineServer& operator=(const EngineServer&) = delete;

  int port() const { return port_; }

  void answer(const std::string& path, EngineReply reply) {
    std::lock_guard lock(mutex_);
    replies_[path] = std::move(reply);
  }

  // Bound but not listening: connections are refused, as vLLM's are while it loads.
  void listen() {
    INVARIANT(::listen(listener_, 128) == 0);
    std::lock_guard lock(mutex_);
    closing_ = false;
    accepting_ = std::thread([this] { accept_all(); });
  }

  // Everything ends; connections are refused from here on.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      for (int descriptor : descriptors_) ::shutdown(descriptor, SHUT_RDWR);
    }
    changed_.notify_all();
    ::shutdown(listener_, SHUT_RDWR);
    if (accepting_.joinable()) accepting_.join();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    ::close(listener_);
    listener_ = -1;
  }
  void reopen() {
    bind_port(port_);
    listen();
  }

  std::vector<EngineRequest> seen(const std::string& path) const {
    std::lock_guard lock(mutex_);
    std::vector<EngineRequest> matching;
    for (const auto& request : seen_)
      if (request.path == path) matching.push_back(request);
    return matching;
  }
  int open_connections_max() const {
    std::lock_guard lock(mutex_);
    return open_max_;
  }

 private:
  void bind_port(int port) {
    listener_ = ::socket(family_, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v4.sin_port = htons(static_cast<uint16_t>(port));
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    v6.sin6_port = v4.sin_port;
    bool ipv6 = family_ == AF_INET6;
    auto* address = ipv6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
    socklen_t size = ipv6 ? sizeof(v6) : sizeof(v4);
    bool bound = ::bind(listener_, address, size) == 0;
    INVARIANT(bound);
    ::getsockname(listener_, address, &size);
    port_ = ntohs(ipv6 ? v6.sin6_port : v4.sin_port);
  }

  void accept_all() {
    for (;;) {
      int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      std::lock_guard lock(mutex_);
      if (closing_ || descriptor < 0) {
        if (descriptor >= 0) ::close(descriptor);
        return;
      }
      descriptors_.push_back(descriptor);
      open_max_ = std::max(open_max_, static_cast<int>(descriptors_.size()));
      threads_.emplace_back([this, descriptor] { serve(descriptor); });
    }
  }

  void serve(int descriptor) {
    EngineRequest request;
    if (read_request(descriptor, &request)) reply_to(descriptor, request);
    std::lock_guard lock(mutex_);
    std::erase(descriptors_, descriptor);
    ::close(descriptor);
  }

  bool read_request(int descriptor, EngineRequest* request) {
    std::string text;
    size_t end = std::string::npos;
    size_t length = 0;
    while (end == std::string::npos || text.size() < end + 4 + length) {
      char bytes[4096];
      ssize_t count = ::recv(descriptor, bytes, sizeof(bytes), 0);
      if (count <= 0) return false;
      text.append(bytes, static_cast<size_t>(count));
      end = text.find("\r\n\r\n");
      size_t header = text.find("Content-Length: ");
      if (end != std::string::npos && header < end) length = std::stoul(text.substr(header + 16));
    }
    size_t space = text.find(' ');
    request->method = text.substr(0, space);
    request->path = text.substr(space + 1, text.find(' ', space + 1) - space - 1);
    request->head = text.substr(0, end);
    request->body = text.substr(end + 4);
    return true;
  }

  void reply_to(int descriptor, const EngineRequest& request) {
    EngineReply reply{404, "{}"};
    {
      std::unique_lock lock(mutex_);
      seen_.push_back(request);
      if (auto found = replies_.find(request.path); found != replies_.end()) reply = found->second;
      auto patience = std::chrono::milliseconds(reply.hang ? 600'000 : reply.delay_millis);
      changed_.wait_for(lock, patience, [&] { return closing_; });
      if (closing_ || reply.hang) return;
    }
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) +
                       " Reply\r\nConnection: close\r\nContent-Length: " + std::to_string(reply.body.size()) +
                       "\r\n\r\n" + reply.body;
    if (reply.cut) text.resize(text.size() - reply.body.size() / 2 - 1);
    size_t sent = 0;
    while (sent < text.size()) {
      ssize_t count = ::send(descriptor, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<size_t>(count);
    }
  }

  const int family_;
  int listener_ = -1, port_ = 0;
  std::thread accepting_;
  std::vector<std::thread> threads_;  // touched by the accepting thread, and by close() after it
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool closing_ = true;  // guarded, as all below
  std::map<std::string, EngineReply> replies_;
  std::vector<int> descriptors_;
  int open_max_ = 0;
  std::vector<EngineRequest> seen_;
};

}  // namespace strix::fake
