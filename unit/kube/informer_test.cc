#include "kube/informer.h"

#include <condition_variable>
#include <deque>
#include <thread>

#include "catch.h"
#include "kube/client.h"

using namespace strix;
using namespace strix::kube;

namespace {

struct Meta {
  std::string namespace_, name, uid, resource_version;
};
struct Thing {
  Meta metadata;
  std::string node;
};

Result<Thing> decode_thing(json::Value value) {
  json::Value metadata = value["metadata"];
  if (value["spec"]["bad"].exists()) return Error{ErrorKind::Invalid, "spec.bad: not understood"};
  return Thing{{metadata["namespace"].string_or(""), metadata["name"].string_or(""),
                metadata["uid"].string_or(""), metadata["resourceVersion"].string_or("")},
               value["spec"]["node"].string_or("")};
}

std::string thing(const std::string& name, const std::string& version, const std::string& node = "n1",
                  const std::string& uid = "", const std::string& extra = "") {
  return R"({"metadata":{"namespace":"llm","name":")" + name + R"(","uid":")" +
         (uid.empty() ? "u-" + name : uid) + R"(","resourceVersion":")" + version + R"("},"spec":{"node":")" +
         node + "\"" + extra + "}}";
}
std::string page(const std::vector<std::string>& items, const std::string& version,
                 const std::string& token = "") {
  std::string text = R"({"kind":"List","metadata":{"resourceVersion":")" + version + R"(","continue":")" +
                     token + R"("},"items":[)";
  for (size_t i = 0; i < items.size(); ++i) text += (i ? "," : "") + items[i];
  return text + "]}";
}
std::string change(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

// The loop and the server as a script: time moves when the test says so, answers come when it gives them.
class World {
 public:
  struct List {
    Query query;
    std::function<void(Result<std::string>)> done;
  };
  struct Watch {
    Query query;
    int timeout_seconds;
    http::StreamEvents events;
    http::RequestId id;
  };

  WatchPorts ports() {
    WatchPorts ports;
    ports.start_list = [this](const Query& query, std::function<void(Result<std::string>)> done) {
      if (refuse_at_once) {
        done(Error{ErrorKind::Unreachable, "no token"});
        return ++ids;
      }
      lists.push_back({query, std::move(done)});
      return ++ids;
    };
    ports.open_watch = [this](const Query& query, int timeout_seconds, http::StreamEvents events) {
      watches.push_back({query, timeout_seconds, std::move(events), ++ids});
      return ids;
    };
    ports.cancel = [this](http::RequestId id) { cancelled.push_back(id); };
    ports.post = [this](std::function<void()> task) {
      tasks.push_back(std::move(task));
      run();
    };
    ports.post_at = [this](BootMillis at, std::function<void()> task) {
      timers.emplace(at, std::move(task));
    };
    ports.now = [this] { return now; };
    ports.random = [] { return 0.0; };
    return ports;
  }

  void run() {
    if (running) return;
    running = true;
    while (!tasks.empty()) {
      auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
    running = false;
  }
  void on_loop(std::function<void()> task) {
    tasks.push_back(std::move(task));
    run();
  }
  void advance(int64_t millis) {
    BootMillis until = now + millis;
    while (!timers.empty() && timers.begin()->first <= until) {
      now = std::max(now, timers.begin()->first);
      auto task = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      on_loop(task);
    }
    now = until;
  }
  void answer(Result<std::string> text) {
    REQUIRE_FALSE(lists.empty());
    auto list = std::move(lists.front());
    lists.pop_front();
    on_loop([&] { list.done(std::move(text)); });
  }
  void send(std::string_view bytes) {
    REQUIRE_FALSE(watches.empty());
    on_loop([&] { watches.back().events.on_bytes(bytes); });
  }
  void end(Result<http::Response> how = http::Response{200, "", 0}) {
    auto watch = watches.back();
    on_loop([&] { watch.events.on_end(std::move(how)); });
  }

  BootMillis now = 1'000'000;
  bool refuse_at_once = false, running = false;
  http::RequestId ids = 0;
  std::deque<std::function<void()>> tasks;
  std::multimap<BootMillis, std::function<void()>> timers;
  std::deque<List> lists;
  std::vector<Watch> watches;
  std::vector<http::RequestId> cancelled;
};

InformerOptions<Thing> options() {
  InformerOptions<Thing> options;
  options.kind = "Thing";
  options.label_selector = "app=strix";
  options.decode = decode_thing;
  options.indexes = {{"node", [](const Thing& one) { return std::vector<std::string>{one.node}; }}};
  return options;
}

struct Fixture {
  Fixture() {
    describe_informer_metrics(registry);
    informer.emplace(world.ports(), registry, options());
    informer->add_handler([this](const auto& before, const auto& after) {
      changes.push_back((before ? before->metadata.name + before->metadata.resource_version : "-") + ">" +
                        (after ? after->metadata.name + after->metadata.resource_version : "-"));
    });
  }
  // Synced on a at version 1 and b at version 2, with the watch open.
  Fixture& synced() {
    informer->start();
    world.answer(page({thing("a", "1"), thing("b", "2", "n2")}, "10"));
    REQUIRE(informer->synced());
    changes.clear();
    return *this;
  }
  std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const auto& object : informer->list()) result.push_back(object->metadata.name);
    return result;
  }
  double restarts(const std::string& cause) {
    std::string text = registry.expose();
    std::string series = "inferencestack_watch_restarts_total{kind=\"Thing\",cause=\"" + cause + "\"} ";
    size_t found = text.find(series);
    return found == std::string::npos ? 0 : std::stod(text.substr(found + series.size()));
  }
  using Names = std::vector<std::string>;

  World world;
  metrics::Registry registry;
  std::vector<std::string> changes;
  std::optional<Informer<Thing>> informer;
};

}  // namespace

