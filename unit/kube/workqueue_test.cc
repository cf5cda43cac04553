#include "kube/workqueue.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "catch.h"

using namespace strix;
using namespace strix::kube;

namespace {

WorkqueueSettings named(std::string name) {
  WorkqueueSettings settings;
  settings.name = std::move(name);
  return settings;
}

std::vector<std::string> take_all(WorkqueueCore& core, BootMillis now) {
  std::vector<std::string> keys;
  while (auto key = core.take(now)) keys.push_back(*key);
  return keys;
}

struct Shell {
  Shell() { describe_workqueue_metrics(registry); }
  metrics::Registry registry;
  std::optional<Workqueue> made;
  Workqueue& queue() {
    if (!made) made.emplace(named("stack"), registry);
    return *made;
  }
};

}  // namespace

// --- the core: as client-go's queue_test.go, delaying_queue_test.go and default_rate_limiters_test.go
// describe it

TEST_CASE("keys come out in the order in which they came in") {
  WorkqueueCore core(named("q"));
  for (const char* key : {"c", "a", "b"}) CHECK(core.add(key, 0));
  CHECK(take_all(core, 0) == std::vector<std::string>{"c", "a", "b"});
}

TEST_CASE("a key that is queued already is not queued twice") {
  WorkqueueCore core(named("q"));
  CHECK(core.add("a", 0));
  CHECK_FALSE(core.add("a", 0));
  CHECK(core.depth() == 1);
  CHECK(core.adds_total() == 1);
}

TEST_CASE("a key added while it is worked on is not handed out until it is done, and then once more") {
  WorkqueueCore core(named("q"));
  core.add("a", 0);
  REQUIRE(core.take(0) == "a");
  core.add("a", 0);
  core.add("a", 0);
  CHECK_FALSE(core.take(0));
  CHECK(core.done("a", 0));
  REQUIRE(core.take(0) == "a");
  CHECK_FALSE(core.done("a", 0));
  CHECK_FALSE(core.take(0));
}

TEST_CASE("a key that is done without having been added again does not come back") {
  WorkqueueCore core(named("q"));
  core.add("a", 0);
  core.take(0);
  core.done("a", 0);
  CHECK_FALSE(core.take(0));
  CHECK(core.processing() == 0);
}

TEST_CASE("other keys are handed out while one is worked on") {
  WorkqueueCore core(named("q"));
  core.add("a", 0);
  core.add("b", 0);
  CHECK(core.take(0) == "a");
  CHECK(core.take(0) == "b");
}

