#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "catch.h"
#include "serve/client.h"
#include "serve/listener.h"
#include "serve/raw_client.h"
#include "serve/x509.h"

using namespace strix;
using namespace strix::serve;
using namespace strix::test;

namespace {

constexpr size_t body_max = 1000;
const std::string fatal = "POST /%zz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nxx\r\n";
const std::string good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

Reply tell(const Request& request) {
  Reply reply;
  reply.body = std::string(request.method) + " " + std::string(request.target) + " " +
               std::to_string(request.body.size());
  return reply;
}

std::shared_ptr<Identity> issued() {
  Validity validity{wall_now() - 60'000, wall_now() + 3'600'000};
  KeyPair authority = make_authority(validity).value();
  auto identity = std::make_shared<Identity>();
  REQUIRE(identity->use(make_leaf(authority, {"127.0.0.1"}, validity).value()).ok());
  return identity;
}

// Both ports of the operator, as far as strangers can tell.
struct EitherPort {
  const int version = GENERATE(RawClient::plain, TLS1_2_VERSION, TLS1_3_VERSION);
  const int port = free_port();
  std::shared_ptr<PortLoad> load = std::make_shared<PortLoad>();
  std::atomic<int> handled{0};
  std::unique_ptr<Listener> listener;

  explicit EitherPort(PortLimits limits = {}) {
    auto identity = version == RawClient::plain ? nullptr : issued();
    auto opened =
        Listener::open({"127.0.0.1", port, body_max, identity, limits, load}, [this](const Request& request) {
          ++handled;
          return tell(request);
        });
    REQUIRE(opened.ok());
    listener = std::move(opened).value();
  }
  RawClient client() const { return RawClient(port, version); }
  bool answers() const { return client().ask(good).ends_with("GET /good 0"); }
};

std::string status_of(const std::string& answer) {
  return answer.substr(0, std::string("HTTP/1.1 400").size());
}

}  // namespace

TEST_CASE("a chunk of a negative length ends nothing, on a path that cannot be decoded or on another") {
  EitherPort world;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(status_of(world.client().ask(fatal)) == "HTTP/1.1 400");
    std::string good_path = fatal;
    good_path.replace(good_path.find("/%zz"), 4, "/");
    REQUIRE(status_of(world.client().ask(good_path)) == "HTTP/1.1 411");
  }
  REQUIRE(world.answers());
  REQUIRE(world.handled == 1);
}

