#include "serve/listener.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "catch.h"

using namespace strix;
using namespace strix::serve;

namespace {

sockaddr_in loopback(int port) {
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

 private:
  int descriptor_;
};

int free_port() {
  Socket socket;
  return socket.hold_a_port();
}

struct Received {
  long status = 0;
  std::string body, headers;
};

size_t append(char* bytes, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(bytes, size * count);
  return size * count;
}

Received fetch(int port, const std::string& target, const std::string& method = "GET",
               const std::string& body = "", const char* header = nullptr) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  REQUIRE(initialised == CURLE_OK);
  Received received;
  CURL* easy = curl_easy_init();
  std::string url = "http://127.0.0.1:" + std::to_string(port) + target;
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  if (header) headers = curl_slist_append(headers, header);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  if (!body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &received.body);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &received.headers);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  if (curl_easy_perform(easy) == CURLE_OK) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &received.status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(easy);
  return received;
}

// Says back what was asked.
Reply echo(std::string_view method, std::string_view target) {
  Reply reply;
  reply.body = std::string(method) + " " + std::string(target);
  return reply;
}

std::unique_ptr<Listener> listen(int port, Handler handler = echo) {
  auto listener = Listener::open("127.0.0.1", port, std::move(handler));
  INFO((listener ? "" : listener.error().text));
  REQUIRE(listener.ok());
  return std::move(listener).value();
}

int64_t anonymous_kib() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("Anonymous:")) return std::stoll(line.substr(10));
  return 0;
}

}  // namespace

TEST_CASE("method and target reach the handler as they came, and its reply comes back") {
  int port = free_port();
  auto listener = listen(port, [](auto method, auto target) {
    Reply reply = echo(method, target);
    reply.status = method == "PUT" ? 405 : 200;
    reply.allow = method == "PUT" ? "GET" : "";
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return reply;
  });
  Received get = fetch(port, "/readyz?verbose&a=%2F");
  REQUIRE(get.status == 200);
  REQUIRE(get.body == "GET /readyz?verbose&a=%2F");
  REQUIRE(get.headers.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
          std::string::npos);
  Received put = fetch(port, "/", "PUT", "x");
  REQUIRE(put.status == 405);
  REQUIRE(put.headers.find("Allow: GET\r\n") != std::string::npos);
  for (const char* method : {"POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"})
    REQUIRE(fetch(port, "/x", method).body == std::string(method) + " /x");
}

TEST_CASE("a handler that throws is a 500 without its text, and the next request is answered") {
  int port = free_port();
  auto listener = listen(port, [](auto, auto target) -> Reply {
    if (target == "/bad") throw std::runtime_error("a secret");
    return Reply{};
  });
  Received bad = fetch(port, "/bad");
  REQUIRE(bad.status == 500);
  REQUIRE(bad.body == "internal error\n");
  REQUIRE(fetch(port, "/good").status == 200);
}

TEST_CASE("a long body is refused or thrown away, and is not kept in memory") {
  int port = free_port();
  std::atomic<int> handled{0};
  auto listener = listen(port, [&](auto, auto) {
    ++handled;
    return Reply{};
  });
  std::string body(64u << 20, 'x');
  REQUIRE(fetch(port, "/").status == 200);
  int64_t before = anonymous_kib();
  REQUIRE(fetch(port, "/", "POST", body).status == 413);
  REQUIRE(handled == 1);
  REQUIRE(fetch(port, "/", "POST", body, "Transfer-Encoding: chunked").status == 200);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  REQUIRE(anonymous_kib() - before < 8'192);
#endif
  REQUIRE(before > 0);
}

TEST_CASE("what is no HTTP, and clients that leave at any point, stop nobody") {
  int port = free_port();
  auto listener = listen(port, [](auto, auto) {
    Reply reply;
    reply.body = std::string(4u << 20, 'x');
    return reply;
  });
  for (const char* text : {"", "G", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\r\n\r\n\r\n",
                           "GET / HTTP/9.9\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
                           "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nabc",
                           "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
                           "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                           "GET http://other:1/%zz%00 HTTP/1.1\r\n\r\n", "GET /a b c HTTP/1.1\r\n\r\n",
                           "GET \x01\xff HTTP/1.1\r\nA\r\n\r\n"}) {
    Socket socket;
    socket.connect(port);
    socket.send(text);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  REQUIRE(fetch(port, "/").status == 200);
}

TEST_CASE("a port that is taken is an error, and the same port opens once it is free") {
  int port = 0;
  {
    Socket other;
    port = other.hold_a_port();
    other.listen();
    auto refused = Listener::open("127.0.0.1", port, echo);
    REQUIRE_FALSE(refused.ok());
    REQUIRE(refused.error().kind == ErrorKind::Unavailable);
    REQUIRE(refused.error().text.find("Address already in use") != std::string::npos);
    REQUIRE(refused.error().text.find(std::to_string(port)) != std::string::npos);
  }
  for (int i = 0; i < 3; ++i) {
    auto listener = listen(port);
    REQUIRE(fetch(port, "/").status == 200);
  }
  REQUIRE(fetch(port, "/").status == 0);
}

TEST_CASE("addresses that cannot be listened on are errors") {
  REQUIRE(Listener::open("192.0.2.1", free_port(), echo).error().kind == ErrorKind::Unavailable);
  REQUIRE(Listener::open("::", free_port(), echo).error().kind == ErrorKind::Invalid);
  REQUIRE_FALSE(Listener::open("not a host", free_port(), echo).ok());
}

TEST_CASE("0.0.0.0 answers on every address") {
  int port = free_port();
  auto listener = Listener::open("0.0.0.0", port, echo);
  REQUIRE(listener.ok());
  REQUIRE(fetch(port, "/").status == 200);
}

TEST_CASE(
    "closing does not wait for idle, half-sent or slow connections, and the handler is not called after") {
  int port = free_port();
  auto called = std::make_shared<std::atomic<int>>(0);
  auto listener = listen(port, [called](auto, auto) {
    ++*called;
    return Reply{};
  });
  const char* texts[] = {"", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                         "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc"};
  std::vector<std::unique_ptr<Socket>> sockets;
  for (const char* text : texts) {
    for (int i = 0; i < 5; ++i) {
      sockets.push_back(std::make_unique<Socket>());
      sockets.back()->connect(port);
      sockets.back()->send(text);
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  auto before = std::chrono::steady_clock::now();
  listener.reset();
  REQUIRE(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
  int calls = *called;
  for (auto& socket : sockets) socket->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  REQUIRE(*called == calls);
}

TEST_CASE("many clients at once are all answered") {
  int port = free_port();
  auto listener = listen(port);
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        std::string target = "/metrics?" + std::to_string(j);
        if (fetch(port, target).body == "GET " + target) ++answered;
      }
    });
  }
  for (auto& client : clients) client.join();
  REQUIRE(answered == 400);
}