TEST_CASE("after shut down what is queued is handed out and nothing is taken in") {
  WorkqueueCore core(named("q"));
  core.add("a", 0);
  core.add_after("late", 10, 0);
  core.shut_down();
  CHECK_FALSE(core.add("b", 0));
  CHECK_FALSE(core.add_after("c", 10, 0));
  CHECK(take_all(core, 1'000) == std::vector<std::string>{"a"});
  CHECK_FALSE(core.drained());
  core.done("a", 0);
  CHECK(core.drained());
}

TEST_CASE("a drain waits for a key that was added again before the shut down") {
  WorkqueueCore core(named("q"));
  core.add("a", 0);
  core.take(0);
  core.add("a", 0);
  core.shut_down();
  core.done("a", 0);
  CHECK_FALSE(core.drained());
  CHECK(core.take(0) == "a");
  core.done("a", 0);
  CHECK(core.drained());
}

TEST_CASE("a delayed key appears when its time has come and not before") {
  WorkqueueCore core(named("q"));
  core.add_after("a", 50, 0);
  CHECK_FALSE(core.take(49));
  CHECK(core.next_deadline() == 50);
  CHECK(core.take(50) == "a");
  CHECK_FALSE(core.next_deadline());
}

TEST_CASE("of two delays of a key the earlier one wins, whichever came first") {
  for (auto [first, second] : {std::pair{50, 30}, {30, 50}}) {
    WorkqueueCore core(named("q"));
    core.add_after("a", first, 0);
    core.add_after("a", second, 0);
    CHECK(core.delayed() == 1);
    CHECK_FALSE(core.take(29));
    REQUIRE(core.take(30) == "a");
    core.done("a", 30);
    CHECK_FALSE(core.take(1'000));
  }
}

TEST_CASE("delayed keys come in the order of their deadlines") {
  WorkqueueCore core(named("q"));
  core.add_after("last", 1'000, 0);
  core.add_after("second", 500, 0);
  core.add_after("first", 250, 0);
  CHECK(take_all(core, 2'000) == std::vector<std::string>{"first", "second", "last"});
}

TEST_CASE("a delay of nothing, or less, is an add") {
  WorkqueueCore core(named("q"));
  CHECK(core.add_after("a", 0, 0));
  CHECK(core.add_after("b", -5, 0));
  CHECK(take_all(core, 0) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a key that is queued at its deadline already is not queued twice") {
  WorkqueueCore core(named("q"));
  core.add_after("a", 10, 0);
  core.add("a", 0);
  CHECK(core.promote(10) == 0);
  CHECK(core.depth() == 1);
}

TEST_CASE("failures of a key double its delay up to the ceiling, and forget starts it over") {
  WorkqueueCore core(named("q"));
  std::vector<int64_t> delays;
  for (int i = 0; i < 16; ++i) delays.push_back(core.rate_limit_millis("a", 1'000'000 * i));
  CHECK(delays[0] == 5);
  CHECK(delays[1] == 10);
  CHECK(delays[4] == 80);
  CHECK(delays[13] == 40'960);
  CHECK(delays[14] == 60'000);
  CHECK(delays[15] == 60'000);
  CHECK(core.num_requeues("a") == 16);
  CHECK(core.rate_limit_millis("b", 100'000'000) == 5);
  core.forget("a");
  CHECK(core.num_requeues("a") == 0);
  CHECK(core.rate_limit_millis("a", 200'000'000) == 5);
}

TEST_CASE("all keys together get a burst of a hundred retries and then ten a second") {
  WorkqueueCore core(named("q"));
  for (int i = 0; i < 100; ++i) CHECK(core.rate_limit_millis("k" + std::to_string(i), 5'000) == 5);
  CHECK(core.rate_limit_millis("k100", 5'000) == 100);
  CHECK(core.rate_limit_millis("k101", 5'000) == 200);
  CHECK(core.rate_limit_millis("k102", 15'300) == 5);
}

TEST_CASE("the core says how long a key waited and how long work took") {
  WorkqueueCore core(named("q"));
  core.add("a", 100);
  core.take(130);
  CHECK(core.last_wait_millis() == 30);
  core.add("b", 130);
  core.take(140);
  CHECK(core.unfinished_millis(200) == std::pair<int64_t, int64_t>{130, 70});
  core.done("a", 230);
  CHECK(core.last_work_millis() == 100);
}

// --- the shell

TEST_CASE("a worker waits for a key, for a deadline, and no longer than its stop") {
  Shell shell;
  shell.queue();  // made before anybody shares it
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    shell.queue().add("a");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  CHECK(shell.queue().next(stop.get_token()) == "a");
  shell.queue().done("a");
  BootMillis before = boot_now();
  shell.queue().add_after("b", 20);
  CHECK(shell.queue().next(stop.get_token()) == "b");
  CHECK(boot_now() - before >= 20);
  shell.queue().done("b");
  CHECK_FALSE(shell.queue().next(stop.get_token()));
}

TEST_CASE("an earlier deadline shortens a wait that has begun") {
  Shell shell;
  shell.queue().add_after("late", 60'000);
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    shell.queue().add_after("soon", 20);
  });
  CHECK(shell.queue().next({}) == "soon");
}

TEST_CASE("a deadline is kept although the worker that waited for it is busy with something else") {
  Shell shell;
  shell.queue();
  std::atomic<bool> seen{false};
  std::stop_source stop;
  std::jthread busy([&] {
    auto key = shell.queue().next(stop.get_token());
    while (!seen.load() && !stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (key) shell.queue().done(*key);
  });
  std::jthread idle([&] {
    if (auto key = shell.queue().next(stop.get_token())) {
      seen.store(true);
      shell.queue().done(*key);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  shell.queue().add_after("b", 50);
  shell.queue().add("a");
  BootMillis deadline = boot_now() + 3'000;
  while (!seen.load() && boot_now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(seen.load());
  stop.request_stop();
}

TEST_CASE("shut down with drain waits for the work that is under way, and not past its deadline") {
  Shell shell;
  shell.queue().add("a");
  REQUIRE(shell.queue().next({}) == "a");
  CHECK_FALSE(shell.queue().shut_down_with_drain(20));
  CHECK_FALSE(shell.queue().next({}));
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    shell.queue().done("a");
  });
  CHECK(shell.queue().shut_down_with_drain(5'000));
}

TEST_CASE("many producers and workers: no key is lost, and none is worked on by two") {
  Shell shell;
  Workqueue& queue = shell.queue();
  constexpr int keys = 20, producers = 3, workers = 4, rounds = 300;
  std::array<std::atomic<int>, keys> wanted{}, seen{}, inside{};
  std::atomic<bool> two_at_once{false};
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w)
      threads.emplace_back([&] {
        while (auto key = queue.next({})) {
          auto i = static_cast<size_t>(std::stoi(*key));
          if (inside[i].fetch_add(1) != 0) two_at_once.store(true);
          // What was wanted when the work began is seen by it.
          seen[i].store(wanted[i].load());
          inside[i].fetch_sub(1);
          queue.forget(*key);
          queue.done(*key);
        }
      });
    std::vector<std::jthread> adding;
    for (int p = 0; p < producers; ++p)
      adding.emplace_back([&, p] {
        for (int r = 0; r < rounds; ++r) {
          auto i = static_cast<size_t>((r * 7 + p) % keys);
          wanted[i].fetch_add(1);
          std::string key = std::to_string(i);
          if (r % 3 == 0) queue.add(key);
          if (r % 3 == 1) queue.add_after(key, r % 5);
          if (r % 3 == 2) queue.add_rate_limited(key);
        }
      });
    adding.clear();
    // Everything delayed is due within the bucket's wait; the last add of each key has to be worked off.
    for (size_t i = 0; i < keys; ++i) queue.add(std::to_string(i));
    CHECK(queue.shut_down_with_drain(20'000));
  }
  CHECK_FALSE(two_at_once.load());
  for (size_t i = 0; i < keys; ++i) CHECK(seen[i].load() == wanted[i].load());
}

TEST_CASE("the metrics carry controller-runtime's names and the queue's") {
  Shell shell;
  Workqueue& queue = shell.queue();
  queue.add("a");
  queue.add("b");
  queue.add_after("c", 60'000);
  queue.next({});
  queue.update_metrics();
  std::string text = shell.registry.expose();
  CHECK(text.find("workqueue_depth{name=\"stack\"} 1\n") != std::string::npos);
  CHECK(text.find("workqueue_adds_total{name=\"stack\"} 2\n") != std::string::npos);
  CHECK(text.find("workqueue_retries_total{name=\"stack\"} 1\n") != std::string::npos);
  CHECK(text.find("workqueue_queue_duration_seconds_count{name=\"stack\"} 1\n") != std::string::npos);
  CHECK(text.find("workqueue_unfinished_work_seconds{name=\"stack\"}") != std::string::npos);
  CHECK(text.find("workqueue_longest_running_processor_seconds{name=\"stack\"}") != std::string::npos);
  queue.done("a");
  CHECK(shell.registry.expose().find("workqueue_work_duration_seconds_count{name=\"stack\"} 1\n") !=
        std::string::npos);
}

TEST_CASE("keys that may wait are taken last, but never starve") {
  WorkqueueCore queue(WorkqueueSettings{});
  for (int i = 0; i < 3; ++i) queue.add("later" + std::to_string(i), 0, Urgency::Later);
  for (int i = 0; i < 16; ++i) queue.add("now" + std::to_string(i), 0);
  REQUIRE(queue.depth() == 19);
  std::vector<std::string> taken;
  while (auto key = queue.take(1)) taken.push_back(*key);
  REQUIRE(taken.size() == 19);
  REQUIRE(taken[0] == "now0");
  REQUIRE(std::find(taken.begin(), taken.begin() + 10, "later0") != taken.begin() + 10);
  REQUIRE(taken.back() == "later2");
}

TEST_CASE("a key that may wait and then may not is taken once, at its new place") {
  WorkqueueCore queue(WorkqueueSettings{});
  queue.add("a", 0, Urgency::Later);
  queue.add("b", 0, Urgency::Later);
  REQUIRE(queue.add("b", 1));
  REQUIRE_FALSE(queue.add("b", 2, Urgency::Later));
  REQUIRE(queue.depth() == 2);
  REQUIRE(queue.take(3) == "b");
  queue.add("b", 4, Urgency::Later);  // while it is being worked on
  REQUIRE(queue.take(5) == "a");
  REQUIRE_FALSE(queue.take(6));
  queue.done("b", 7);
  REQUIRE(queue.take(8) == "b");
  queue.done("a", 9);
  queue.done("b", 9);
  queue.shut_down();
  REQUIRE(queue.drained());
}
