#include "probe/prober.h"

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "catch.h"
#include "fake/engine_server.h"
#include "probe/asks.h"

using namespace strix;
using namespace strix::probe;
using reconcile::ProbePhase;
using reconcile::ProbeReading;
using reconcile::ProbeTarget;

namespace {

const api::NamespacedName stack{"llm", "strix"};
constexpr const char* completion = R"({"choices":[{"text":" there"}],"content":" there"})";
constexpr const char* models = R"({"data":[{"id":"m","max_model_len":65536}]})";
constexpr const char* version = R"({"version":"0.32.0"})";
constexpr const char* idle_metrics =
    "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"4096\"} 1.0\n"
    "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 0.0\n";
constexpr const char* busy_metrics =
    "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 2.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 1.0\n";

ProbeTarget target_of(const fake::EngineServer& server, const std::string& uid = "uid-1") {
  ProbeTarget target;
  target.uid = uid;
  target.stack = stack;
  target.pod_ip = "127.0.0.1";
  target.tier.name = "coder";
  target.tier.port = server.port();
  target.tier.model.repository = "m";
  return target;
}

void behave(fake::EngineServer& server) {
  server.answer("/health", {200, ""});
  server.answer("/v1/completions", {200, completion});
  server.answer("/v1/models", {200, models});
  server.answer("/version", {200, version});
  server.answer("/metrics", {200, idle_metrics});
}

// A loop, a prober, and every wake counted.
class World {
 public:
  World() {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    REQUIRE(initialised == CURLE_OK);
    prober = std::make_unique<TierProber>(loop, [this](const api::NamespacedName& woken) {
      std::lock_guard lock(mutex_);
      ++wakes_[woken];
      changed_.notify_all();
    });
  }
  ~World() { prober.reset(); }

  // True as soon as the reading is as wanted; looked at on every wake, and for the load every 20 ms.
  bool reads(const std::string& uid, const std::function<bool(const ProbeReading&)>& wanted,
             int within_millis = 15'000) {
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(within_millis);
    std::unique_lock lock(mutex_);
    while (std::chrono::steady_clock::now() < end) {
      auto reading = prober->reading(uid);
      if (reading && wanted(*reading)) return true;
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
    return false;
  }
  bool reaches(const std::string& uid, ProbePhase phase, int within_millis = 15'000) {
    return reads(
        uid, [&](const ProbeReading& r) { return r.phase == phase; }, within_millis);
  }
  int wakes(const api::NamespacedName& of = stack) {
    std::lock_guard lock(mutex_);
    return wakes_[of];
  }

  http::Loop loop;
  std::unique_ptr<TierProber> prober;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<api::NamespacedName, int> wakes_;
};

void sleep_millis(int millis) {
  std::this_thread::sleep_for(std::chrono::milliseconds(millis));
}

}  // namespace

TEST_CASE("a tier is seen serving soon after its port opens, and its stack is woken for each phase") {
  fake::EngineServer server;
  behave(server);
  World world;
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::NotListening);
  sleep_millis(200);
  REQUIRE(world.wakes() == 0);
  server.listen();
  REQUIRE(world.reaches("uid-1", ProbePhase::Serving, 2'000));
  REQUIRE(world.prober->reading("uid-1")->report.context_length_tokens == 65'536);
  REQUIRE(world.wakes() >= 2);
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.told; }));
  REQUIRE(world.prober->reading("uid-1")->report.kv_tokens == 65'536);
  REQUIRE(world.prober->reading("uid-1")->report.version == "0.32.0");
  REQUIRE(world.wakes() <= 5);
  auto warm_up = server.seen("/v1/completions").at(0);
  REQUIRE(warm_up.method == "POST");
  REQUIRE(warm_up.head.find("application/json") != std::string::npos);
  REQUIRE(warm_up.body.find("\"max_tokens\":1") != std::string::npos);
}

TEST_CASE("llama-server says that it loads, and its own dialect is spoken") {
  fake::EngineServer server;
  server.answer("/health", {503, R"({"error":{"code":503,"message":"Loading model"}})"});
  server.answer("/completion", {200, completion});
  server.answer("/props", {200, R"({"default_generation_settings":{"n_ctx":8192},"build_info":"b1-2"})"});
  server.listen();
  World world;
  ProbeTarget target = target_of(server);
  target.tier.engine = api::Engine::LlamaCpp;
  world.prober->watch(stack, {target});
  REQUIRE(world.reaches("uid-1", ProbePhase::Loading));
  server.answer("/health", {200, R"({"status":"ok"})"});
  REQUIRE(world.reaches("uid-1", ProbePhase::Serving));
  REQUIRE(world.prober->reading("uid-1")->report.context_length_tokens == 8192);
}

TEST_CASE("a warm-up that fails is told and tried again") {
  fake::EngineServer server;
  behave(server);
  server.answer("/v1/completions", {500, R"({"error":"the prompt was Hello"})"});
  server.listen();
  World world;
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.detail == "warm-up answered 500"; }));
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::WarmingUp);
  server.answer("/v1/completions", {200, completion});
  REQUIRE(world.reaches("uid-1", ProbePhase::Serving));
}

