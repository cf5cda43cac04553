#include "http/loop.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <atomic>
#include <future>

#include "base/log.h"
#include "catch.h"
#include "fake/scripted_server.h"
#include "http/transfer.h"

using namespace strix;
using namespace strix::http;
using strix::fake::Peer;
using strix::fake::ScriptedServer;
using strix::fake::Seen;

namespace {

const bool curl_is_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;

constexpr auto patience = std::chrono::seconds(10);

Request get(const std::string& url) {
  Request request;
  request.url = url;
  request.deadline_millis = 5'000;
  return request;
}

// A callback's result that a test waits for, and how often it was called.
struct Awaited {
  std::promise<Result<Response>> promise;
  std::future<Result<Response>> future = promise.get_future();
  std::atomic<int> calls{0};

  std::function<void(Result<Response>)> callback() {
    return [this](Result<Response> result) {
      if (++calls == 1) promise.set_value(std::move(result));
    };
  }
  Result<Response> result() {
    if (future.wait_for(patience) != std::future_status::ready)
      return Error{ErrorKind::Internal, "never called"};
    return future.get();
  }
};

// What a stream did, in the order of its callbacks.
struct Followed {
  std::mutex mutex;
  std::condition_variable changed;
  int opened = 0, ended = 0;
  std::string bytes;
  std::optional<Result<Response>> end;

  StreamEvents events() {
    return {[this](int status) { note([&] { opened = status; }); },
            [this](std::string_view slice) { note([&] { bytes += slice; }); },
            [this](Result<Response> result) {
              note([&] {
                ++ended;
                end.emplace(std::move(result));
              });
            }};
  }
  template <typename Change>
  void note(Change change) {
    std::lock_guard lock(mutex);
    change();
    changed.notify_all();
  }
  template <typename Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, condition);
  }
  bool wait_end() {
    return wait([this] { return ended > 0; });
  }
};

void echo(Peer& peer, const Seen& seen) {
  peer.reply(200, seen.method + " " + seen.target + " " + seen.body);
}

// A port on which nothing listens.
int closed_port() {
  ScriptedServer server(echo);
  return server.port();
}

// A server that serves no second request until the first was `released`.
void wait_for_all_posted(Loop& loop) {
  std::promise<void> ran;
  auto future = ran.get_future();
  loop.post([&] { ran.set_value(); });
  REQUIRE(future.wait_for(patience) == std::future_status::ready);
}

}  // namespace

TEST_CASE("a Retry-After in seconds is read, and a date or nonsense is no wait") {
  CHECK(parse_retry_after(" 7 ") == 7);
  CHECK(parse_retry_after("0") == 0);
  CHECK(parse_retry_after("99999999999999999999999") == 24 * 3600);
  CHECK(parse_retry_after("Wed, 21 Oct 2026 07:28:00 GMT") == 0);
  CHECK(parse_retry_after("-3") == 0);
  CHECK(parse_retry_after("") == 0);
}

TEST_CASE("a request brings back status and body, and what was sent arrives") {
  REQUIRE(curl_is_ready);
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    peer.reply(seen.method == "POST" ? 201 : 200, seen.method + seen.target + seen.body);
  });
  Loop loop;
  Request request = get(server.origin() + "/a%2Fb?c=d");
  CHECK(loop.perform(request)->body == "GET/a%2Fb?c=d");
  request.headers = {{"X-One", "1"}, {"Content-Type", "application/json"}};
  for (std::string method : {"POST", "PUT", "PATCH", "DELETE"}) {
    request.method = method;
    request.body = "{}";
    auto result = loop.perform(request);
    REQUIRE(result.ok());
    CHECK(result->status == (method == "POST" ? 201 : 200));
    CHECK(result->body == method + "/a%2Fb?c=d{}");
  }
  auto seen = server.seen();
  CHECK(seen[1].headers["x-one"] == "1");
  CHECK(seen[1].headers["content-type"] == "application/json");
  CHECK(server.connections() == 1);
}

