// Why: what clients of the operator's ports do, well-behaved ones (libcurl) and others (sockets).
// May not: be used outside tests.
#pragma once

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "catch.h"

namespace strix::test {

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// A socket of the test's own.
class Socket {
 public:
  Socket() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() { ::close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int hold_a_port() {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin_port);
  }
  void listen() { REQUIRE(::listen(descriptor_, 1) == 0); }
  void connect(int port) {
    sockaddr_in address = loopback(port);
    REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }
  void send(std::string_view text) { (void)!::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL); }
  std::string read_to_end() {
    timeval patience{10, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    std::string text;
    char bytes[4096];
    for (ssize_t count; (count = ::recv(descriptor_, bytes, sizeof(bytes), 0)) > 0;)
      text.append(bytes, static_cast<size_t>(count));
    return text;
  }

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

inline int free_port() {
  Socket socket;
  return socket.hold_a_port();
}

struct Received {
  long status = 0;
  std::string body, headers;
  std::string failure;  // of the connection; empty: there is an answer
};

inline size_t append(char* bytes, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(bytes, size * count);
  return size * count;
}

// What to ask, with which body, and whom to believe: with a CA it is asked over TLS.
struct Question {
  std::string target = "/";
  std::string method = "GET";
  std::string body;
  std::vector<std::string> headers;
  std::string authority;  // PEM
  std::string host = "127.0.0.1";
  long tls_version = CURL_SSLVERSION_DEFAULT;
};

inline Received fetch(int port, const Question& question) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  INVARIANT(initialised == CURLE_OK);  // not a REQUIRE: clients have threads of their own
  Received received;
  CURL* easy = curl_easy_init();
  std::string scheme = question.authority.empty() ? "http://" : "https://";
  std::string url = scheme + question.host + ":" + std::to_string(port) + question.target;
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  for (const auto& header : question.headers) headers = curl_slist_append(headers, header.c_str());
  std::string here = question.host + ":" + std::to_string(port) + ":127.0.0.1";
  curl_slist* resolve = curl_slist_append(nullptr, here.c_str());
  curl_easy_setopt(easy, CURLOPT_RESOLVE, resolve);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question.method.c_str());
  if (!question.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, question.body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(question.body.size()));
  }
  curl_blob authority{const_cast<char*>(question.authority.data()), question.authority.size(),
                      CURL_BLOB_NOCOPY};
  if (!question.authority.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &authority);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, question.tls_version);
  curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, "DEFAULT@SECLEVEL=0");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &received.body);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &received.headers);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  CURLcode code = curl_easy_perform(easy);
  received.failure = code == CURLE_OK ? "" : curl_easy_strerror(code);
  if (code == CURLE_OK) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &received.status);
  curl_slist_free_all(headers);
  curl_slist_free_all(resolve);
  curl_easy_cleanup(easy);
  return received;
}

inline Received fetch(int port, const std::string& target, const std::string& method = "GET",
                      const std::string& body = "", const char* header = nullptr) {
  Question question;
  question.target = target;
  question.method = method;
  question.body = body;
  if (header) question.headers = {header};
  return fetch(port, question);
}

inline int64_t anonymous_kib() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("Anonymous:")) return std::stoll(line.substr(10));
  return 0;
}

}  // namespace strix::test
