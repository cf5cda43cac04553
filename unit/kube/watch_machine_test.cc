#include "kube/watch_machine.h"

#include <algorithm>
#include <optional>

#include "catch.h"

using namespace strix;
using namespace strix::kube;

namespace {

// The machine with a clock and no randomness, and the effects of its last step at hand.
struct Driven {
  explicit Driven(WatchSettings settings = {}) : machine(settings) {}

  Driven& give(const WatchInput& input) {
    effects = machine.step(input, now, random);
    return *this;
  }
  template <class T>
  std::optional<T> effect() const {
    for (const auto& one : effects)
      if (const T* found = std::get_if<T>(&one)) return *found;
    return std::nullopt;
  }
  template <class T>
  bool has() const {
    return effect<T>().has_value();
  }
  // To a watch that has just been opened from version 10.
  Driven& synced() {
    give(Start{});
    give(Page{effect<FetchPage>()->attempt, "10", ""});
    attempt = effect<OpenWatch>()->attempt;
    return *this;
  }
  Driven& event(const std::string& version, WatchEventType type = WatchEventType::Modified) {
    return give(WatchEvent{attempt, type, version});
  }
  Driven& failed(ErrorKind kind, bool in_stream = false, int retry_after_seconds = 0,
                 std::string text = "no") {
    return give(WatchFailed{attempt, Error{kind, std::move(text), retry_after_seconds}, in_stream});
  }
  // Waits out the delay that was reported.
  Driven& after_delay() {
    now += effect<Report>()->delay_millis;
    return give(Tick{});
  }

  WatchMachine machine;
  std::vector<WatchEffect> effects;
  BootMillis now = 1'000'000;
  double random = 0.0;
  uint64_t attempt = 0;
};

}  // namespace

TEST_CASE("a list of one page is committed and watched from its version") {
  Driven driven;
  driven.give(Start{});
  auto fetch = driven.effect<FetchPage>();
  REQUIRE(fetch);
  CHECK(fetch->continue_token.empty());
  CHECK(fetch->limit == 250);
  CHECK_FALSE(driven.machine.synced());
  driven.give(Page{fetch->attempt, "10", ""});
  REQUIRE(driven.effects.size() == 4);
  CHECK(std::holds_alternative<StagePage>(driven.effects[0]));
  CHECK(std::holds_alternative<Commit>(driven.effects[1]));
  CHECK(driven.effect<OpenWatch>()->resource_version == "10");
  CHECK(driven.machine.synced());
}

TEST_CASE("a list of three pages is committed once, after the last") {
  Driven driven;
  driven.give(Start{});
  for (std::string token : {"a", "b"}) {
    driven.give(Page{driven.effect<FetchPage>()->attempt, "10", token});
    CHECK(driven.has<StagePage>());
    CHECK_FALSE(driven.has<Commit>());
    CHECK_FALSE(driven.machine.synced());
    CHECK(driven.effect<FetchPage>()->continue_token == token);
  }
  driven.give(Page{driven.effect<FetchPage>()->attempt, "10", ""});
  CHECK(driven.has<Commit>());
}

TEST_CASE("a continue token that expired begins the list anew") {
  Driven driven;
  driven.give(Start{}).give(Page{driven.effect<FetchPage>()->attempt, "10", "a"});
  driven.give(ListFailed{driven.effect<FetchPage>()->attempt, Error{ErrorKind::Gone, "410"}});
  CHECK(driven.effect<Report>()->cause == Cause::Expired);
  CHECK_FALSE(driven.machine.synced());
  driven.after_delay();
  CHECK(driven.effect<FetchPage>()->continue_token.empty());
}

TEST_CASE("a watch that the server ends is resumed at the last version at once") {
  Driven driven;
  driven.synced().event("11");
  CHECK(driven.has<ApplyEvent>());
  driven.now += 400'000;
  driven.give(WatchEnded{driven.attempt, false});
  CHECK(driven.effect<Report>()->cause == Cause::Closed);
  CHECK(driven.effect<OpenWatch>()->resource_version == "11");
  CHECK_FALSE(driven.has<FetchPage>());
}

TEST_CASE("a bookmark moves the version and changes no object") {
  Driven driven;
  driven.synced().event("90", WatchEventType::Bookmark);
  CHECK_FALSE(driven.has<ApplyEvent>());
  driven.now += 300'000;
  driven.give(WatchEnded{driven.attempt, false});
  CHECK(driven.effect<OpenWatch>()->resource_version == "90");
}

