#include "kube/recorder.h"

#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/json.h"
#include "catch.h"

using namespace strix;
using namespace strix::kube;

namespace {

constexpr WallMillis wall_start = 1'770'000'000'000;
Now at(BootMillis boot) {
  return Now{wall_start + boot, boot};
}

RecorderSettings settings() {
  RecorderSettings settings;
  settings.reporting_controller = "inference.strix.dev/operator";
  settings.reporting_instance = "host_1";
  return settings;
}

EventInput event(std::string note, std::string reason = "TierStarted", std::string name = "strix") {
  return EventInput{{"inference.strix.dev/v1alpha1", "InferenceStack", "llm", name, "uid-" + name, "7"},
                    false,
                    std::move(reason),
                    "Start",
                    std::move(note)};
}

struct Parsed {
  explicit Parsed(const std::string& text) : document(json::Document::parse(text)) { REQUIRE(document.ok()); }
  json::Value operator[](std::string_view member) const { return document->root()[member]; }
  Result<json::Document> document;
};

// Records what was sent; fails as told.
struct Sent {
  EventPorts ports() {
    EventPorts ports;
    ports.create = [this](const std::string&, std::string body) { return take("create", std::move(body)); };
    ports.patch = [this](const std::string&, const std::string&, std::string body) {
      return take("patch", std::move(body));
    };
    ports.now = [] { return now(); };
    return ports;
  }
  Status take(const std::string& verb, std::string body) {
    std::unique_lock lock(mutex);
    ++tries;
    if (hold) wakened.wait_for(lock, std::chrono::seconds(10), [this] { return !hold; });
    if (!failures.empty()) {
      Error error = failures.front();
      failures.erase(failures.begin());
      return error;
    }
    bodies.emplace_back(verb, std::move(body));
    return success();
  }
  size_t count() {
    std::lock_guard lock(mutex);
    return bodies.size();
  }
  void release() {
    std::lock_guard lock(mutex);
    hold = false;
    wakened.notify_all();
  }
  std::mutex mutex;
  std::condition_variable wakened;
  std::vector<std::pair<std::string, std::string>> bodies;
  std::vector<Error> failures;
  int tries = 0;
  bool hold = false;
};

}  // namespace

TEST_CASE("an event is a valid events.k8s.io/v1 Event") {
  EventCore core(settings());
  auto write = core.record(event("coder is serving after 4m12s"), at(0));
  REQUIRE(write);
  CHECK(write->namespace_ == "llm");
  CHECK(write->patch_body.empty());
  Parsed body(write->create_body);
  CHECK(body["apiVersion"].string_or("") == "events.k8s.io/v1");
  CHECK(body["metadata"]["name"].string_or("") == write->name);
  CHECK(write->name.rfind("strix.", 0) == 0);
  CHECK(write->name.size() == 6 + 16);
  CHECK(body["eventTime"].string_or("") == format_micro_time(wall_start));
  CHECK(body["reportingController"].string_or("") == "inference.strix.dev/operator");
  CHECK(body["reportingInstance"].string_or("") == "host_1");
  CHECK(body["type"].string_or("") == "Normal");
  CHECK(body["reason"].string_or("") == "TierStarted");
  CHECK(body["action"].string_or("") == "Start");
  CHECK(body["regarding"]["uid"].string_or("") == "uid-strix");
  CHECK_FALSE(body["series"].exists());
}

TEST_CASE("an event about a cluster-scoped object goes to the namespace default") {
  EventCore core(settings());
  EventInput input = event("x");
  input.regarding.namespace_.clear();
  auto write = core.record(input, at(0));
  REQUIRE(write);
  CHECK(write->namespace_ == "default");
  CHECK_FALSE(Parsed(write->create_body)["regarding"]["namespace"].exists());
}