TEST_CASE("an engine that dies while serving stops answering, and comes back with a warm-up") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  ProbeTarget target = target_of(server);
  target.was_serving = true;  // health at once, not in ten seconds
  server.close();
  world.prober->watch(stack, {target});
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::Serving);
  REQUIRE(world.reaches("uid-1", ProbePhase::NotAnswering, 5'000));
  REQUIRE(world.prober->reading("uid-1")->detail == "health: connection refused or broken");
  server.reopen();
  REQUIRE(world.reaches("uid-1", ProbePhase::Serving, 5'000));
  REQUIRE(server.seen("/v1/completions").size() == 1);
}

TEST_CASE("a tier that was serving is asked for health and context, without a warm-up or a change of phase") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  ProbeTarget target = target_of(server);
  target.was_serving = true;
  world.prober->watch(stack, {target});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.told; }));
  REQUIRE(server.seen("/v1/completions").empty());
  REQUIRE(server.seen("/health").size() == 1);
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::Serving);
}

TEST_CASE("an engine that hangs up in the middle of an answer is not healthy for it") {
  fake::EngineServer server;
  behave(server);
  server.answer("/v1/completions", fake::EngineReply{200, completion, 0, false, true});
  server.listen();
  World world;
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return !r.detail.empty(); }));
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::WarmingUp);
}

TEST_CASE("the load of a draining tier is read until it is idle") {
  fake::EngineServer server;
  behave(server);
  server.answer("/metrics", {200, busy_metrics});
  server.listen();
  World world;
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.told; }));
  REQUIRE_FALSE(world.prober->reading("uid-1")->load);
  ProbeTarget draining = target_of(server);
  draining.draining = true;
  world.prober->watch(stack, {draining});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.load == engines::Load{2, 1}; }));
  sleep_millis(600);
  REQUIRE(server.seen("/metrics").size() >= 2);
  int before = world.wakes();
  server.answer("/metrics", {200, idle_metrics});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.load && r.load->idle(); }));
  sleep_millis(50);
  REQUIRE(world.wakes() == before + 1);
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return !r.load; }));
}

TEST_CASE("an answer over 256 KiB is not read") {
  fake::EngineServer server;
  behave(server);
  server.answer("/metrics", {200, std::string(idle_metrics) + std::string(300 * 1024, '#')});
  server.listen();
  World world;
  ProbeTarget target = target_of(server);
  target.was_serving = target.draining = true;
  world.prober->watch(stack, {target});
  sleep_millis(700);
  REQUIRE(server.seen("/metrics").size() >= 2);
  REQUIRE_FALSE(world.prober->reading("uid-1")->load);
}

TEST_CASE("a target that is taken away is not asked or known any more, one under another uid starts anew") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  world.prober->watch(stack, {target_of(server, "old")});
  REQUIRE(world.reaches("old", ProbePhase::Serving));
  world.prober->watch(stack, {target_of(server, "new")});
  REQUIRE_FALSE(world.prober->reading("old"));
  REQUIRE(world.prober->reading("new")->phase == ProbePhase::NotListening);
  REQUIRE(world.reaches("new", ProbePhase::Serving));
  REQUIRE(server.seen("/v1/completions").size() == 2);
  world.prober->watch(stack, {});
  REQUIRE_FALSE(world.prober->reading("new"));
}

TEST_CASE("taking one stack's targets away leaves another's") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  api::NamespacedName other{"llm", "other"};
  world.prober->watch(stack, {target_of(server, "a")});
  ProbeTarget target = target_of(server, "b");
  target.stack = other;
  world.prober->watch(other, {target});
  REQUIRE(world.reaches("a", ProbePhase::Serving));
  REQUIRE(world.reaches("b", ProbePhase::Serving));
  REQUIRE(world.wakes(other) >= 1);
  world.prober->watch(other, {});
  REQUIRE(world.prober->reading("a"));
  REQUIRE_FALSE(world.prober->reading("b"));
}

