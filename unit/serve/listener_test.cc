#include "serve/listener.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "catch.h"
#include "serve/client.h"

using namespace strix;
using namespace strix::serve;
using namespace strix::test;

namespace {

// Says back what was asked.
Reply echo(const Request& request) {
  Reply reply;
  reply.body = std::string(request.method) + " " + std::string(request.target);
  return reply;
}

std::unique_ptr<Listener> listen(int port, Handler handler = echo) {
  auto listener = Listener::open({"127.0.0.1", port}, std::move(handler));
  INFO((listener ? "" : listener.error().text));
  REQUIRE(listener.ok());
  return std::move(listener).value();
}

}  // namespace

TEST_CASE("method and target reach the handler as they came, and its reply comes back") {
  int port = free_port();
  auto listener = listen(port, [](const Request& request) {
    Reply reply = echo(request);
    reply.status = request.method == "PUT" ? 405 : 200;
    reply.allow = request.method == "PUT" ? "GET" : "";
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
  auto listener = listen(port, [](const Request& request) -> Reply {
    if (request.target == "/bad") throw std::runtime_error("a secret");
    return Reply{};
  });
  Received bad = fetch(port, "/bad");
  REQUIRE(bad.status == 500);
  REQUIRE(bad.body == "internal error\n");
  REQUIRE(fetch(port, "/good").status == 200);
}

TEST_CASE("a long body is refused, a short one thrown away, and neither is kept in memory") {
  int port = free_port();
  std::atomic<int> handled{0};
  auto listener = listen(port, [&](const Request&) {
    ++handled;
    return Reply{};
  });
  std::string body(64u << 20, 'x');
  REQUIRE(fetch(port, "/").status == 200);
  int64_t before = anonymous_kib();
  REQUIRE(fetch(port, "/", "POST", body).status == 413);
  REQUIRE(handled == 1);
  REQUIRE(fetch(port, "/", "POST", body, "Transfer-Encoding: chunked").status == 411);
  REQUIRE(fetch(port, "/", "POST", std::string(16 * 1024, 'x')).status == 200);
  REQUIRE(handled == 2);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  REQUIRE(anonymous_kib() - before < 8'192);
#endif
  REQUIRE(before > 0);
}

TEST_CASE("a client that stops in the middle of a body is answered and let go") {
  int port = free_port();
  auto listener = listen(port);
  Socket client;
  client.connect(port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
  ::shutdown(client.descriptor(), SHUT_WR);
  auto begun = std::chrono::steady_clock::now();
  REQUIRE(client.read_to_end().find("POST /") != std::string::npos);
  REQUIRE(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
}

TEST_CASE("what is no HTTP, and clients that leave at any point, stop nobody") {
  int port = free_port();
  auto listener = listen(port, [](const Request&) {
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
    auto refused = Listener::open({"127.0.0.1", port}, echo);
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
  REQUIRE(Listener::open({"192.0.2.1", free_port()}, echo).error().kind == ErrorKind::Unavailable);
  REQUIRE(Listener::open({"::", free_port()}, echo).error().kind == ErrorKind::Invalid);
  REQUIRE_FALSE(Listener::open({"not a host", free_port()}, echo).ok());
}

TEST_CASE("0.0.0.0 answers on every address") {
  int port = free_port();
  auto listener = Listener::open({"0.0.0.0", port}, echo);
  REQUIRE(listener.ok());
  REQUIRE(fetch(port, "/").status == 200);
}

TEST_CASE(
    "closing does not wait for idle, half-sent or slow connections, and the handler is not called after") {
  int port = free_port();
  auto called = std::make_shared<std::atomic<int>>(0);
  auto listener = listen(port, [called](const Request&) {
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
