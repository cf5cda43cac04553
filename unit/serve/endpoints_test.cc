#include "serve/endpoints.h"

#include "catch.h"

using namespace strix;
using namespace strix::serve;

namespace {

struct World {
  Health alive, ready;
  metrics::Registry registry;
  Endpoints endpoints{alive, ready, registry};
  std::optional<std::string> informers;

  World() {
    alive.add("loop", [] { return std::nullopt; });
    ready.add("leader", [] { return std::nullopt; });
    ready.add("informers", [this] { return informers; });
    registry.describe("strix_things_total", "counter", "Things.");
    registry.add("strix_things_total", {{"kind", "a"}});
  }
};

}  // namespace

TEST_CASE("what each path and method answers") {
  struct Case {
    std::string method, target;
    int status;
    std::string body;
  };
  auto c = GENERATE(
      Case{"GET", "/healthz", 200, "ok"}, Case{"GET", "/readyz", 200, "ok"},
      Case{"GET", "/readyz?", 200, "ok"}, Case{"GET", "/readyz?other=verbose", 200, "ok"},
      Case{"GET", "/healthz?verbose", 200, "[+]loop ok\nhealthz check passed\n"},
      Case{"GET", "/readyz?a=b&verbose=true", 200, "[+]leader ok\n[+]informers ok\nreadyz check passed\n"},
      Case{"GET", "/", 404, "not found\n"}, Case{"GET", "", 404, "not found\n"},
      Case{"GET", "/healthz/", 404, "not found\n"}, Case{"GET", "/metricsx", 404, "not found\n"},
      Case{"POST", "/nowhere", 404, "not found\n"}, Case{"POST", "/healthz", 405, "method not allowed\n"},
      Case{"HEAD", "/metrics", 405, "method not allowed\n"},
      Case{"get", "/metrics", 405, "method not allowed\n"});
  CAPTURE(c.method, c.target);
  World world;
  Reply reply = world.endpoints.answer(c.method, c.target);
  REQUIRE(reply.status == c.status);
  REQUIRE(reply.body == c.body);
  REQUIRE(reply.allow == (c.status == 405 ? "GET" : ""));
}

TEST_CASE("a check that fails makes the whole 503 and says what is wrong") {
  World world;
  world.informers = "not synced";
  Reply reply = world.endpoints.answer("GET", "/readyz");
  REQUIRE(reply.status == 503);
  REQUIRE(reply.body == "[+]leader ok\n[-]informers: not synced\nreadyz check failed\n");
  REQUIRE(world.endpoints.answer("GET", "/healthz").status == 200);
  world.informers.reset();
  REQUIRE(world.endpoints.answer("GET", "/readyz").status == 200);
}

TEST_CASE("without checks a process that answers is well") {
  Health none;
  REQUIRE(none.answer("healthz", false).status == 200);
}

TEST_CASE("metrics come in the text format that Prometheus asks for") {
  World world;
  Reply reply = world.endpoints.answer("GET", "/metrics");
  REQUIRE(reply.status == 200);
  REQUIRE(reply.content_type == "text/plain; version=0.0.4; charset=utf-8");
  REQUIRE(reply.body ==
          "# HELP strix_things_total Things.\n# TYPE strix_things_total "
          "counter\nstrix_things_total{kind=\"a\"} 1\n");
}
