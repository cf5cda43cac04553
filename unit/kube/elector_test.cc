#include "kube/elector.h"

#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "base/json.h"
#include "catch.h"

using namespace strix;
using namespace strix::kube;

namespace {

// One lease in memory, as an API server keeps it: versions, conflicts, and faults to switch on.
class FakeLease {
 public:
  LeasePorts ports() {
    LeasePorts ports;
    ports.get = [this](int64_t) { return answer([this] { return read(); }, gets); };
    ports.create = [this](std::string body, int64_t) {
      return answer(
          [&]() -> Result<std::string> {
            if (version_ != 0) return Error{ErrorKind::AlreadyExists, "409"};
            return store(body);
          },
          creates);
    };
    ports.put = [this](std::string body, int64_t) {
      return answer(
          [&]() -> Result<std::string> {
            auto given = decode_lease(body);
            if (!given.ok()) return given.error();
            if (version_ == 0) return Error{ErrorKind::NotFound, "404"};
            if (given->resource_version != std::to_string(version_)) return Error{ErrorKind::Conflict, "409"};
            return store(body);
          },
          puts);
    };
    ports.now = [] { return now(); };
    return ports;
  }

  LeaseRecord record() {
    std::lock_guard lock(mutex_);
    return record_;
  }
  std::atomic<bool> down{false};
  std::atomic<int> gets{0}, creates{0}, puts{0};

 private:
  template <class F>
  Result<std::string> answer(F&& act, std::atomic<int>& counter) {
    ++counter;
    if (down.load()) return Error{ErrorKind::Unreachable, "connection refused"};
    std::lock_guard lock(mutex_);
    return act();
  }
  Result<std::string> read() {
    if (version_ == 0) return Error{ErrorKind::NotFound, "404"};
    return encode_lease("llm", "strix", record_, std::to_string(version_));
  }
  Result<std::string> store(const std::string& body) {
    auto document = json::Document::parse(body);
    if (!document.ok()) return document.error();
    ++version_;
    json::Value spec = document->root()["spec"];
    record_ = LeaseRecord{spec["holderIdentity"].string_or(""), spec["leaseDurationSeconds"].integer_or(0),
                          spec["acquireTime"].string_or(""), spec["renewTime"].string_or(""),
                          spec["leaseTransitions"].integer_or(0)};
    return read();
  }

  std::mutex mutex_;
  LeaseRecord record_;
  int version_ = 0;
};

struct Candidate {
  Candidate(FakeLease& lease, std::string identity) {
    ElectorOptions options{"llm", "strix", ElectionSettings{std::move(identity), 3'000, 2'000, 1'000}};
    Elector::Callbacks callbacks;
    callbacks.on_started = [this] { ++started; };
    callbacks.on_lost = [this](const std::string&) { ++lost; };
    auto made = Elector::make(lease.ports(), options, registry, callbacks);
    REQUIRE(made.ok());
    elector = std::move(made).value();
    elector->start();
  }
  metrics::Registry registry;
  std::atomic<int> started{0}, lost{0};
  std::unique_ptr<Elector> elector;
};

bool within(int64_t millis, const std::function<bool()>& condition) {
  for (BootMillis deadline = boot_now() + millis; boot_now() < deadline;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

}  // namespace

TEST_CASE("a lease on the wire reads back as it was written") {
  LeaseRecord record{"host_abc", 15, "2026-02-03T04:05:06.000000Z", "2026-02-03T04:05:08.000000Z", 7};
  auto read = decode_lease(encode_lease("llm", "strix", record, "42"));
  REQUIRE(read.ok());
  CHECK(read->record == record);
  CHECK(read->resource_version == "42");
  CHECK(encode_lease("llm", "strix", record, "").find("resourceVersion") == std::string::npos);
}

TEST_CASE("a lease without a spec, as a person may create it, has no holder") {
  auto read = decode_lease(R"({"metadata":{"name":"strix","resourceVersion":"1"}})");
  REQUIRE(read.ok());
  CHECK(read->record == LeaseRecord{});
}

TEST_CASE("what is no lease is an error") {
  CHECK_FALSE(decode_lease("nonsense").ok());
  CHECK_FALSE(decode_lease("{}").ok());
}

TEST_CASE("identities begin with the host and are never the same twice") {
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) seen.insert(make_identity());
  CHECK(seen.size() == 50);
  std::string one = *seen.begin();
  CHECK(one.size() - one.rfind('_') == 33);
}

TEST_CASE("an elector with settings that could let two lead is not made") {
  metrics::Registry registry;
  FakeLease lease;
  ElectorOptions options{"llm", "strix", ElectionSettings{"me", 10'000, 10'000, 2'000}};
  auto made = Elector::make(lease.ports(), options, registry, {});
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().kind == ErrorKind::Invalid);
}

TEST_CASE("a lone candidate leads at once, renews by writes alone, and releases when it stops") {
  FakeLease lease;
  Candidate one(lease, "one");
  REQUIRE(within(1'000, [&] { return one.elector->is_leading(); }));
  CHECK(one.started.load() == 1);
  CHECK(one.registry.expose().find("leader_election_master_status{name=\"strix\"} 1") != std::string::npos);
  int gets = lease.gets.load();
  int puts = lease.puts.load();
  REQUIRE(within(4'000, [&] { return lease.puts.load() >= puts + 2; }));
  CHECK(lease.gets.load() == gets);
  CHECK(one.elector->is_leading());
  CHECK(boot_now() - one.elector->heartbeat() < 2'000);
  CHECK(one.elector->stop(1'000));
  CHECK_FALSE(one.elector->is_leading());
  CHECK(lease.record().holder.empty());
  CHECK(lease.record().duration_seconds == 1);
  CHECK(one.lost.load() == 0);
}

TEST_CASE("the next in line takes over at its next try when the leader released") {
  FakeLease lease;
  Candidate one(lease, "one");
  REQUIRE(within(1'000, [&] { return one.elector->is_leading(); }));
  Candidate two(lease, "two");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK_FALSE(two.elector->is_leading());
  CHECK(one.elector->stop(1'000));
  CHECK(within(1'500, [&] { return two.elector->is_leading(); }));
  CHECK(lease.record().transitions == 1);
  CHECK(two.started.load() == 1);
}

TEST_CASE("a leader that cannot reach the server any more stops leading and says so, once") {
  FakeLease lease;
  Candidate one(lease, "one");
  REQUIRE(within(1'000, [&] { return one.elector->is_leading(); }));
  lease.down.store(true);
  REQUIRE(within(4'000, [&] { return one.lost.load() == 1; }));
  CHECK_FALSE(one.elector->is_leading());
  CHECK(one.elector->leading_until() == 0);
  // The lease may still be ours: nobody can tell.
  CHECK_FALSE(one.elector->stop(100));
  CHECK(one.lost.load() == 1);
}

TEST_CASE("a stop with the server down ends in time and does not claim a release") {
  FakeLease lease;
  Candidate one(lease, "one");
  REQUIRE(within(1'000, [&] { return one.elector->is_leading(); }));
  lease.down.store(true);
  BootMillis before = boot_now();
  CHECK_FALSE(one.elector->stop(300));
  CHECK(boot_now() - before < 2'000);
}