TEST_CASE("a head that does not end is refused, and nothing of it is kept") {
  EitherPort world;
  int64_t before = anonymous_kib();
  for (const std::string& part : {"A: " + std::string(8192, 'x') + "\r\n", std::string(8192, 'x')}) {
    RawClient client = world.client();
    client.send("GET / HTTP/1.1\r\n");
    size_t sent = 0;
    while (sent < (64u << 20) && client.send(part)) sent += part.size();
    REQUIRE(sent < (16u << 20));
  }
  RawClient patient = world.client();
  patient.send("GET / HTTP/1.1\r\nA: " + std::string(20'000, 'x'));
  REQUIRE(status_of(patient.read()) == "HTTP/1.1 431");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  REQUIRE(anonymous_kib() - before < 2'048);
#endif
  REQUIRE(before > 0);
  REQUIRE(world.answers());
}

TEST_CASE("huge chunks and huge lengths are refused before a byte of them is kept") {
  EitherPort world;
  int64_t before = anonymous_kib();
  struct Case {
    std::string head;
    std::string status;
  };
  for (const Case& huge : {Case{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", "411"},
                           Case{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n", "411"},
                           Case{"POST /%zz HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "400"},
                           Case{"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "413"},
                           Case{"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", "413"}}) {
    CAPTURE(huge.head);
    RawClient client = world.client();
    REQUIRE(client.send(huge.head));
    client.send(std::string(100'000, 'x'));
    REQUIRE(status_of(client.read()) == "HTTP/1.1 " + huge.status);
    RawClient endless = world.client();
    REQUIRE(endless.send(huge.head));
    std::string part(64 * 1024, 'x');
    for (int i = 0; i < 1024 && endless.send(part);) ++i;
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  REQUIRE(anonymous_kib() - before < 2'048);
#endif
  REQUIRE(before > 0);
  REQUIRE(world.handled == 0);
  REQUIRE(world.answers());
}

TEST_CASE("requests over one connection are answered one after the other, waiting or not") {
  EitherPort world;
  std::string post =
      "POST /post HTTP/1.1\r\nContent-Length: " + std::to_string(fatal.size()) + "\r\n\r\n" + fatal;
  std::string posted = "POST /post " + std::to_string(fatal.size());
  RawClient waiting = world.client();
  for (int i = 0; i < 20; ++i) {
    REQUIRE(waiting.ask(good).ends_with("GET /good 0"));
    REQUIRE(waiting.ask(post).ends_with(posted));
  }
  std::string many;
  for (int i = 0; i < 20; ++i) many += good + post;
  RawClient ahead = world.client();
  REQUIRE(ahead.send(many + "GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"));
  std::string answers = ahead.read();
  size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = answers.find("GET /good 0HTTP/1.1 200", at);
    REQUIRE(at != std::string::npos);
    at = answers.find(posted + "HTTP/1.1 200", at);
    REQUIRE(at != std::string::npos);
  }
  REQUIRE(answers.ends_with("GET /last 0"));
  REQUIRE(world.handled == 81);
}

TEST_CASE("the second request over a connection is looked at as the first was") {
  EitherPort world;
  for (const std::string& first :
       {good, std::string("POST /post HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")}) {
    RawClient client = world.client();
    REQUIRE(client.send(first + fatal));
    std::string answers = client.read();
    REQUIRE(status_of(answers) == "HTTP/1.1 200");
    REQUIRE(answers.find("HTTP/1.1 400 Bad Request\r\n") != std::string::npos);
  }
  REQUIRE(world.answers());
}

TEST_CASE("the answer to HEAD has no body, and another may follow it") {
  EitherPort world;
  RawClient client = world.client();
  REQUIRE(client.send("HEAD /x HTTP/1.1\r\n\r\n" + good + "GET /last HTTP/1.0\r\n\r\n"));
  std::string answers = client.read();
  REQUIRE(answers.find("HEAD /x") == std::string::npos);
  REQUIRE(answers.find("\r\n\r\nHTTP/1.1 200") != std::string::npos);
  REQUIRE(answers.find("GET /good 0HTTP/1.1 200") != std::string::npos);
  REQUIRE(answers.ends_with("GET /last 0"));
}

TEST_CASE("a head that comes slowly is cut when its time is over, though bytes go on coming") {
  PortLimits limits;
  limits.request_millis = 500;
  EitherPort world(limits);
  RawClient dripping = world.client(), stopped = world.client();
  auto begun = std::chrono::steady_clock::now();
  REQUIRE(stopped.send("GET / HTTP/1.1\r\nHost"));
  REQUIRE(dripping.send("GET / HTTP/1.1\r\nA: "));
  for (int i = 0; i < 500 && world.load->connections < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (int i = 0; i < 500 && world.load->connections > 0; ++i) {
    dripping.send("x");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  REQUIRE(world.load->connections == 0);
  auto took = std::chrono::steady_clock::now() - begun;
  REQUIRE(took >= std::chrono::milliseconds(500));
  REQUIRE(took < std::chrono::seconds(5));
  REQUIRE(stopped.read().empty());
  REQUIRE(world.load->bytes == 0);
  REQUIRE(world.answers());
}

TEST_CASE("a probe is answered while strangers hold every connection there is") {
  EitherPort world;
  std::vector<std::unique_ptr<RawClient>> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(std::make_unique<RawClient>(world.port, world.version));
    strangers.back()->send(i % 2 == 0 ? "GET / HT" : "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\na");
  }
  REQUIRE(world.load->connections <= PortLimits().connections_max);
  for (int i = 0; i < 10; ++i) REQUIRE(world.answers());
}
