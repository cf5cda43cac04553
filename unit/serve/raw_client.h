// Why: strangers do not speak to the operator's ports as libcurl does.
// May not: be used outside tests.
#pragma once

#include <openssl/ssl.h>
#include <sys/time.h>

#include <csignal>
#include <string>
#include <string_view>

#include "serve/client.h"

namespace strix::test {

// Speaks TLS, or none, and whatever it is told, at its own pace.
class RawClient {
 public:
  static constexpr int plain = 0;
  explicit RawClient(int port, int version_max = TLS1_3_VERSION)
      : plain_(version_max == plain), context_(SSL_CTX_new(TLS_client_method())) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL
    if (!plain_) SSL_CTX_set_max_proto_version(context_, version_max);
    ssl_ = SSL_new(context_);
    timeval patience{10, 0};
    ::setsockopt(socket_.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(socket_.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    socket_.connect(port);
    SSL_set_fd(ssl_, socket_.descriptor());
    connected_ = plain_ || SSL_connect(ssl_) == 1;
  }
  ~RawClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  bool send(std::string_view text) {
    int size = static_cast<int>(text.size());
    if (plain_) return ::send(socket_.descriptor(), text.data(), text.size(), MSG_NOSIGNAL) == size;
    return SSL_write(ssl_, text.data(), size) == size;
  }
  void stop_sending() { ::shutdown(socket_.descriptor(), SHUT_WR); }
  bool update_keys() { return SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1; }
  std::string ask(std::string_view text) { return send(text) ? read_answer() : ""; }
  // What is there, up to the end or to a pause of ten seconds.
  std::string read() {
    return read_until([](const std::string&) { return false; });
  }
  // The head and the body of one answer.
  std::string read_answer() {
    return read_until([](const std::string& text) {
      size_t head = text.find("\r\n\r\n"), length = text.find("Content-Length: ");
      return head != std::string::npos && length < head &&
             text.size() >= head + 4 + std::stoul(text.substr(length + 16));
    });
  }

 private:
  template <class Done>
  std::string read_until(Done done) {
    std::string text;
    char bytes[4096];
    while (!done(text)) {
      int count = plain_ ? static_cast<int>(::recv(socket_.descriptor(), bytes, sizeof(bytes), 0))
                         : SSL_read(ssl_, bytes, sizeof(bytes));
      if (count <= 0) break;
      text.append(bytes, static_cast<size_t>(count));
    }
    return text;
  }

  const bool plain_;
  Socket socket_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

}  // namespace strix::test