TEST_CASE(
    "a body is not announced as a form, does not wait for 100 Continue, and an empty one has length 0") {
  ScriptedServer server(echo);
  Loop loop;
  Request request = get(server.origin());
  request.method = "POST";
  REQUIRE(loop.perform(request).ok());
  request.body.assign(3u << 20, 'x');
  REQUIRE(loop.perform(request).ok());
  auto seen = server.seen();
  CHECK(seen[0].headers["content-length"] == "0");
  CHECK(seen[1].body.size() == 3u << 20);
  CHECK_FALSE(seen[1].headers.contains("expect"));
  CHECK_FALSE(seen[1].headers.contains("content-type"));
}

TEST_CASE("HEAD and DELETE without a body, 204 and 304 end without one") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.method == "HEAD") return peer.send("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    peer.send(seen.method == "DELETE" ? "HTTP/1.1 204 No Content\r\n\r\n"
                                      : "HTTP/1.1 304 Not Modified\r\n\r\n");
  });
  Loop loop;
  Request request = get(server.origin());
  CHECK(loop.perform(request)->status == 304);
  for (std::string method : {"HEAD", "DELETE"}) {
    request.method = method;
    auto result = loop.perform(request);
    REQUIRE(result.ok());
    CHECK(result->body.empty());
  }
}

TEST_CASE("an HTTP error is an answer, with its body and its Retry-After") {
  ScriptedServer server([](Peer& peer, const Seen&) { peer.reply(429, "slow down", "retry-after: 3\r\n"); });
  Loop loop;
  auto result = loop.perform(get(server.origin()));
  REQUIRE(result.ok());
  CHECK(result->status == 429);
  CHECK(result->body == "slow down");
  CHECK(result->retry_after_seconds == 3);
}

TEST_CASE("a redirect is an answer and is not followed") {
  ScriptedServer server([](Peer& peer, const Seen&) { peer.reply(302, "", "Location: /elsewhere\r\n"); });
  Loop loop;
  CHECK(loop.perform(get(server.origin()))->status == 302);
  CHECK(server.seen().size() == 1);
}

TEST_CASE("an interim answer is not taken for the answer") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    peer.reply(200, "body");
  });
  Loop loop;
  CHECK(loop.perform(get(server.origin()))->body == "body");
  Followed followed;
  loop.open_stream(get(server.origin()), followed.events());
  REQUIRE(followed.wait_end());
  CHECK(followed.opened == 200);
  CHECK(followed.bytes == "body");
}

TEST_CASE("a refused connection is Unreachable, and reads the same each time") {
  int port = closed_port();
  Loop loop;
  auto first = loop.perform(get(fmt::format("http://127.0.0.1:{}/", port)));
  auto second = loop.perform(get(fmt::format("http://127.0.0.1:{}/", port)));
  REQUIRE_FALSE(first.ok());
  CHECK(first.error().kind == ErrorKind::Unreachable);
  CHECK(first.error().text == fmt::format("http://127.0.0.1:{}: Connection refused", port));
  CHECK(first.error().text == second.error().text);
}

TEST_CASE("what cannot be sent is Invalid and no secret of it is in the text") {
  Loop loop;
  Request request = get("http://127.0.0.1:1/");
  SECTION("a line break in a header") {
    request.headers = {{"Authorization", "Bearer secret\r\nX: y"}};
  }
  SECTION("a header name that is none") {
    request.headers = {{"a: secret", "b"}};
  }
  SECTION("a method that is none") {
    request.method = "GET /secret";
  }
  SECTION("an empty URL") {
    request.url = "";
  }
  SECTION("a control character in the URL") {
    request.url = "http://127.0.0.1:1/\r\nsecret";
  }
  SECTION("a scheme that is not ours") {
    request.url = "file:///secret";
  }
  SECTION("a body without end") {
    request.body.assign(17u << 20, 's');
  }
  auto result = loop.perform(request);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Invalid);
  CHECK(result.error().text.find("secret") == std::string::npos);
}

