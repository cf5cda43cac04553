#include "reconcile/read_back.h"

#include "api/names.h"
#include "catch.h"
#include "fake/model_facts.h"
#include "reconcile/status.h"
#include "reconcile/tier_view.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;
using fake::tier_in;
using test::View;

namespace {

// Of a model with 131,072 bytes a token: 32 layers, 8 heads of 128.
void declare(api::Tier& tier, int64_t context_tokens, int64_t kv_bytes) {
  tier.model.facts = fake::model_facts(65536);
  tier.gpu_fraction_milli.reset();
  tier.context_length_tokens = context_tokens;
  tier.kv_cache_bytes = kv_bytes;
}

// A tier that serves, and has told all that it will.
struct Serving {
  explicit Serving(engines::Report report) : world(1) {
    declare(world.tier("one"), 8192, 4 * gib);
    serve();
    reading().report = std::move(report);
    reading().told = true;
  }
  void serve() {
    world.pods.clear();
    world.probes.clear();
    Decision decision = world.decide();
    api::Pod& pod = world.take_pod(fake::actions_of<CreatePod>(decision).at(0).body);
    fake::put_into(pod, PodStage::Serving, noon - 60'000);
    world.probes[pod.metadata.uid].phase = ProbePhase::Serving;
  }
  ProbeReading& reading() { return world.probes.begin()->second; }
  api::TierStatus status() { return tier_in(world.decide().status, "one"); }

  StackWorld world;
};

std::vector<std::string> events_of(const Decision& decision) {
  std::vector<std::string> reasons;
  for (const auto& event : decision.events) reasons.push_back(event.reason);
  return reasons;
}

engines::Report report(int64_t context_length_tokens, int64_t kv_tokens) {
  engines::Report report;
  report.context_length_tokens = context_length_tokens;
  report.kv_tokens = kv_tokens;
  report.version = "0.32.0";
  return report;
}

engines::Report as_planned() {
  engines::Report told = report(8192, 32768);
  told.kv_bytes = 4 * gib;
  return told;
}

engines::Report with_slots(engines::Report told, int64_t slots) {
  told.slots = slots;
  return told;
}

engines::Report with_requests(engines::Report told, int64_t millionths) {
  told.kv_requests_millionths = millionths;
  return told;
}

}  // namespace

TEST_CASE("status tells the cache and the version that the engine told") {
  Serving tier(as_planned());
  api::TierStatus status = tier.status();
  CHECK(status.context_length_tokens == 8192);
  CHECK(status.kv ==
        api::KvStatus{.bytes = 4 * gib, .tokens = 32768, .concurrency_hundredths = 400, .peak_percent = {}});
  CHECK(status.engine_version == "0.32.0");
  CHECK(status.reason == names::reason_serving);
  CHECK(status.message.empty());
}

TEST_CASE("what the engine has and the plan does not is told with both numbers") {
  struct Case {
    const char* what;
    engines::Report report;
    const char* message;
  };
  auto c = GENERATE(
      Case{"a shorter context", report(4096, 32768),
           "the engine takes at most 4096 tokens a request, and was started for 8192; set contextLength to "
           "4096 so that nobody counts on more"},
      Case{"a smaller cache", report(8192, 16384),
           "its KV cache holds 16384 tokens, and the plan says 32768: fewer requests run at once; the memory "
           "that one token takes is not what the plan counts with. Correct model.facts, or kvCacheType"},
      Case{"a larger cache", report(8192, 65536),
           "its KV cache holds 65536 tokens, and the plan says 32768: more was taken than needed; the memory "
           "that one token takes is not what the plan counts with. Correct model.facts, or kvCacheType"},
      Case{"a cache that holds as many requests, though other tokens",
           with_requests(report(8192, 99), 4'000'000), ""},
      Case{"one block less", report(8192, 32768 - 128), ""},
      Case{"slots", with_slots(report(8192, 32768), 1),
           "the engine has 1 slots, and was started for 4; set maxSequences to 1"},
      Case{"nothing told", {}, ""});
  CAPTURE(c.what);
  Serving tier(c.report);
  api::TierStatus status = tier.status();
  CHECK(status.state == state::ready);
  CHECK(status.message == c.message);
  CHECK((status.reason == names::reason_engine_differs) == !status.message.empty());
}

TEST_CASE("that an engine differs is an event once, and stays told over a restart of the operator") {
  Serving tier(report(4096, 32768));
  tier.world.add_services();
  Decision first = tier.world.decide();
  auto events = events_of(first);
  CHECK(std::count(events.begin(), events.end(), "EngineDiffers") == 1);
  Decision settled = tier.world.settle();
  CHECK(settled.actions.empty());
  CHECK(settled.events.empty());

  // The operator starts again: it has the pod's word that it serves, and has asked nothing.
  tier.reading() = ProbeReading{};
  tier.reading().phase = ProbePhase::Serving;
  Decision again = tier.world.decide();
  CHECK(again.actions.empty());
  CHECK(again.events.empty());
  CHECK(tier.status().engine_version == "0.32.0");

  // It serves as planned now: that is told, without an event.
  tier.reading().report = as_planned();
  tier.reading().told = true;
  CHECK(tier.status().reason == names::reason_serving);
  CHECK(events_of(tier.world.decide()).empty());
}

TEST_CASE("the cache of a llama-server has the bytes that the plan computed, where it is as planned") {
  StackWorld world(1);
  api::Tier tier = fake::a_cpu_tier("one", 8001, "");
  declare(tier, 8192, 0);
  tier.kv_cache_bytes.reset();
  world.stack.spec.tiers = {tier};
  Decision decision = world.decide();
  api::Pod& pod = world.take_pod(fake::actions_of<CreatePod>(decision).at(0).body);
  fake::put_into(pod, PodStage::Serving, noon - 60'000);
  ProbeReading& reading = world.probes[pod.metadata.uid];
  reading.phase = ProbePhase::Serving;
  reading.told = true;
  reading.report = with_slots(report(8192, 8192), 4);
  CHECK(tier_in(world.decide().status, "one").kv ==
        api::KvStatus{.bytes = gib, .tokens = 8192, .concurrency_hundredths = 100, .peak_percent = {}});
  reading.report.context_length_tokens = reading.report.kv_tokens = 2048;
  api::TierStatus status = tier_in(world.decide().status, "one");
  CHECK(status.kv ==
        api::KvStatus{.bytes = {}, .tokens = 2048, .concurrency_hundredths = 100, .peak_percent = {}});
  CHECK(status.reason == names::reason_engine_differs);
}
