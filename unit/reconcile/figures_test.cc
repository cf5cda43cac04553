#include "reconcile/figures.h"

#include "api/conditions.h"
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

namespace {

constexpr int64_t hour = 3'600'000, day = 24 * hour;

// A vLLM tier that serves 65,536 tokens a request out of a cache of 131,072, with 131,072 bytes a token.
struct Served {
  StackWorld world{1};
  std::optional<std::map<std::string, tuning::Seen>> usage;

  Served() {
    api::Tier& tier = world.tier("one");
    tier.model.facts = fake::model_facts(65'536);
    tier.context_length_tokens = 65'536;
    tier.gpu_fraction_milli.reset();
    tier.kv_cache_bytes = 16 * gib;
    world.add_services();
    Decision decision = world.decide();
    api::Pod& pod = world.take_pod(fake::actions_of<CreatePod>(decision).at(0).body);
    fake::put_into(pod, PodStage::Serving, noon - 60'000);
    ProbeReading& reading = world.probes[pod.metadata.uid];
    reading = fake::a_reading(ProbePhase::Serving, 65'536);
    reading.report.kv_tokens = 131'072;
  }
  Decision decide() {
    Observed observed = world.observed();
    observed.usage = usage;
    return reconcile::decide(observed);
  }
  const api::TierStatus& pass() {
    Decision decision = decide();
    events.clear();
    for (const auto& event : decision.events) events.push_back(event.reason);
    world.store(decision.status);
    return world.status("one");
  }
  void see(int kv_used_milli, int64_t observed_millis, int64_t requests = 0) {
    tuning::Seen seen;
    seen.observed_millis = observed_millis;
    seen.kv_intervals = 1;
    seen.kv_used_milli_most = kv_used_milli;
    seen.kv_tokens_most = 131'072 / 1000 * kv_used_milli;
    seen.requests = requests;
    seen.prompt_tokens_over = 5'000;
    seen.prompt_tokens_most = 10'000;
    seen.answer_tokens_most = 1'000;
    usage = {{"one", seen}};
  }
  std::string tuned() {
    const api::Condition* found = api::find_condition(world.stack.status.conditions, "Tuned");
    return found ? found->status + " " + found->reason : "none";
  }

  std::vector<std::string> events;
};

}  // namespace

TEST_CASE("the peak is in steps of five percent, rounded up, and stays while nothing new is told") {
  struct Case {
    int milli, percent;
  };
  auto c = GENERATE(Case{0, 0}, Case{1, 5}, Case{50, 5}, Case{51, 10}, Case{346, 35}, Case{951, 100},
                    Case{1000, 100});
  Served served;
  CHECK_FALSE(served.pass().kv->peak_percent);
  served.see(c.milli, hour);
  CHECK(served.pass().kv->peak_percent == c.percent);
  served.usage.reset();
  CHECK(served.pass().kv->peak_percent == c.percent);
  CHECK(served.decide().actions.empty());
}

TEST_CASE("a peak goes down only when the whole window has been seen") {
  Served served;
  served.pass();
  served.see(800, day);
  served.pass();
  served.see(100, day - 1);
  CHECK(served.pass().kv->peak_percent == 80);
  served.see(100, day);
  CHECK(served.pass().kv->peak_percent == 10);
}

TEST_CASE("traffic within one step changes nothing in status") {
  Served served;
  served.see(310, day);
  served.pass();
  for (int milli : {302, 349, 320}) {
    served.see(milli, day);
    CHECK(served.decide().actions.empty());
  }
  served.see(351, day);
  CHECK(fake::actions_of<ApplyStatus>(served.decide()).size() == 1);
}

TEST_CASE("what is recommended is told in status, as a condition and once as an event") {
  Served served;
  served.pass();
  CHECK(served.tuned() == "Unknown Observing");
  served.see(100, hour, 500);
  served.pass();
  CHECK(served.tuned() == "Unknown Observing");
  CHECK(served.events.empty());

  served.see(100, day, 500);
  api::TierStatus status = served.pass();
  REQUIRE(status.recommended);
  CHECK(status.recommended->context_length_tokens == 11'264);
  REQUIRE(status.recommended->kv_cache_bytes);
  CHECK(status.recommended->since == noon);
  CHECK(served.tuned() == "False Recommended");
  CHECK(served.events == std::vector<std::string>{"Recommended"});

  served.world.tick(hour);
  served.see(95, day, 600);  // the same, with other numbers in its sentence
  CHECK(served.decide().actions.empty());
  CHECK(served.decide().events.empty());

  served.usage.reset();  // the operator has started again, and has seen nothing
  CHECK(served.decide().actions.empty());
  served.see(0, hour);
  CHECK(served.decide().actions.empty());
}

TEST_CASE("a tier whose use its settings suit is tuned") {
  Served served;
  served.world.tier("one").kv_cache_bytes = 8 * gib;
  served.see(900, day, 500);
  served.usage->at("one").prompt_tokens_most = 60'000;
  served.usage->at("one").prompt_tokens_over = 50'000;
  served.world.pods.clear();
  Decision decision = served.world.decide();
  api::Pod& pod = served.world.take_pod(fake::actions_of<CreatePod>(decision).at(0).body);
  fake::put_into(pod, PodStage::Serving, noon - 60'000);
  served.world.probes[pod.metadata.uid] = fake::a_reading(ProbePhase::Serving, 65'536);
  served.pass();
  CHECK(served.tuned() == "True Suits");
}

TEST_CASE("a recommendation goes with the engine that it is about") {
  Served served;
  served.see(100, day, 500);
  REQUIRE(served.pass().recommended);
  served.usage.reset();
  served.world.tier("one").context_length_tokens = 11'264;  // as recommended
  api::TierStatus status = served.pass();
  CHECK(status.state == state::stopping);
  CHECK_FALSE(status.recommended);
  CHECK(served.tuned() == "Unknown Observing");
}

TEST_CASE("with mode Off there is no recommendation, no peak and no condition, and engines are not asked") {
  Served served;
  served.see(100, day, 500);
  served.pass();
  CHECK(served.decide().targets.at(0).observe);
  served.world.stack.spec.tuning.mode = api::TuningMode::Off;
  served.usage.reset();
  api::TierStatus status = served.pass();
  CHECK_FALSE(status.recommended);
  CHECK_FALSE(status.kv->peak_percent);
  CHECK(served.tuned() == "none");
  CHECK_FALSE(served.decide().targets.at(0).observe);
}

TEST_CASE("a model of which nothing is known is said to be that") {
  StackWorld world(1);
  world.serve_all();
  Observed observed = world.observed();
  tuning::Seen seen;
  seen.observed_millis = day;
  observed.usage = {{"one", seen}};
  Decision decision = decide(observed);
  const api::Condition* tuned = api::find_condition(decision.status.conditions, names::condition_tuned);
  REQUIRE(tuned);
  CHECK(tuned->status == "Unknown");
  CHECK(tuned->message == "nothing is known to compute with of the model of one; model.facts says it");
}
