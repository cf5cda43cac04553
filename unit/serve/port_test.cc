#include "serve/port.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "catch.h"
#include "serve/client.h"
#include "serve/listener.h"
#include "serve/raw_client.h"

using namespace strix;
using namespace strix::serve;
using namespace strix::test;

namespace {

constexpr size_t body_max = 1u << 20;

struct Issued {
  KeyPair authority, leaf;
};

Issued issue(std::vector<std::string> names = {"127.0.0.1"}) {
  Validity validity{wall_now() - 60'000, wall_now() + 3'600'000};
  Issued made;
  made.authority = make_authority(validity).value();
  made.leaf = make_leaf(made.authority, names, validity).value();
  return made;
}

PortLimits test_limits() {
  return {.connections_max = 16,
          .bytes_max = 4 * body_max,
          .handshake_millis = 10'000,
          .request_millis = 10'000,
          .idle_millis = 10'000};
}

Reply tell(const Request& request) {
  Reply reply;
  reply.body = std::string(request.method) + " " + std::string(request.target) + " " +
               std::string(request.content_type) + " " + std::to_string(request.body.size());
  return reply;
}

// A port with a certificate, as the webhook has it.
struct World {
  Issued issued = issue();
  int port = free_port();
  std::shared_ptr<Identity> identity = std::make_shared<Identity>();
  std::shared_ptr<PortLoad> load = std::make_shared<PortLoad>();
  std::unique_ptr<Listener> listener;

  explicit World(PortLimits limits = test_limits(), Handler handler = tell) {
    REQUIRE(identity->use(issued.leaf).ok());
    auto opened = Listener::open({"127.0.0.1", port, body_max, identity, limits, load}, std::move(handler));
    INFO((opened ? "" : opened.error().text));
    REQUIRE(opened.ok());
    listener = std::move(opened).value();
  }
  Received ask(std::string body = "", std::vector<std::string> headers = {}) {
    Question question;
    question.method = "POST";
    question.body = std::move(body);
    question.headers = std::move(headers);
    question.authority = issued.authority.certificate;
    return fetch(port, question);
  }
  void wait_for_connections(int count) const {
    for (int i = 0; i < 500 && load->connections != count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    REQUIRE(load->connections == count);
  }
};

}  // namespace

TEST_CASE("a client that knows the CA is answered, and its body and content type reach the handler") {
  World world;
  Received received = world.ask(std::string(body_max, 'x'), {"Content-Type: application/json"});
  REQUIRE(received.failure.empty());
  REQUIRE(received.status == 200);
  REQUIRE(received.body == "POST / application/json " + std::to_string(body_max));
  REQUIRE(world.ask().body.ends_with(" 0"));
}

TEST_CASE("a client that knows another CA, or asks for another name, refuses the certificate") {
  World world;
  Question question;
  question.authority = issue().authority.certificate;
  REQUIRE(fetch(world.port, question).failure.find("certificate") != std::string::npos);
  question.authority = world.issued.authority.certificate;
  question.host = "another.name";
  REQUIRE(fetch(world.port, question).failure.find("certificate") != std::string::npos);
}

TEST_CASE("TLS 1.1 is not spoken, 1.2 and 1.3 are") {
  World world;
  Question question;
  question.authority = world.issued.authority.certificate;
  for (long version :
       {CURL_SSLVERSION_TLSv1_2 | long{CURL_SSLVERSION_MAX_TLSv1_2}, long{CURL_SSLVERSION_TLSv1_3}}) {
    question.tls_version = version;
    REQUIRE(fetch(world.port, question).status == 200);
  }
  question.tls_version = CURL_SSLVERSION_TLSv1_1 | long{CURL_SSLVERSION_MAX_TLSv1_1};
  REQUIRE(fetch(world.port, question).status == 0);
}

TEST_CASE("without a certificate connections are closed at once, and with one they are answered") {
  Issued issued = issue();
  int port = free_port();
  auto identity = std::make_shared<Identity>();
  auto listener = Listener::open({"127.0.0.1", port, body_max, identity}, tell);
  REQUIRE(listener.ok());
  Question question;
  question.authority = issued.authority.certificate;
  for (int i = 0; i < 20; ++i) REQUIRE(fetch(port, question).status == 0);
  REQUIRE_FALSE(identity->loaded());
  REQUIRE(identity->use(issued.leaf).ok());
  REQUIRE(identity->loaded());
  REQUIRE(fetch(port, question).status == 200);
}

TEST_CASE("a new certificate is shown to new connections while the port stays open") {
  World world;
  REQUIRE(world.ask().status == 200);
  Issued next = issue();
  REQUIRE(world.identity->use(next.leaf).ok());
  REQUIRE(world.ask().status == 0);
  world.issued = next;
  REQUIRE(world.ask().status == 200);
}

TEST_CASE("what is no certificate with its key is refused, and what was there stays") {
  World world;
  Issued other = issue();
  for (const KeyPair& bad :
       {KeyPair{}, KeyPair{"x", "y"}, KeyPair{world.issued.leaf.certificate, other.leaf.key},
        KeyPair{world.issued.leaf.key, world.issued.leaf.certificate}}) {
    Status used = world.identity->use(bad);
    REQUIRE_FALSE(used.ok());
    REQUIRE(used.error().text == "no certificate in PEM with a key that fits it");
  }
  REQUIRE(world.ask().status == 200);
}

TEST_CASE("over the limit of connections whoever has owed a request for longest makes room") {
  World world;
  std::string request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < test_limits().connections_max; ++i) {
      clients.push_back(std::make_unique<RawClient>(world.port));
      REQUIRE(clients.back()->connected());
    }
    for (int i = 0; i < 10; ++i) {
      REQUIRE(world.ask().status == 200);
      REQUIRE(world.load->connections <= test_limits().connections_max);
    }
    REQUIRE(clients.front()->ask(request).empty());
    REQUIRE(clients.back()->ask(request).starts_with("HTTP/1.1 200"));
  }
  world.wait_for_connections(0);
  REQUIRE(world.ask().status == 200);
  world.listener.reset();
  REQUIRE(world.load->connections == 0);
}

TEST_CASE("who waits for an answer keeps the connection, and is answered, whoever else comes") {
  PortLimits limits = test_limits();
  limits.connections_max = 2;
  std::atomic<bool> may_answer{false};
  World world(limits, [&](const Request& request) {
    for (int i = 0; i < 1'000 && !may_answer; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return tell(request);
  });
  std::string request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  RawClient first(world.port), second(world.port);
  REQUIRE(first.send(request));
  REQUIRE(second.send(request));
  for (int i = 0; i < 500 && world.load->bytes < 2 * static_cast<int64_t>(request.size()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE_FALSE(RawClient(world.port).connected());
  may_answer = true;
  REQUIRE(first.read_answer().starts_with("HTTP/1.1 200"));
  REQUIRE(second.read_answer().starts_with("HTTP/1.1 200"));
}

TEST_CASE("bodies that are too long, or do not say how long they are, are refused and not kept") {
  World world;
  std::atomic<int> handled{0};
  World counting(test_limits(), [&](const Request&) {
    ++handled;
    return Reply{};
  });
  REQUIRE(counting.ask(std::string(body_max + 1, 'x')).status == 413);
  REQUIRE(counting.ask("short", {"Transfer-Encoding: chunked"}).status == 411);
  std::string long_body(64u << 20, 'x');
  int64_t before = anonymous_kib();
  counting.ask(long_body);
  counting.ask(long_body, {"Transfer-Encoding: chunked"});
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  REQUIRE(anonymous_kib() - before < 8'192);
#endif
  REQUIRE(before > 0);
  REQUIRE(handled == 0);
  REQUIRE(counting.ask("x").status == 200);
}

TEST_CASE("a request that does not end is cut, whatever it is made of") {
  auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  auto line = GENERATE(as<std::string>{}, "A: " + std::string(8192, 'x') + "\r\n", std::string(8192, 'x'));
  CAPTURE(version, line.size());
  World world;
  RawClient client(world.port, version);
  REQUIRE(client.connected());
  client.send("POST / HTTP/1.1\r\n");
  int64_t sent = 0;
  while (sent < (64 << 20) && client.send(line)) {
    sent += static_cast<int64_t>(line.size());
    // Answers to this are no answers to the request.
    if (version == TLS1_3_VERSION && sent % (1 << 18) == 0) client.update_keys();
  }
  REQUIRE(sent < (16 << 20));
  world.wait_for_connections(0);
}

TEST_CASE("a request that comes too slowly is cut, one after a long pause is answered") {
  PortLimits limits = test_limits();
  limits.request_millis = 1'000;
  World world(limits);
  RawClient idle(world.port), fresh(world.port), slow(world.port), body(world.port);
  std::string request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
  REQUIRE(idle.ask(request + "abc").starts_with("HTTP/1.1 200"));
  REQUIRE(slow.send("POST / HTT"));
  REQUIRE(body.send(request + "a"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1'400));
  world.wait_for_connections(2);
  REQUIRE(slow.read().find(" 200 ") == std::string::npos);
  REQUIRE(body.read().find(" 200 ") == std::string::npos);
  REQUIRE(idle.ask(request + "abc").starts_with("HTTP/1.1 200"));
  REQUIRE(fresh.ask(request + "abc").starts_with("HTTP/1.1 200"));
}

TEST_CASE("who holds a connection and does nothing, at whatever point, loses it after a while") {
  PortLimits limits = test_limits();
  limits.handshake_millis = limits.request_millis = limits.idle_millis = 3'000;
  World world(limits);
  std::string request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
  Socket silent, half;
  silent.connect(world.port);
  half.connect(world.port);
  half.send({"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9});
  RawClient fresh(world.port), idle(world.port), slow(world.port), body(world.port);
  REQUIRE(idle.ask(request + "abc").starts_with("HTTP/1.1 200"));
  REQUIRE(slow.send("POST / HTT"));
  REQUIRE(body.send(request + "a"));
  world.wait_for_connections(6);
  world.wait_for_connections(0);
  REQUIRE(world.ask().status == 200);
}

TEST_CASE("all that is being received together has a bound; who is over it is cut, and the rest go on") {
  PortLimits limits = test_limits();
  limits.bytes_max = 2 * static_cast<int64_t>(body_max);
  World world(limits);
  std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
  std::string most(999'999, 'x');
  {
    RawClient first(world.port), second(world.port);
    REQUIRE(first.send(head + most));
    REQUIRE(second.send(head + most));
    for (int i = 0; i < 500 && world.load->bytes < 2 * 999'999; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    REQUIRE(world.load->bytes > 2 * 999'999);
    REQUIRE(world.ask(most).status != 200);
    world.wait_for_connections(2);
    REQUIRE(first.send("x"));
    REQUIRE(first.read_answer().starts_with("HTTP/1.1 200"));
  }
  world.wait_for_connections(0);
  REQUIRE(world.ask(most).status == 200);
}

TEST_CASE("a client that stops in the middle of a body is let go") {
  World world;
  RawClient client(world.port);
  REQUIRE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"));
  client.stop_sending();
  REQUIRE(client.read().starts_with("HTTP/1.1 400"));
  world.wait_for_connections(0);
}

TEST_CASE("what is no TLS, and clients that leave in a handshake, stop nobody and are forgotten") {
  World world;
  for (const char* text :
       {"", "G", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        "\x16\x03\x01\xff\xff", "\x15\x03\x01\x00\x02\x02\x28"}) {
    Socket socket;
    socket.connect(world.port);
    socket.send(text);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  REQUIRE(world.ask().status == 200);
  world.wait_for_connections(0);
}

TEST_CASE(
    "probes are answered while strangers hold all of the TLS port, and close() does not wait for them") {
  World world;
  int plain_port = free_port();
  auto plain = Listener::open({"127.0.0.1", plain_port}, tell);
  REQUIRE(plain.ok());
  std::vector<std::unique_ptr<Socket>> silent;
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(std::make_unique<Socket>());
    silent.back()->connect(world.port);
    if (i % 2 == 0) silent.back()->send("\x16\x03\x01\x02\x00");
    slow.push_back(std::make_unique<RawClient>(world.port));
    slow.back()->send(i % 2 == 0 ? "POST / HTTP/1.1\r\nA"
                                 : "POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\nabc");
  }
  for (int i = 0; i < 30; ++i) {
    auto begun = std::chrono::steady_clock::now();
    REQUIRE(fetch(plain_port, "/healthz").status == 200);
    REQUIRE(std::chrono::steady_clock::now() - begun < std::chrono::seconds(1));
    for (auto& client : slow) client->send("b");
  }
  auto begun = std::chrono::steady_clock::now();
  world.listener.reset();
  REQUIRE(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
  REQUIRE(fetch(plain_port, "/healthz").status == 200);
  plain.value().reset();
  world.wait_for_connections(0);
}

TEST_CASE("when the port is closed no handler runs any more, though a body had come for one") {
  auto running = std::make_shared<std::atomic<int>>(0), done = std::make_shared<std::atomic<int>>(0);
  World world(test_limits(), [running, done](const Request&) {
    ++*running;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ++*done;
    return Reply{};
  });
  std::thread client([&] { world.ask("x"); });
  for (int i = 0; i < 500 && *running == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  world.listener.reset();
  REQUIRE(*running == 1);
  REQUIRE(*done == 1);
  client.join();
}