TEST_CASE("watching the same set again changes nothing and asks nothing more") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reads("uid-1", [](const ProbeReading& r) { return r.told; }));
  int wakes = world.wakes();
  size_t asked = server.seen("/health").size();
  for (int i = 0; i < 100; ++i) world.prober->watch(stack, {target_of(server)});
  sleep_millis(300);
  REQUIRE(world.wakes() == wakes);
  REQUIRE(server.seen("/health").size() == asked);
}

TEST_CASE("a pod without an address is known and not asked until it has one") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  ProbeTarget target = target_of(server);
  target.pod_ip = "";
  world.prober->watch(stack, {target});
  sleep_millis(100);
  REQUIRE(world.prober->reading("uid-1")->phase == ProbePhase::NotListening);
  REQUIRE(server.seen("/health").empty());
  world.prober->watch(stack, {target_of(server)});
  REQUIRE(world.reaches("uid-1", ProbePhase::Serving));
}

TEST_CASE("at most 32 questions are open at once, and all targets get their turn") {
  fake::EngineServer server;
  behave(server);
  server.answer("/v1/completions", {200, completion, 100});
  server.listen();
  World world;
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < 100; ++i) targets.push_back(target_of(server, "uid-" + std::to_string(i)));
  world.prober->watch(stack, targets);
  for (const auto& target : targets) REQUIRE(world.reaches(target.uid, ProbePhase::Serving));
  REQUIRE(server.open_connections_max() >= 8);
  REQUIRE(server.open_connections_max() <= 40);  // a connection may close a little after its answer
}

TEST_CASE("the destructor returns while questions hang, and nobody is woken after it") {
  fake::EngineServer server;
  server.answer("/health", fake::EngineReply{200, "", 0, true});
  server.listen();
  World world;
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < 50; ++i) targets.push_back(target_of(server, "uid-" + std::to_string(i)));
  world.prober->watch(stack, targets);
  sleep_millis(200);
  world.prober.reset();
  int wakes = world.wakes();
  server.answer("/health", {200, ""});
  sleep_millis(200);
  REQUIRE(world.wakes() == wakes);
}

TEST_CASE("probers come and go while engines answer, with no callback late") {
  fake::EngineServer server;
  behave(server);
  server.listen();
  World world;
  for (int i = 0; i < 100; ++i) {
    auto alive = std::make_unique<std::atomic<bool>>(true);
    TierProber prober(world.loop, [&alive](const api::NamespacedName&) { REQUIRE(alive->load()); });
    prober.watch(stack, {target_of(server, "a"), target_of(server, "b")});
    std::this_thread::sleep_for(std::chrono::microseconds(i * 100));
  }
}

TEST_CASE("an IPv6 address is bracketed") {
  fake::EngineServer v4;
  ProbeTarget target = target_of(v4);
  target.pod_ip = "fd00::1";
  target.tier.port = 8001;
  REQUIRE(make_request(target, {AskKind::Health, 5'000}).url == "http://[fd00::1]:8001/health");
}

TEST_CASE("the API key goes out as a bearer token, and one that could not be a header does not") {
  struct Case {
    std::string key, sent;
  };
  auto c = GENERATE(Case{"", ""}, Case{"secret", "Bearer secret"}, Case{"secret\n", "Bearer secret"},
                    Case{"a\r\nX-Other: b", ""}, Case{"\n", ""});
  fake::EngineServer server;
  ProbeTarget target = target_of(server);
  target.api_key = c.key;
  std::string sent;
  for (const auto& [name, value] : make_request(target, {AskKind::WarmUp, 1}).headers)
    if (name == "Authorization") sent = value;
  REQUIRE(sent == c.sent);
}

TEST_CASE("errors of the loop are read as what happened to the answer") {
  api::Tier tier;
  auto read = [&](ErrorKind kind) { return read_answer(AskKind::Health, tier, Error{kind, "text"}); };
  REQUIRE(read(ErrorKind::Timeout).delivery == Delivery::TimedOut);
  REQUIRE(read(ErrorKind::Unreachable).delivery == Delivery::Refused);
  REQUIRE(read(ErrorKind::Invalid).delivery == Delivery::Answered);
  for (auto kind : {ErrorKind::Timeout, ErrorKind::Unreachable, ErrorKind::Invalid}) {
    REQUIRE(read(kind).health != engines::HealthReading::Healthy);
    REQUIRE_FALSE(read(kind).complaint.empty());
  }
}