TEST_CASE("a server that never answers costs the deadline, no more") {
  ScriptedServer server([](Peer& peer, const Seen&) { peer.closed_within(10'000); });
  Loop loop;
  Request request = get(server.origin());
  request.deadline_millis = 150;
  BootMillis before = boot_now();
  auto result = loop.perform(request);
  BootMillis took = boot_now() - before;
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Timeout);
  CHECK(result.error().text == server.origin() + ": no answer within 150ms");
  CHECK(took >= 150);
  CHECK(took < 3'000);
}

TEST_CASE("a body that trickles is cut off at the deadline") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    peer.send_slices(std::string(1'000'000, 'x'), 1, 5);
  });
  Loop loop;
  Request request = get(server.origin());
  request.deadline_millis = 200;
  CHECK(loop.perform(request).error().kind == ErrorKind::Timeout);
}

TEST_CASE("an answer in slices of one byte is put together") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.send_slices("HTTP/1.1 200 OK\r\nRetry-After: 9\r\nContent-Length: 11\r\n\r\nhello world", 1, 0);
  });
  Loop loop;
  auto result = loop.perform(get(server.origin()));
  REQUIRE(result.ok());
  CHECK(result->body == "hello world");
  CHECK(result->retry_after_seconds == 9);
}

TEST_CASE("an answer cut in its headers or its body is Unreachable") {
  bool in_headers = GENERATE(true, false);
  ScriptedServer server([=](Peer& peer, const Seen&) {
    peer.send(in_headers ? "HTTP/1.1 200 OK\r\nContent-Le"
                         : "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    peer.close();
  });
  Loop loop;
  auto result = loop.perform(get(server.origin()));
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Unreachable);
}

TEST_CASE("what is no HTTP is Unreachable") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.send("\x15\x03\x01 this is no HTTP at all\r\n\r\n");
    peer.close();
  });
  Loop loop;
  CHECK(loop.perform(get(server.origin())).error().kind == ErrorKind::Unreachable);
}

TEST_CASE("a body over the bound is Invalid, announced or not, and one at the bound is not") {
  bool announced = GENERATE(true, false);
  ScriptedServer server([=](Peer& peer, const Seen& seen) {
    std::string body(seen.target == "/fits" ? 1000 : 1001, 'x');
    if (announced) return peer.reply(200, body);
    peer.begin_chunked();
    peer.chunk(body.substr(0, 600));
    peer.chunk(body.substr(600));
    peer.end_chunked();
  });
  Loop loop;
  Request request = get(server.origin() + "/fits");
  request.response_bytes_max = 1000;
  CHECK(loop.perform(request)->body.size() == 1000);
  request.url = server.origin() + "/long";
  auto result = loop.perform(request);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Invalid);
  CHECK(result.error().text.find("longer than 1000 bytes") != std::string::npos);
}

TEST_CASE("headers without end are cut off") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100'000 && peer.open(); ++i) peer.send("X-More: " + std::string(100, 'x') + "\r\n");
  });
  Loop loop;
  CHECK_FALSE(loop.perform(get(server.origin())).ok());
}

TEST_CASE("a kept-alive connection is used again; a fresh one is not kept") {
  ScriptedServer server(echo);
  Loop loop;
  Request request = get(server.origin());
  for (int i = 0; i < 5; ++i) REQUIRE(loop.perform(request).ok());
  CHECK(server.connections() == 1);
  request.fresh_connection = true;
  for (int i = 0; i < 3; ++i) REQUIRE(loop.perform(request).ok());
  CHECK(server.connections() == 4);
  request.fresh_connection = false;
  REQUIRE(loop.perform(request).ok());
  CHECK(server.connections() == 4);
}

TEST_CASE("a kept-alive connection that the server has closed is replaced without an error") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    echo(peer, seen);
    peer.close();
  });
  Loop loop;
  for (int i = 0; i < 5; ++i) CHECK(loop.perform(get(server.origin())).ok());
  CHECK(server.connections() == 5);
}