TEST_CASE("every way in which a watch fails has its own answer") {
  struct Case {
    std::string name;
    Error error;
    bool in_stream;
    Cause cause;
    bool relist;
    int64_t delay_millis;
  };
  const std::vector<Case> cases{
      {"410 on the request", {ErrorKind::Gone, "410 Expired"}, false, Cause::Expired, true, 800},
      {"410 inside the stream", {ErrorKind::Gone, "410 Gone"}, true, Cause::Expired, true, 800},
      {"a server behind another",
       {ErrorKind::Timeout, "504 Timeout: Too large resource version: 9, current: 8"},
       false,
       Cause::TooLargeResourceVersion,
       true,
       800},
      {"429 with Retry-After", {ErrorKind::Throttled, "429", 7}, false, Cause::Throttled, false, 7'000},
      {"429 without", {ErrorKind::Throttled, "429"}, false, Cause::Throttled, false, 800},
      {"429 with an absurd Retry-After",
       {ErrorKind::Throttled, "429", 86'400},
       false,
       Cause::Throttled,
       false,
       300'000},
      {"503 with Retry-After", {ErrorKind::Unavailable, "503", 3}, false, Cause::Throttled, false, 3'000},
      {"500", {ErrorKind::Unavailable, "500"}, false, Cause::ServerError, false, 800},
      {"500 inside the stream", {ErrorKind::Unavailable, "500"}, true, Cause::ServerError, true, 800},
      {"401", {ErrorKind::Unauthorized, "401"}, false, Cause::Unauthorized, false, 800},
      {"403", {ErrorKind::Forbidden, "403"}, false, Cause::Forbidden, false, 800},
      {"no connection", {ErrorKind::Unreachable, "refused"}, false, Cause::Broken, false, 800},
      {"no headers", {ErrorKind::Timeout, "deadline"}, false, Cause::Broken, false, 800},
      {"400", {ErrorKind::Invalid, "400"}, false, Cause::Rejected, true, 800},
      {"404, as when a CRD is replaced", {ErrorKind::NotFound, "404"}, false, Cause::Rejected, true, 800},
  };
  for (const Case& one : cases) {
    INFO(one.name);
    Driven driven;
    driven.synced().event("11");
    driven.give(WatchFailed{driven.attempt, one.error, one.in_stream});
    REQUIRE(driven.has<Report>());
    CHECK(driven.effect<Report>()->cause == one.cause);
    CHECK(driven.effect<Report>()->relist == one.relist);
    CHECK(driven.effect<Report>()->delay_millis == one.delay_millis);
    CHECK(driven.effect<Report>()->text == one.error.text);
    CHECK(driven.has<CancelRequest>());
    CHECK_FALSE(driven.has<OpenWatch>());
    CHECK(driven.machine.synced());
    driven.after_delay();
    if (one.relist) {
      CHECK(driven.effect<FetchPage>()->continue_token.empty());
    } else {
      CHECK(driven.effect<OpenWatch>()->resource_version == "11");
    }
  }
}

TEST_CASE("a list that fails is tried again with growing delays, and never watched from") {
  Driven driven;
  driven.give(Start{});
  std::vector<int64_t> delays;
  for (int i = 0; i < 4; ++i) {
    driven.give(ListFailed{driven.effect<FetchPage>()->attempt, Error{ErrorKind::Unreachable, "refused"}});
    delays.push_back(driven.effect<Report>()->delay_millis);
    CHECK(driven.effect<Report>()->failures == i + 1);
    driven.after_delay();
    REQUIRE(driven.has<FetchPage>());
  }
  CHECK(delays == std::vector<int64_t>{800, 1600, 3200, 6400});
}

TEST_CASE("a page that is too long is asked for in halves, down to a bound") {
  Driven driven;
  driven.give(Start{});
  for (int expected : {125, 62, 31, 15, 8, 8}) {
    driven.give(ListFailed{driven.effect<FetchPage>()->attempt, Error{ErrorKind::Invalid, "too long"}});
    driven.after_delay();
    CHECK(driven.effect<FetchPage>()->limit == expected);
  }
}

TEST_CASE("a watch that ends at once without an event counts as a failure") {
  Driven driven;
  driven.synced();
  driven.now += 999;
  driven.give(WatchEnded{driven.attempt, false});
  CHECK(driven.effect<Report>()->cause == Cause::ShortWatch);
  CHECK(driven.effect<Report>()->delay_millis == 800);
  driven.after_delay();
  CHECK(driven.effect<OpenWatch>()->resource_version == "10");
}

TEST_CASE(
    "a watch that ends at once after an event is no failure, but is not opened again within the second") {
  Driven driven;
  driven.synced().event("11");
  driven.now += 200;
  driven.give(WatchEnded{driven.attempt, false});
  CHECK(driven.effect<Report>()->cause == Cause::Closed);
  CHECK(driven.effect<Report>()->delay_millis == 800);
  CHECK(driven.effect<Report>()->failures == 0);
  CHECK_FALSE(driven.has<OpenWatch>());
  driven.after_delay();
  CHECK(driven.effect<OpenWatch>()->resource_version == "11");
}

TEST_CASE("a stream that ends in the middle of a line is resumed from the last whole event") {
  Driven driven;
  driven.synced().event("11");
  driven.now += 50'000;
  driven.give(WatchEnded{driven.attempt, true});
  CHECK(driven.effect<Report>()->cause == Cause::Broken);
  driven.after_delay();
  CHECK(driven.effect<OpenWatch>()->resource_version == "11");
}

TEST_CASE("what is not a watch event means that one may be lost, and the list is read again") {
  Driven driven;
  driven.synced();
  driven.give(WatchMalformed{driven.attempt, "not JSON at byte 3"});
  CHECK(driven.effect<Report>()->cause == Cause::Malformed);
  driven.after_delay();
  CHECK(driven.has<FetchPage>());
}

TEST_CASE("a dead connection is noticed half a minute after the server should have ended the watch") {
  Driven driven;
  driven.random = 0.5;
  driven.synced();
  int timeout_seconds = driven.effect<OpenWatch>()->timeout_seconds;
  BootMillis silent_at = driven.now + timeout_seconds * 1000 + 30'000;
  CHECK(driven.effect<WakeAt>()->at == silent_at);
  driven.now = silent_at - 1;
  driven.give(Tick{});
  CHECK(driven.effects.empty());
  driven.now = silent_at;
  driven.give(Tick{});
  CHECK(driven.has<CancelRequest>());
  CHECK(driven.effect<Report>()->cause == Cause::Silent);
  driven.after_delay();
  CHECK(driven.effect<OpenWatch>()->resource_version == "10");
}

TEST_CASE("events do not put off the watchdog: the server ends even a busy watch in time") {
  Driven driven;
  driven.synced();
  BootMillis silent_at = driven.effect<WakeAt>()->at;
  driven.now = silent_at - 1;
  driven.event("11");
  driven.now = silent_at;
  driven.give(Tick{});
  CHECK(driven.effect<Report>()->cause == Cause::Silent);
}

TEST_CASE("the server's timeout is spread over five to ten minutes") {
  for (auto [random, expected] : {std::pair{0.0, 300}, {0.5, 450}, {0.999'999, 600}}) {
    Driven driven;
    driven.random = random;
    driven.synced();
    CHECK(driven.effect<OpenWatch>()->timeout_seconds == expected);
  }
}

TEST_CASE("answers of an attempt that is over are ignored") {
  Driven driven;
  driven.synced();
  uint64_t old_watch = driven.attempt;
  driven.failed(ErrorKind::Unreachable);
  for (const WatchInput& late : std::vector<WatchInput>{
           WatchEnded{old_watch, false}, WatchEvent{old_watch, WatchEventType::Added, "99"},
           WatchFailed{old_watch, Error{ErrorKind::Canceled, ""}, false}, WatchMalformed{old_watch, ""}}) {
    driven.give(late);
    CHECK(driven.effects.empty());
  }
  driven.now += 10'000;
  driven.give(Tick{});
  REQUIRE(driven.has<OpenWatch>());
  driven.give(WatchEvent{old_watch, WatchEventType::Added, "99"});
  CHECK(driven.effects.empty());
  CHECK(driven.machine.resource_version() == "10");
  driven.give(Page{old_watch - 1, "7", ""});
  CHECK(driven.effects.empty());
}

TEST_CASE("two healthy minutes make the next failure the first of a row") {
  Driven driven;
  driven.synced();
  for (int i = 0; i < 5; ++i) {
    driven.failed(ErrorKind::Unreachable).after_delay();
    driven.attempt = driven.effect<OpenWatch>()->attempt;
  }
  driven.now += 120'000;
  driven.failed(ErrorKind::Unreachable);
  CHECK(driven.effect<Report>()->delay_millis == 800);
}

TEST_CASE("a list without a version, or without an end, is not believed") {
  Driven driven;
  driven.give(Start{});
  driven.give(Page{driven.effect<FetchPage>()->attempt, "", ""});
  CHECK(driven.effect<Report>()->cause == Cause::Malformed);
  CHECK_FALSE(driven.machine.synced());

  Driven endless;
  endless.give(Start{});
  int pages = 0;
  while (auto fetch = endless.effect<FetchPage>()) {
    REQUIRE(++pages < 10'000);
    endless.give(Page{fetch->attempt, "10", "more"});
  }
  CHECK(endless.effect<Report>()->cause == Cause::Malformed);
}

TEST_CASE("after stop nothing happens any more") {
  Driven driven;
  driven.synced().give(Stop{});
  CHECK(driven.has<CancelRequest>());
  driven.event("11");
  CHECK(driven.effects.empty());
  driven.now += 10'000'000;
  driven.give(Tick{});
  CHECK(driven.effects.empty());
  driven.give(Start{});
  CHECK(driven.effects.empty());
}

TEST_CASE("over five quiet minutes a watch costs at most one request") {
  Driven driven;
  driven.synced();
  int requests = 0;
  BootMillis ends_at = driven.now + driven.effect<OpenWatch>()->timeout_seconds * 1000;
  for (BootMillis until = driven.now + 300'000; driven.now < until; driven.now += 100) {
    driven.effects.clear();
    driven.give(Tick{});
    if (driven.now >= ends_at) driven.give(WatchEnded{driven.attempt, false});
    requests += driven.has<OpenWatch>() + driven.has<FetchPage>();
  }
  CHECK(requests <= 1);
}
