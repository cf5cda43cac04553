#include "reconcile/stack_reconciler.h"

#include "catch.h"
#include "fake/accepting_cluster.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::StackWorld;

namespace {

// What the informers have of a world.
class WorldCache : public fake::StillCache {
 public:
  explicit WorldCache(const StackWorld& world) : world_(world) {}
  Shared<api::InferenceStack> stack(const api::NamespacedName&) const override {
    return world_.observed().stack;
  }
  std::vector<Shared<api::Pod>> pods_of_stack(const api::NamespacedName&) const override {
    return world_.observed().pods;
  }
  std::vector<Shared<api::Node>> nodes() const override { return world_.observed().nodes; }
  std::vector<Shared<api::Service>> services_of_stack(const api::NamespacedName&) const override {
    return world_.observed().services;
  }

 private:
  const StackWorld& world_;
};

class WorldProber : public Prober {
 public:
  explicit WorldProber(const StackWorld& world) : world_(world) {}
  void watch(const api::NamespacedName&, std::vector<ProbeTarget>) override {}
  std::optional<ProbeReading> reading(const std::string& uid) const override {
    auto found = world_.probes.find(uid);
    return found == world_.probes.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  const StackWorld& world_;
};

class Unheard : public EventSink {
 public:
  std::vector<std::string> reasons;
  void record(const api::InferenceStack&, const Event& event) override { reasons.push_back(event.reason); }
};

// Every tier serves and the status says so.
struct Bench {
  StackWorld world{2};
  fake::AcceptingCluster cluster;
  WorldCache cache{world};
  WorldProber prober{world};
  Unheard events;
  Board board;
  StackReconciler reconciler;

  Bench()
      : reconciler(
            {&cluster, &cache, &prober, &events, [this] { return world.now; }, [](const std::string&) {}},
            board, world.policy, world.leader) {
    world.serve_all();
    world.store(world.settle().status);
  }
  // Passes as they become due, for a while; each status that is written is the stack's own from then on.
  void run(int64_t millis) {
    for (int64_t left = millis; left > 0;) {
      size_t told = cluster.statuses.size();
      PassResult result = reconciler.reconcile(world.stack.metadata.key());
      errors += result.error.has_value();
      if (cluster.statuses.size() > told) {
        world.store(cluster.statuses.back());
        world.stack.metadata.resource_version = "9";
      }
      int64_t wait = std::min(left, result.retry_after_millis.value_or(left));
      world.tick(wait);
      left -= wait;
    }
  }
  int errors = 0;
};

}  // namespace

TEST_CASE("a Service that is refused is told, does not look ready, and holds up nothing else") {
  struct Case {
    const char* what;
    bool exists;
    Error error;
    const char* reason;
  };
  auto c = GENERATE(
      Case{"made, and the name is taken", false, {ErrorKind::AlreadyExists, "exists", 0}, "ServiceNameTaken"},
      Case{"made, beyond a quota", false, {ErrorKind::Forbidden, "exceeded quota", 0}, "Refused"},
      Case{"changed, beyond a quota", true, {ErrorKind::Forbidden, "exceeded quota", 0}, "Refused"});
  CAPTURE(c.what);
  Bench bench;
  if (c.exists) {
    bench.world.services.back().metadata.annotations[std::string(names::annotation_applied_hash)] = "older";
  } else {
    bench.world.services.pop_back();
  }
  bench.cluster.on_service = [&]() -> Status { return c.error; };
  bench.run(25'000);
  CHECK(bench.errors == 0);
  const api::TierStatus& two = bench.world.status("two");
  CHECK(two.state == "Ready");
  CHECK(two.reason == c.reason);
  CHECK(two.message.find("serves, and not as spec.tiers[].service says: ") == 0);
  CHECK(bench.world.stack.status.summary.ready == "1/2");
  CHECK(std::count(bench.events.reasons.begin(), bench.events.reasons.end(), c.reason) == 1);
  CHECK(bench.cluster.writes.size() == 1);  // it is not tried again at once

  // What else happens goes on being told and done.
  fake::put_into(*bench.world.pod("one"), PodStage::Ended, bench.world.now.wall - 1'000);
  bench.run(60'000);
  CHECK(bench.world.status("one").last_failure->failure_class == "Exited");
  CHECK(std::count(bench.cluster.writes.begin(), bench.cluster.writes.end(), "delete llm/strix-one") > 0);

  bench.cluster.on_service = [] { return success(); };
  bench.world.add_services();
  bench.run(60'000);
  CHECK(bench.world.status("two").reason == "Serving");
}

TEST_CASE(
    "a llama-server that found no GPU is not let in where its tier wants one, and its log is read once") {
  struct Case {
    const char* what;
    api::Accelerator accelerator;
    Result<std::string> log;
    const char* state;  // null: it is let in, and the pod's own change is awaited
    int logs_read;
  };
  const std::string warning = "warning: no usable GPU found, --gpu-layers option will be ignored\n";
  auto c = GENERATE_COPY(Case{"it found none", api::Accelerator::Gpu, warning, "BackOff", 1},
                         Case{"it found one", api::Accelerator::Gpu,
                              std::string("load_tensors: offloaded 33/33 layers"), nullptr, 1},
                         Case{"its log cannot be read yet", api::Accelerator::Gpu,
                              Error{ErrorKind::Timeout, "no answer", 0}, "WarmingUp", 6},
                         Case{"it wants none", api::Accelerator::None, warning, nullptr, 0});
  CAPTURE(c.what);
  Bench bench;
  bench.world.tier("two") = fake::a_cpu_tier("two", 8002, "1Gi");
  bench.world.tier("two").accelerator = c.accelerator;
  if (c.accelerator == api::Accelerator::Gpu) bench.world.tier("two").gpu_fraction_milli = 200;
  bench.world.pods.pop_back();
  api::Pod& pod = bench.world.add_pod("two", PodStage::Loading);
  bench.world.probes[pod.metadata.uid] = fake::a_reading(ProbePhase::Serving, 8192);
  bench.cluster.on_log = [&] { return c.log; };
  bench.run(4'500);
  if (c.state) CHECK(bench.world.status("two").state == c.state);
  CHECK(bench.cluster.logs_read == c.logs_read);
  bool let_in =
      std::count(bench.cluster.writes.begin(), bench.cluster.writes.end(), "serve llm/strix-two") > 0;
  bool deleted =
      std::count(bench.cluster.writes.begin(), bench.cluster.writes.end(), "delete llm/strix-two") > 0;
  CHECK(let_in == (c.logs_read <= 1 && !deleted));
  CHECK(deleted == (bench.world.status("two").last_failure.has_value()));
  if (deleted) CHECK(bench.world.status("two").last_failure->failure_class == "NoGpu");
}