TEST_CASE("a list fills the cache, and the watch goes on from its version") {
  Fixture f;
  CHECK_FALSE(f.informer->synced());
  f.informer->start();
  REQUIRE(f.world.lists.size() == 1);
  CHECK(f.world.lists[0].query.label_selector == "app=strix");
  CHECK(f.world.lists[0].query.resource_version.empty());
  f.world.answer(page({thing("b", "2"), thing("a", "1")}, "10"));
  CHECK(f.informer->synced());
  CHECK(f.names() == Fixture::Names{"a", "b"});
  CHECK(f.changes == Fixture::Names{"->a1", "->b2"});
  REQUIRE(f.world.watches.size() == 1);
  CHECK(f.world.watches[0].query.resource_version == "10");
  CHECK(f.world.watches[0].query.label_selector == "app=strix");
  CHECK(f.world.watches[0].query.limit == 0);
  CHECK(f.informer->last_activity() == f.world.now);
}

TEST_CASE("no reader sees a list before its last page") {
  Fixture f;
  f.informer->start();
  f.world.answer(page({thing("a", "1")}, "10", "more"));
  CHECK_FALSE(f.informer->synced());
  CHECK(f.informer->size() == 0);
  CHECK(f.changes.empty());
  REQUIRE(f.world.lists.size() == 1);
  CHECK(f.world.lists[0].query.continue_token == "more");
  f.world.answer(page({thing("b", "2")}, "10"));
  CHECK(f.names() == Fixture::Names{"a", "b"});
}

TEST_CASE("a handler that is told of the first objects finds the cache synced") {
  Fixture f;
  bool synced_in_handler = false;
  f.informer->add_handler([&](const auto&, const auto&) { synced_in_handler = f.informer->synced(); });
  f.informer->start();
  f.world.answer(page({thing("a", "1")}, "10"));
  CHECK(synced_in_handler);
}

TEST_CASE("events add, change and remove, in the cache and in its indexes") {
  Fixture f;
  f.synced();
  f.world.send(change("ADDED", thing("c", "11", "n2")));
  f.world.send(change("MODIFIED", thing("a", "12", "n2")));
  f.world.send(change("DELETED", thing("b", "13", "n2")));
  CHECK(f.changes == Fixture::Names{"->c11", "a1>a12", "b2>-"});
  CHECK(f.names() == Fixture::Names{"a", "c"});
  CHECK(f.informer->by_index("node", "n1").empty());
  CHECK(f.informer->by_index("node", "n2").size() == 2);
  CHECK(f.informer->get("llm", "a")->metadata.resource_version == "12");
  CHECK(f.informer->get("llm", "b") == nullptr);
  CHECK(f.informer->get("other", "a") == nullptr);
}

TEST_CASE("an object that a reader holds does not change under it") {
  Fixture f;
  f.synced();
  auto held = f.informer->get("llm", "a");
  f.world.send(change("MODIFIED", thing("a", "11", "n9")));
  CHECK(held->node == "n1");
}

TEST_CASE("an event that tells nothing new is told to nobody") {
  Fixture f;
  f.synced();
  f.world.send(change("MODIFIED", thing("a", "1")));
  f.world.send(change("BOOKMARK", R"({"kind":"Thing","metadata":{"resourceVersion":"20"}})"));
  f.world.send(change("DELETED", thing("unknown", "21")));
  CHECK(f.changes.empty());
}