TEST_CASE("more requests than may run at once all come back, and no more than may run at once") {
  std::atomic<int> at_once{0}, peak{0};
  ScriptedServer server([&](Peer& peer, const Seen& seen) {
    int now = ++at_once;
    for (int seen_peak = peak; now > seen_peak && !peak.compare_exchange_weak(seen_peak, now);) continue;
    peer.pause(20);
    --at_once;
    echo(peer, seen);
  });
  Loop loop;
  std::vector<std::unique_ptr<Awaited>> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(std::make_unique<Awaited>());
    loop.start(get(server.origin() + fmt::format("/{}", i)), all.back()->callback());
  }
  for (int i = 0; i < 200; ++i) {
    auto result = all[static_cast<size_t>(i)]->result();
    REQUIRE(result.ok());
    CHECK(result->body == fmt::format("GET /{} ", i));
  }
  CHECK(peak > 1);
  CHECK(peak <= 64);
}

TEST_CASE("the deadline counts the time in the queue, and a full queue says so at once") {
  ScriptedServer server([](Peer& peer, const Seen&) { peer.closed_within(10'000); });
  Loop loop;
  std::vector<std::unique_ptr<Awaited>> all;
  Request request = get(server.origin());
  request.deadline_millis = 1'000;
  for (int i = 0; i < 64 + 1024 + 1; ++i) {
    all.push_back(std::make_unique<Awaited>());
    loop.start(request, all.back()->callback());
  }
  CHECK(all.back()->result().error().kind == ErrorKind::Unavailable);
  CHECK(boot_now() > 0);
  // A request with its own connection passes the queue: it reaches the server.
  request.fresh_connection = true;
  request.url = server.origin() + "/lease";
  loop.start(request, [](Result<Response>) {});
  bool lease_came = false;
  for (int i = 0; i < 200 && !lease_came; ++i) {
    auto seen = server.seen();
    lease_came = std::any_of(seen.begin(), seen.end(), [](const Seen& s) { return s.target == "/lease"; });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(lease_came);
  for (size_t i = 0; i + 1 < all.size(); ++i) CHECK(all[i]->result().error().kind == ErrorKind::Timeout);
}

TEST_CASE("a stream hands over its bytes as they come, and ends well when the server ends it") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.begin_chunked();
    peer.pause(50);
    for (char c : std::string("{\"a\":1}\n{\"b\":2}\n")) peer.chunk(std::string(1, c));
    peer.end_chunked();
  });
  Loop loop;
  Followed followed;
  loop.open_stream(get(server.origin()), followed.events());
  REQUIRE(followed.wait([&] { return followed.opened == 200; }));
  REQUIRE(followed.wait_end());
  CHECK(followed.bytes == "{\"a\":1}\n{\"b\":2}\n");
  REQUIRE(followed.end->ok());
  CHECK((*followed.end)->status == 200);
  CHECK((*followed.end)->body.empty());
}

TEST_CASE("a stream that is open outlives its deadline; one that does not open does not") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target == "/silent") {
      peer.closed_within(10'000);
      return;
    }
    peer.begin_chunked();
    peer.pause(400);
    peer.chunk("late");
    peer.end_chunked();
  });
  Loop loop;
  Request request = get(server.origin());
  request.deadline_millis = 150;
  Followed open, silent;
  loop.open_stream(request, open.events());
  request.url += "/silent";
  loop.open_stream(request, silent.events());
  REQUIRE(silent.wait_end());
  CHECK(silent.end->error().kind == ErrorKind::Timeout);
  CHECK(silent.opened == 0);
  REQUIRE(open.wait_end());
  CHECK(open.end->ok());
  CHECK(open.bytes == "late");
}

TEST_CASE("a stream has no total bound, and a refused one brings its body at the end") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target == "/gone") return peer.reply(410, "{\"kind\":\"Status\"}", "Retry-After: 1\r\n");
    peer.reply(200, std::string(100'000, 'x'));
  });
  Loop loop;
  Request request = get(server.origin());
  request.response_bytes_max = 1'000;
  Followed large, gone;
  loop.open_stream(request, large.events());
  REQUIRE(large.wait_end());
  CHECK(large.end->ok());
  CHECK(large.bytes.size() == 100'000);
  request.url += "/gone";
  loop.open_stream(request, gone.events());
  REQUIRE(gone.wait_end());
  CHECK(gone.opened == 410);
  CHECK(gone.bytes.empty());
  REQUIRE(gone.end->ok());
  CHECK((*gone.end)->body == "{\"kind\":\"Status\"}");
  CHECK((*gone.end)->retry_after_seconds == 1);
}