TEST_CASE("the same event again is a patch of its count and of nothing else") {
  EventCore core(settings());
  auto first = core.record(event("x"), at(0));
  auto second = core.record(event("x"), at(5'000));
  auto third = core.record(event("x"), at(9'000));
  REQUIRE((second && third));
  CHECK(second->name == first->name);
  CHECK(Parsed(third->patch_body).document->root().size() == 1);
  CHECK(Parsed(third->patch_body)["series"]["count"].integer_or(0) == 3);
  CHECK(Parsed(third->patch_body)["series"]["lastObservedTime"].string_or("") ==
        format_micro_time(wall_start + 9'000));
  // For the case that the server has forgotten it.
  CHECK(Parsed(third->create_body)["series"]["count"].integer_or(0) == 3);
}

TEST_CASE("what differs in note, reason, type or object is an event of its own") {
  EventCore core(settings());
  EventInput warning = event("x");
  warning.warning = true;
  std::set<std::string> names;
  for (const EventInput& input :
       {event("x"), event("y"), event("x", "Other"), event("x", "TierStarted", "b"), warning})
    names.insert(core.record(input, at(0))->name);
  CHECK(names.size() == 5);
}

TEST_CASE("more than ten different notes about the same are combined into one event") {
  EventCore core(settings());
  std::set<std::string> names;
  std::optional<EventWrite> last;
  for (int i = 0; i < 20; ++i) {
    last = core.record(event("note " + std::to_string(i)), at(i * 1'000));
    REQUIRE(last);
    names.insert(last->name);
  }
  CHECK(names.size() == 11);
  CHECK(Parsed(last->create_body)["note"].string_or("").rfind("(combined from similar events): ", 0) == 0);
  CHECK(Parsed(last->patch_body)["series"]["count"].integer_or(0) == 10);
}

TEST_CASE("ten quiet minutes end the combining") {
  EventCore core(settings());
  for (int i = 0; i < 12; ++i) core.record(event("note " + std::to_string(i)), at(0));
  auto write = core.record(event("another"), at(600'001));
  REQUIRE(write);
  CHECK(Parsed(write->create_body)["note"].string_or("") == "another");
}

TEST_CASE("an object gets 25 events at once and then one in five minutes, and others are not touched by it") {
  EventCore core(settings());
  int sent = 0;
  for (int i = 0; i < 40; ++i)
    sent += core.record(event("x", "Reason" + std::to_string(i)), at(0)).has_value();
  CHECK(sent == 25);
  CHECK(core.record(event("x", "Reason", "other"), at(0)));
  CHECK_FALSE(core.record(event("y"), at(299'999)));
  CHECK(core.record(event("z"), at(300'000)));
  CHECK_FALSE(core.record(event("z"), at(300'000)));
}

TEST_CASE("an event that was filtered is counted, and created when it may be sent") {
  EventCore core(settings());
  for (int i = 0; i < 25; ++i) core.record(event("x", "Reason" + std::to_string(i)), at(0));
  CHECK_FALSE(core.record(event("new"), at(0)));
  CHECK_FALSE(core.record(event("new"), at(1)));
  auto write = core.record(event("new"), at(300'001));
  REQUIRE(write);
  CHECK(write->patch_body.empty());
  CHECK(Parsed(write->create_body)["series"]["count"].integer_or(0) == 3);
}

TEST_CASE("after the hour for which servers keep events the same one is a new one") {
  EventCore core(settings());
  auto first = core.record(event("x"), at(0));
  auto later = core.record(event("x"), at(3'600'001));
  REQUIRE(later);
  CHECK(later->name != first->name);
  CHECK(later->patch_body.empty());
}

TEST_CASE("the memories are bounded and forget what was not used for longest") {
  Remembered<int> memory(3);
  for (int i = 0; i < 3; ++i) memory.insert(std::to_string(i), i);
  CHECK(*memory.find("0") == 0);
  memory.insert("3", 3);
  CHECK(memory.size() == 3);
  CHECK(memory.find("0"));
  CHECK_FALSE(memory.find("1"));
  CHECK(memory.insert("0", 9) == 9);
  CHECK(memory.size() == 3);
}

TEST_CASE("a note is cut to 1024 bytes, between characters") {
  CHECK(cut_note("short") == "short");
  CHECK(cut_note(std::string(1024, 'x')).size() == 1024);
  std::string long_note;
  while (long_note.size() < 2000) long_note += "\xE2\x82\xAC";  // three bytes each
  std::string cut = cut_note(long_note);
  CHECK(cut.size() <= 1024);
  CHECK(cut.size() % 3 == 0);
  CHECK(cut.substr(cut.size() - 3) == "...");
  EventCore core(settings());
  auto write = core.record(event(long_note), at(0));
  CHECK(Parsed(write->create_body)["note"].string_or("").size() <= 1024);
}

TEST_CASE("a long name still makes a valid event name") {
  EventCore core(settings());
  auto write = core.record(event("x", "Reason", std::string(253, 'n')), at(0));
  CHECK(write->name.size() == 253);
}

// --- the thread

TEST_CASE("events are sent in order, and a flush waits for them") {
  Sent sent;
  metrics::Registry registry;
  Recorder recorder(sent.ports(), settings(), registry);
  for (int i = 0; i < 5; ++i) recorder.record(event("note", "Reason" + std::to_string(i)));
  recorder.record(event("note", "Reason4"));
  recorder.flush_and_stop(5'000);
  REQUIRE(sent.bodies.size() == 6);
  for (size_t i = 0; i < 5; ++i)
    CHECK(Parsed(sent.bodies[i].second)["reason"].string_or("") == "Reason" + std::to_string(i));
  CHECK(sent.bodies[5].first == "patch");
  recorder.record(event("late"));
  CHECK(registry.expose().find("inferencestack_events_dropped_total{cause=\"Stopped\"} 1") !=
        std::string::npos);
}

TEST_CASE("recording never waits: a full queue drops its oldest and counts them") {
  Sent sent;
  sent.hold = true;
  metrics::Registry registry;
  RecorderSettings small = settings();
  small.queue_max = 4;
  Recorder recorder(sent.ports(), small, registry);
  recorder.record(event("first", "First"));
  for (BootMillis deadline = boot_now() + 5'000; boot_now() < deadline;) {
    std::unique_lock lock(sent.mutex);
    if (sent.tries > 0) break;
  }
  BootMillis before = boot_now();
  for (int i = 0; i < 10; ++i) recorder.record(event("x", "Reason" + std::to_string(i)));
  CHECK(boot_now() - before < 1'000);
  sent.release();
  recorder.flush_and_stop(5'000);
  REQUIRE(sent.bodies.size() == 5);
  CHECK(Parsed(sent.bodies[1].second)["reason"].string_or("") == "Reason6");
  CHECK(registry.expose().find("inferencestack_events_dropped_total{cause=\"QueueFull\"} 6") !=
        std::string::npos);
}

TEST_CASE("a patch of an event that the server has forgotten creates it again") {
  Sent sent;
  metrics::Registry registry;
  Recorder recorder(sent.ports(), settings(), registry);
  recorder.record(event("x"));
  for (BootMillis deadline = boot_now() + 5'000; boot_now() < deadline && sent.count() < 1;) {
  }
  {
    std::lock_guard lock(sent.mutex);
    sent.failures.push_back(Error{ErrorKind::NotFound, "404"});
  }
  recorder.record(event("x"));
  recorder.flush_and_stop(5'000);
  REQUIRE(sent.bodies.size() == 2);
  CHECK(sent.bodies[1].first == "create");
  CHECK(Parsed(sent.bodies[1].second)["series"]["count"].integer_or(0) == 2);
}

TEST_CASE(
    "a server that is away for a moment gets the event later, one that refuses it does not get it again") {
  Sent sent;
  metrics::Registry registry;
  sent.failures = {Error{ErrorKind::Unreachable, "refused"}};
  {
    Recorder recorder(sent.ports(), settings(), registry);
    recorder.record(event("x"));
    recorder.flush_and_stop(10'000);
  }
  CHECK(sent.bodies.size() == 1);
  CHECK(sent.tries == 2);
  sent.failures = {Error{ErrorKind::Forbidden, "403"}};
  {
    Recorder recorder(sent.ports(), settings(), registry);
    recorder.record(event("y"));
    recorder.flush_and_stop(10'000);
  }
  CHECK(sent.bodies.size() == 1);
  CHECK(sent.tries == 3);
  CHECK(registry.expose().find("inferencestack_events_dropped_total{cause=\"Failed\"} 1") !=
        std::string::npos);
}

TEST_CASE("an earlier try that arrived although we were not told is a success") {
  Sent sent;
  metrics::Registry registry;
  sent.failures = {Error{ErrorKind::Timeout, ""}, Error{ErrorKind::AlreadyExists, "409"}};
  Recorder recorder(sent.ports(), settings(), registry);
  recorder.record(event("x"));
  recorder.flush_and_stop(10'000);
  CHECK(sent.tries == 2);
  CHECK(registry.expose().find("Failed") == std::string::npos);
}

TEST_CASE("a flush ends at its deadline when the server does not answer") {
  Sent sent;
  metrics::Registry registry;
  for (int i = 0; i < 100; ++i) sent.failures.push_back(Error{ErrorKind::Unreachable, "refused"});
  Recorder recorder(sent.ports(), settings(), registry);
  for (int i = 0; i < 10; ++i) recorder.record(event("x", "Reason" + std::to_string(i)));
  BootMillis before = boot_now();
  recorder.flush_and_stop(100);
  CHECK(boot_now() - before < 2'000);
  CHECK(registry.expose().find("cause=\"Stopped\"") != std::string::npos);
}

TEST_CASE("many threads may record at once") {
  Sent sent;
  metrics::Registry registry;
  Recorder recorder(sent.ports(), settings(), registry);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) recorder.record(event("x", "Reason", "stack" + std::to_string(t)));
      });
  }
  recorder.flush_and_stop(10'000);
  CHECK(sent.bodies.size() == 80);
}