TEST_CASE("events arrive in any slices") {
  Fixture f;
  f.synced();
  std::string stream = change("ADDED", thing("c", "11")) + change("ADDED", thing("d", "12"));
  for (char byte : stream) f.world.send(std::string_view(&byte, 1));
  CHECK(f.names() == Fixture::Names{"a", "b", "c", "d"});
}

TEST_CASE("a closed watch is opened again from the last version, with a bookmark's if that is the last") {
  Fixture f;
  f.synced();
  f.world.send(change("ADDED", thing("c", "11")));
  f.world.send(change("BOOKMARK", R"({"metadata":{"resourceVersion":"20"}})"));
  f.world.advance(300'000);
  f.world.end();
  REQUIRE(f.world.watches.size() == 2);
  CHECK(f.world.watches[1].query.resource_version == "20");
  CHECK(f.world.lists.empty());
  CHECK(f.restarts("Closed") == 1);
}

TEST_CASE("an ERROR event of 410 reads the list again, and what vanished meanwhile is reported as gone") {
  Fixture f;
  f.synced();
  f.world.send(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})"
      "\n");
  CHECK(f.restarts("Expired") == 1);
  CHECK(f.world.cancelled.size() == 1);
  CHECK(f.names() == Fixture::Names{"a", "b"});  // the old truth until there is a new one
  f.world.advance(1'000);
  f.world.answer(page({thing("b", "30", "n2"), thing("c", "31")}, "40", ""));
  CHECK(f.changes == Fixture::Names{"a1>-", "b2>b30", "->c31"});
  CHECK(f.world.watches.back().query.resource_version == "40");
}