TEST_CASE("a refusal whose body never ends is cut off at the deadline and at the bound") {
  bool endless = GENERATE(true, false);
  ScriptedServer server([=](Peer& peer, const Seen&) {
    peer.begin_chunked(500);
    while (endless && peer.open()) peer.chunk(std::string(1000, 'x'));
    if (!endless) peer.closed_within(10'000);
  });
  Loop loop;
  Request request = get(server.origin());
  request.deadline_millis = 200;
  request.response_bytes_max = 10'000;
  Followed followed;
  loop.open_stream(request, followed.events());
  REQUIRE(followed.wait_end());
  CHECK(followed.end->error().kind == (endless ? ErrorKind::Invalid : ErrorKind::Timeout));
}

TEST_CASE("a stream that breaks is Unreachable, after the bytes that came") {
  ScriptedServer server([](Peer& peer, const Seen&) {
    peer.begin_chunked();
    peer.chunk("half a li");
    peer.close();
  });
  Loop loop;
  Followed followed;
  loop.open_stream(get(server.origin()), followed.events());
  REQUIRE(followed.wait_end());
  CHECK(followed.bytes == "half a li");
  CHECK(followed.end->error().kind == ErrorKind::Unreachable);
}

TEST_CASE("streams and pooled requests do not share connections, and one stalled stream delays nobody") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target != "/watch") return echo(peer, seen);
    peer.begin_chunked();
    peer.closed_within(10'000);
  });
  Loop loop;
  Followed followed;
  RequestId stream = loop.open_stream(get(server.origin() + "/watch"), followed.events());
  REQUIRE(followed.wait([&] { return followed.opened == 200; }));
  for (int i = 0; i < 5; ++i) REQUIRE(loop.perform(get(server.origin())).ok());
  CHECK(server.connections() == 2);
  loop.cancel(stream);
  REQUIRE(followed.wait_end());
  CHECK(followed.end->error().kind == ErrorKind::Canceled);
  REQUIRE(loop.perform(get(server.origin())).ok());
  CHECK(server.connections() == 2);
}

TEST_CASE("a canceled request is told so once, whether it runs, waits or is over") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target == "/quick") return echo(peer, seen);
    peer.closed_within(10'000);
  });
  Loop loop;
  Awaited running, quick, at_once;
  RequestId id = loop.start(get(server.origin()), running.callback());
  REQUIRE(server.saw(1));
  loop.cancel(id);
  CHECK(running.result().error().kind == ErrorKind::Canceled);
  loop.cancel(id);
  loop.cancel(0);
  loop.cancel(987'654);
  RequestId quick_id = loop.start(get(server.origin() + "/quick"), quick.callback());
  CHECK(quick.result().ok());
  loop.cancel(quick_id);
  loop.cancel(loop.start(get(server.origin()), at_once.callback()));
  CHECK(at_once.result().error().kind == ErrorKind::Canceled);
  wait_for_all_posted(loop);
  CHECK(running.calls + quick.calls + at_once.calls == 3);
}

TEST_CASE("a callback may start, cancel and post, and its own stream too") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target != "/watch") return echo(peer, seen);
    peer.begin_chunked();
    peer.chunk("first");
    peer.closed_within(10'000);
  });
  Loop loop;
  Followed followed;
  Awaited second;
  StreamEvents events = followed.events();
  std::atomic<RequestId> id{0};
  events.on_bytes = [&](std::string_view) {
    loop.start(get(server.origin() + "/second"), second.callback());
    loop.cancel(id);
  };
  std::promise<void> stored;
  loop.post([&, ready = stored.get_future().share()] {
    ready.wait_for(patience);
  });  // holds the loop until id is known
  id = loop.open_stream(get(server.origin() + "/watch"), events);
  stored.set_value();
  REQUIRE(followed.wait_end());
  CHECK(followed.end->error().kind == ErrorKind::Canceled);
  CHECK(second.result().ok());
}

