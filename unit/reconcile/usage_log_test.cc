#include "reconcile/usage_log.h"

#include "api/names.h"
#include "catch.h"
#include "fake/stack_world.h"

using namespace strix;
using namespace strix::reconcile;
using fake::StackWorld;

namespace {

constexpr BootMillis start = 100 * tuning::interval_millis;

struct Log {
  StackWorld world{1};
  UsageLog log;

  Log() { serve(); }
  void serve() {
    world.pods.clear();
    world.probes.clear();
    api::Pod& pod = world.add_pod("one", PodStage::Serving);
    world.probes[pod.metadata.uid] = fake::a_reading(ProbePhase::Serving, 8192);
  }
  void tell(int64_t number, int64_t kv_tokens) {
    tuning::Interval interval;
    interval.number = number;
    interval.kv_tokens_most = kv_tokens;
    world.probes.begin()->second.interval = interval;
    fold();
  }
  void fold() {
    Observed observed = world.observed();
    log.fold(*observed.stack, observed.pods, observed.probes);
  }
  int64_t most() { return log.seen().at("one").kv_tokens_most; }
};

}  // namespace

TEST_CASE("an interval is taken once, however often it is told") {
  Log log;
  log.fold();
  CHECK(log.log.seen().empty());
  CHECK_FALSE(log.log.due(start));
  for (int i = 0; i < 3; ++i) log.tell(100, 500);
  CHECK(log.log.seen().at("one").observed_millis == tuning::interval_millis);
  CHECK(log.most() == 500);
  log.tell(101, 400);
  CHECK(log.log.seen().at("one").observed_millis == 2 * tuning::interval_millis);
}

TEST_CASE("what was told rests for ten minutes, and is not told again unless something is new") {
  Log log;
  log.tell(100, 500);
  REQUIRE(log.log.due(start));
  CHECK_FALSE(log.log.due_in_millis(start));
  log.log.told(start);
  CHECK_FALSE(log.log.due(start + 3'600'000));
  CHECK_FALSE(log.log.due_in_millis(start));
  log.tell(101, 500);
  CHECK_FALSE(log.log.due(start + 599'999));
  CHECK(log.log.due_in_millis(start + 599'000) == 1'000);
  CHECK(log.log.due(start + 600'000));
}

TEST_CASE("a new pod of the same settings goes on, one of others begins anew") {
  Log log;
  log.tell(100, 500);
  log.serve();
  log.tell(100, 300);  // the same ten minutes of another engine
  CHECK(log.most() == 500);
  log.world.tier("one").context_length_tokens = 4096;
  log.serve();
  log.tell(101, 100);
  CHECK(log.most() == 100);
  log.world.stack.spec.tuning.window_seconds = 7200;
  log.tell(102, 50);
  CHECK(log.most() == 50);
}

TEST_CASE("what is not observed, or not there any more, is forgotten") {
  Log log;
  log.tell(100, 500);
  log.world.stack.spec.tuning.mode = api::TuningMode::Off;
  log.fold();
  CHECK(log.log.seen().empty());
  CHECK_FALSE(log.log.due(start));
  log.world.stack.spec.tuning.mode = api::TuningMode::Observe;
  log.tell(101, 500);
  log.world.stack.spec.tiers.clear();
  log.fold();
  CHECK(log.log.seen().empty());
}