TEST_CASE("a 410 on the request reads the list again") {
  Fixture f;
  f.synced();
  f.world.end(http::Response{410, R"({"kind":"Status","code":410,"reason":"Gone"})", 0});
  CHECK(f.restarts("Expired") == 1);
  f.world.advance(1'000);
  REQUIRE(f.world.lists.size() == 1);
}

TEST_CASE("a list read again tells of what changed and of nothing else, and keeps what it has") {
  Fixture f;
  f.synced();
  auto before = f.informer->get("llm", "a");
  f.world.end(http::Response{410, "", 0});
  f.world.advance(1'000);
  f.world.answer(page({thing("a", "1"), thing("b", "2", "n2")}, "40"));
  CHECK(f.changes.empty());
  CHECK(f.informer->get("llm", "a") == before);
}

TEST_CASE("a list that breaks off leaves the cache as it was") {
  Fixture f;
  f.synced();
  f.world.end(http::Response{410, "", 0});
  f.world.advance(1'000);
  f.world.answer(page({thing("x", "30")}, "40", "more"));
  f.world.answer(Error{ErrorKind::Gone, "410"});
  CHECK(f.names() == Fixture::Names{"a", "b"});
  f.world.advance(10'000);
  f.world.answer(page({thing("y", "50")}, "60"));
  CHECK(f.names() == Fixture::Names{"y"});
}

TEST_CASE("an object deleted and made again under its name is gone and added") {
  Fixture f;
  f.synced();
  f.world.send(change("MODIFIED", thing("a", "11", "n1", "another-uid")));
  CHECK(f.changes == Fixture::Names{"a1>-", "->a11"});
}

TEST_CASE("an object that cannot be read stays as it was, or out, and the others go on") {
  Fixture f;
  f.informer->start();
  f.world.answer(page({thing("a", "1"), thing("bad", "2", "n1", "", R"(,"bad":1)")}, "10"));
  CHECK(f.informer->synced());
  CHECK(f.names() == Fixture::Names{"a"});
  f.world.send(change("MODIFIED", thing("a", "11", "n2", "", R"(,"bad":1)")));
  f.world.send(change("ADDED", thing("c", "12")));
  CHECK(f.informer->get("llm", "a")->metadata.resource_version == "1");
  CHECK(f.names() == Fixture::Names{"a", "c"});
  // Also over a list, and it heals when it can be read again.
  f.world.end(http::Response{410, "", 0});
  f.world.advance(1'000);
  f.world.answer(page({thing("a", "11", "n2", "", R"(,"bad":1)")}, "40"));
  CHECK(f.names() == Fixture::Names{"a"});
  f.world.send(change("MODIFIED", thing("a", "50", "n3")));
  CHECK(f.informer->get("llm", "a")->node == "n3");
  CHECK(f.registry.expose().find("inferencestack_undecodable_objects_total{kind=\"Thing\"} 3") !=
        std::string::npos);
}

TEST_CASE("refusals are counted by cause and waited out, and the watch goes on where it was") {
  struct Case {
    http::Response response;
    std::string cause;
    int64_t delay_millis;
  };
  for (const Case& one : {Case{{429, "", 5}, "Throttled", 5'000}, Case{{503, "", 4}, "Throttled", 4'000},
                          Case{{500, "", 0}, "ServerError", 800}, Case{{403, "", 0}, "Forbidden", 800},
                          Case{{401, "", 0}, "Unauthorized", 800}}) {
    INFO(one.response.status);
    Fixture f;
    f.synced();
    f.world.end(one.response);
    CHECK(f.restarts(one.cause) == 1);
    f.world.advance(one.delay_millis - 1);
    CHECK(f.world.watches.size() == 1);
    f.world.advance(1);
    REQUIRE(f.world.watches.size() == 2);
    CHECK(f.world.watches[1].query.resource_version == "10");
    CHECK(f.informer->synced());
  }
}

TEST_CASE("a watch whose server is behind another lists again") {
  Fixture f;
  f.synced();
  f.world.end(http::Response{504,
                             R"({"kind":"Status","code":504,"reason":"Timeout",)"
                             R"("message":"Too large resource version: 10, current: 9"})",
                             1});
  CHECK(f.restarts("TooLargeResourceVersion") == 1);
  f.world.advance(1'000);
  CHECK(f.world.lists.size() == 1);
}

TEST_CASE("an end in the middle of an event loses nothing: the event comes again") {
  Fixture f;
  f.synced();
  f.world.advance(5'000);
  f.world.send(R"({"type":"ADDED","object":{"meta)");
  f.world.end();
  CHECK(f.restarts("Broken") == 1);
  f.world.advance(1'000);
  CHECK(f.world.watches.back().query.resource_version == "10");
  f.world.send(change("ADDED", thing("c", "11")));
  CHECK(f.names() == Fixture::Names{"a", "b", "c"});
}

TEST_CASE("what is not JSON, or no event, reads the list again") {
  for (std::string line :
       {"<html>proxy</html>\n", "{\"type\":\"NEWS\",\"object\":{}}\n", "{\"type\":\"ADDED\"}\n"}) {
    Fixture f;
    f.synced();
    f.world.send(line);
    CHECK(f.restarts("Malformed") == 1);
    f.world.send(change("ADDED", thing("c", "11")));  // of the same stream: not believed any more
    CHECK(f.names() == Fixture::Names{"a", "b"});
    f.world.advance(1'000);
    CHECK(f.world.lists.size() == 1);
  }
}

TEST_CASE("a very short watch is a failure and is not hammered") {
  Fixture f;
  f.synced();
  int64_t total_millis = 0;
  for (int64_t expected : {800, 1600, 3200, 6400, 12800, 15000}) {
    size_t before = f.world.watches.size();
    f.world.end();
    f.world.advance(expected - 1);
    CHECK(f.world.watches.size() == before);
    f.world.advance(1);
    CHECK(f.world.watches.size() == before + 1);
    total_millis += expected;
  }
  CHECK(f.restarts("ShortWatch") == 6);
}

TEST_CASE("a connection that died silently is given up after the server's timeout and half a minute") {
  Fixture f;
  f.synced();
  int timeout_seconds = f.world.watches[0].timeout_seconds;
  f.world.advance(timeout_seconds * 1000 + 29'999);
  CHECK(f.world.cancelled.empty());
  f.world.advance(1);
  CHECK(f.world.cancelled == std::vector<http::RequestId>{f.world.watches[0].id});
  CHECK(f.restarts("Silent") == 1);
  // The loop tells of the cancelled one later; that is not the end of the new one.
  auto old = f.world.watches[0];
  f.world.advance(800);
  REQUIRE(f.world.watches.size() == 2);
  f.world.on_loop([&] { old.events.on_end(Error{ErrorKind::Canceled, ""}); });
  f.world.send(change("ADDED", thing("c", "11")));
  CHECK(f.names() == Fixture::Names{"a", "b", "c"});
}

TEST_CASE("a request that fails before it has been sent is a failure like another") {
  Fixture f;
  f.world.refuse_at_once = true;
  f.informer->start();
  CHECK(f.restarts("Broken") == 1);
  f.world.refuse_at_once = false;
  f.world.advance(800);
  f.world.answer(page({thing("a", "1")}, "10"));
  CHECK(f.informer->synced());
}

TEST_CASE("over five quiet minutes nothing is sent but one new watch") {
  Fixture f;
  f.synced();
  BootMillis ends_at = f.world.now + f.world.watches[0].timeout_seconds * 1000;
  for (int i = 0; i < 300; ++i) {
    f.world.advance(1'000);
    if (f.world.now == ends_at) f.world.end();
  }
  CHECK(f.world.lists.empty());
  CHECK(f.world.watches.size() <= 2);
  CHECK(f.changes.empty());
}

TEST_CASE("after stop nothing is asked, told or called, whatever still arrives") {
  Fixture f;
  f.synced();
  auto watch = f.world.watches[0];
  f.informer->stop();
  CHECK(f.world.cancelled.size() == 1);
  f.world.on_loop([&] { watch.events.on_bytes(change("ADDED", thing("c", "11"))); });
  f.world.on_loop([&] { watch.events.on_end(Error{ErrorKind::Canceled, ""}); });
  f.informer.reset();
  f.world.advance(10'000'000);
  f.world.on_loop([&] { watch.events.on_bytes(change("ADDED", thing("d", "12"))); });
  CHECK(f.changes.empty());
  CHECK(f.world.watches.size() == 1);
  CHECK(f.world.lists.empty());
}

TEST_CASE("an informer that was never started stops without a wait") {
  Fixture f;
  f.informer.reset();
  CHECK(f.world.lists.empty());
}

// --- threads: one writes, many read

namespace {

// The loop's thread and nothing else.
class Loop {
 public:
  Loop() : thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}
  void post(std::function<void()> task) {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    wakened_.notify_all();
  }

 private:
  void run(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (wakened_.wait(lock, stop, [this] { return !tasks_.empty(); })) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable_any wakened_;
  std::deque<std::function<void()>> tasks_;
  std::jthread thread_;
};

}  // namespace

TEST_CASE("readers see whole lists while lists are read and events applied beside them") {
  Loop loop;
  metrics::Registry registry;
  describe_informer_metrics(registry);
  // Every list has all objects at one generation: a reader that sees two generations has seen half a list.
  std::atomic<int> generation{0};
  WatchPorts ports;
  auto page_of = [](int g) {
    std::vector<std::string> items;
    for (int i = 0; i < 20; ++i)
      items.push_back(thing("t" + std::to_string(i), std::to_string(g * 100 + i), "g" + std::to_string(g)));
    return page(items, std::to_string(g * 100 + 50));
  };
  ports.start_list = [&](const Query&, std::function<void(Result<std::string>)> done) -> http::RequestId {
    loop.post([&, done = std::move(done)] { done(page_of(++generation)); });
    return 1;
  };
  ports.open_watch = [&](const Query&, int, http::StreamEvents events) -> http::RequestId {
    loop.post([events = std::move(events)] { events.on_end(http::Response{410, "", 0}); });
    return 2;
  };
  ports.cancel = [](http::RequestId) {};
  ports.post = [&](std::function<void()> task) { loop.post(std::move(task)); };
  std::atomic<BootMillis> clock{1'000};
  ports.post_at = [&](BootMillis at, std::function<void()> task) {
    if (at - clock.load() > 100'000) return;  // watchdogs
    loop.post([&, at, task = std::move(task)] {
      clock.store(std::max(at, clock.load()));
      task();
    });
  };
  ports.now = [&] { return clock.load(); };
  ports.random = [] { return 0.5; };

  Informer<Thing> informer(ports, registry, options());
  std::atomic<int> told{0};
  informer.add_handler([&](const auto&, const auto&) { ++told; });
  informer.start();
  std::atomic<bool> half{false};
  {
    std::vector<std::jthread> readers;
    for (int r = 0; r < 3; ++r)
      readers.emplace_back([&] {
        while (generation.load() < 60) {
          auto objects = informer.list();
          if (objects.empty()) continue;
          if (objects.size() != 20) half.store(true);
          for (const auto& object : objects)
            if (object->node != objects.front()->node) half.store(true);
          if (informer.by_index("node", objects.front()->node).size() % 20 != 0) half.store(true);
          static_cast<void>(informer.get("llm", "t3"));
          static_cast<void>(informer.last_activity());
        }
      });
  }
  informer.stop();
  int at_stop = told.load();
  CHECK_FALSE(half.load());
  CHECK(at_stop > 20);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(told.load() == at_stop);
}