TEST_CASE("tasks run in the order of their times, equal ones in the order they were posted") {
  Loop loop;
  std::vector<int> order;
  std::promise<void> done;
  BootMillis now = boot_now();
  loop.post([&] {
    loop.post_at(now + 60, [&] { order.push_back(4); });
    loop.post_at(now + 40, [&] { order.push_back(2); });
    loop.post_at(now + 40, [&] { order.push_back(3); });
    loop.post_at(now - 100, [&] { order.push_back(1); });
    loop.post([&] { order.push_back(0); });
    loop.post_at(now + 80, [&] { done.set_value(); });
  });
  REQUIRE(done.get_future().wait_for(patience) == std::future_status::ready);
  CHECK(boot_now() >= now + 80);
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("an earlier timer set later still fires in its time") {
  Loop loop;
  std::promise<BootMillis> fired;
  BootMillis now = boot_now();
  loop.post_at(now + 3'600'000, [] {});
  wait_for_all_posted(loop);
  loop.post_at(now + 50, [&] { fired.set_value(boot_now()); });
  auto future = fired.get_future();
  REQUIRE(future.wait_for(patience) == std::future_status::ready);
  BootMillis at = future.get();
  CHECK(at >= now + 50);
  CHECK(at < now + 2'000);
}

TEST_CASE("the end of the loop cancels what runs, waits and streams, once each, and returns soon") {
  ScriptedServer server([](Peer& peer, const Seen& seen) {
    if (seen.target == "/watch") peer.begin_chunked();
    peer.closed_within(10'000);
  });
  std::vector<std::unique_ptr<Awaited>> all;
  Followed followed;
  Awaited again;
  BootMillis before = 0;
  {
    Loop loop;
    loop.open_stream(get(server.origin() + "/watch"), followed.events());
    for (int i = 0; i < 100; ++i) {
      all.push_back(std::make_unique<Awaited>());
      loop.start(get(server.origin()), all.back()->callback());
    }
    loop.start(get(server.origin()),
               [&](Result<Response>) { loop.start(get(server.origin()), again.callback()); });
    loop.post_at(boot_now() + 3'600'000, [] { FAIL("a task ran after the end"); });
    REQUIRE(followed.wait([&] { return followed.opened == 200; }));
    before = boot_now();
  }
  CHECK(boot_now() - before < 2'000);
  for (auto& one : all) {
    CHECK(one->result().error().kind == ErrorKind::Canceled);
    CHECK(one->calls == 1);
  }
  CHECK(again.result().error().kind == ErrorKind::Canceled);
  CHECK(followed.end->error().kind == ErrorKind::Canceled);
  CHECK(followed.ended == 1);
}

TEST_CASE("a caller that always starts again does not keep the loop alive") {
  std::function<void(Result<Response>)> again;
  {
    Loop loop;
    again = [&](Result<Response>) { loop.start(get("http://127.0.0.1:1/"), again); };
    loop.start(get("http://127.0.0.1:1/"), again);
    wait_for_all_posted(loop);
  }
  SUCCEED("the destructor returned");
}

TEST_CASE("many threads share a loop") {
  ScriptedServer server(echo);
  Loop loop;
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        auto result = loop.perform(get(server.origin() + fmt::format("/{}-{}", t, i)));
        if (result.ok() && result->body == fmt::format("GET /{}-{} ", t, i)) ++right;
        loop.cancel(loop.start(get(server.origin() + "/canceled"), [](Result<Response>) {}));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 200);
}

TEST_CASE("a request on a kept-alive connection waits for no tick") {
  ScriptedServer server(echo);
  Loop loop;
  std::vector<int64_t> micros;
  for (int i = 0; i < 400; ++i) {
    auto before = std::chrono::steady_clock::now();
    REQUIRE(loop.perform(get(server.origin())).ok());
    auto took = std::chrono::steady_clock::now() - before;
    micros.push_back(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  }
  std::sort(micros.begin(), micros.end());
  UNSCOPED_INFO("median " << micros[200] << " us, 99th percentile " << micros[396] << " us");
  CHECK(micros[200] < 20'000);  // far from a tick of 100 ms or more, also on a busy machine with sanitizers
  CHECK(server.connections() == 1);
}
