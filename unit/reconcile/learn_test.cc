#include "reconcile/learn.h"

#include "api/conditions.h"
#include "base/bytes.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "reconcile/failure.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;
using fake::StackWorld;

namespace {

// One tier of a model that is known; context 0 is auto.
struct World : StackWorld {
  explicit World(int64_t context) : StackWorld(1) {
    api::Tier& one = tier("one");
    one.model.repository = "Qwen/Qwen2.5-14B-Instruct";
    one.context_length_tokens = context;
    one.context_length_auto = context == 0;
    one.gpu_fraction_milli = 350;
    one.accept_unverified = true;
  }

  planner::TierPlan planned() const {
    return *planner::plan_of_spec(stack.spec, planner::built_in_capabilities(), stack.status.learned)
                .tier("one");
  }
  int64_t context() const { return planned().effective.context_tokens; }

  // Its engine ends, and says that so much would fit.
  void refuse(int64_t estimate) {
    pods.clear();
    diagnoses.clear();
    api::Pod& pod = add_pod("one", PodStage::Ended, now.wall / 1'000 * 1'000 - 1'000);
    diagnoses[pod.metadata.uid] = {"ContextTooLarge",
                                   engines::Treatment::ReduceContext,
                                   "the engine says that " + std::to_string(estimate) + " tokens fit",
                                   {{"context_length_tokens", estimate}}};
  }
  const api::TierStatus& told() {
    store(decide().status);
    return status("one");
  }
  // The pod that it wants next is made and let in.
  void start_again() {
    for (int i = 0; i < 4; ++i) {
      Decision decision = decide();
      store(decision.status);
      if (!fake::actions_of<DeletePod>(decision).empty()) pods.clear();
      if (decision.retry_after_millis) tick(*decision.retry_after_millis);
    }
    tick(600'000);
  }
  const api::LearnedContext* learned() const {
    const api::Learned* found = api::find_learned(stack.status.learned, "one");
    return found && found->context ? &*found->context : nullptr;
  }
};

}  // namespace

TEST_CASE("a tier that may choose its context is made again at once with what its engine says would fit") {
  World world(0);
  REQUIRE(world.context() == 32768);
  world.refuse(20000);
  CHECK(world.told().message ==
        "the engine says that 20000 tokens fit (exit code 1); it is planned again with 19456");
  REQUIRE(world.learned());
  CHECK(world.learned()->refused_tokens == 32768);
  CHECK(world.learned()->refusals == 1);
  CHECK(world.learned()->estimate_tokens == 20000);
  CHECK(world.context() == 19456);
  Decision next = world.decide();
  CHECK(fake::actions_of<DeletePod>(next).size() == 1);
  world.store(next.status);
  world.pods.clear();
  Decision made = world.decide();
  auto created = fake::actions_of<CreatePod>(made);
  REQUIRE(created.size() == 1);
  CHECK(created[0].body.find("\"19456\"") != std::string::npos);
  CHECK(made.status.tiers[0].state == "Waiting");
}

TEST_CASE("what was learned stands while its tier serves, and nothing more is written") {
  World world(0);
  world.refuse(20000);
  world.told();
  world.pods.clear();
  world.serve_all();
  world.probes.begin()->second.report.context_length_tokens = 19456;
  CHECK(world.settle().actions.empty());
  REQUIRE(world.learned());
  CHECK(world.learned()->estimate_tokens == 20000);
  CHECK(world.decide().actions.empty());
}

TEST_CASE("a context that was written is given up when it was refused twice, with the one that would fit") {
  World world(32768);
  world.refuse(20000);
  CHECK(world.told().state == "BackOff");
  CHECK(world.status("one").last_failure->message ==
        "the engine says that 20000 tokens fit (exit code 1); set contextLength to 19456, or raise "
        "memory.gpuFraction");
  CHECK(world.told().state == "BackOff");
  world.start_again();
  CHECK(fake::actions_of<CreatePod>(world.decide()).size() == 1);
  world.refuse(20000);
  world.told();
  CHECK(world.learned()->refusals == 2);
  CHECK(world.told().state == "GivenUp");
  CHECK(world.status("one").message ==
        "the engine says that 20000 tokens fit (exit code 1); set contextLength to 19456, or raise "
        "memory.gpuFraction at " +
            format_time(world.status("one").last_failure->time) +
            "; annotate the stack with inference.strix.dev/clear-failures=<any new value> to try again");
  REQUIRE(api::find_condition(world.stack.status.conditions, "Stalled"));
  CHECK(api::find_condition(world.stack.status.conditions, "Stalled")->reason == "GivenUp");
  world.tick(86'400'000);
  world.add_services();
  CHECK(world.decide().actions.empty());

  SECTION("until the spec is another") {
    world.tier("one").context_length_tokens = 19456;
    ++world.stack.metadata.generation;
    Decision next = world.decide();
    CHECK(fake::actions_of<DeletePod>(next).size() == 1);
    CHECK(next.status.learned.empty());
  }
  SECTION("or a person clears it") {
    world.stack.metadata.annotations[std::string(names::annotation_clear_failures)] = "1";
    CHECK(fake::actions_of<DeletePod>(world.decide()).size() == 1);
  }
}

TEST_CASE("two refusals with a run that served between them are not two in a row") {
  World world(32768);
  world.refuse(20000);
  world.told();
  world.pods.clear();
  world.serve_all();
  world.settle();
  CHECK_FALSE(world.learned());
  world.tick(3'600'000);
  world.refuse(20000);
  world.told();
  REQUIRE(world.learned());
  CHECK(world.learned()->refusals == 1);
  CHECK(world.told().state == "BackOff");
}

TEST_CASE("an engine that refuses what it said would fit is given up, and never asked for more again") {
  for (int64_t then : {19456, 25000, 900000, 1000, 0}) {
    CAPTURE(then);
    World world(0);
    world.refuse(20000);
    world.told();
    for (int i = 0; i < 2; ++i) {
      world.start_again();
      world.refuse(then);
      world.told();
      CHECK(world.context() == 19456);
    }
    CHECK(world.told().state == "GivenUp");
  }
}

TEST_CASE("an engine that says less each time is not asked at once each time, and comes to an end") {
  World world(0);
  int starts = 0;
  while (world.status("one").state != "GivenUp") {
    REQUIRE(++starts < 40);
    world.refuse(world.context() - 1);
    world.told();
    Decision next = world.decide();
    world.store(next.status);
    if (world.status("one").state != "GivenUp") {
      world.pods.clear();
      Decision gate = world.decide();
      world.store(gate.status);
      auto created = fake::actions_of<CreatePod>(gate);
      if (!created.empty()) world.take_pod(created[0].body);
      Decision held = world.decide();
      if (starts > 3 && starts < 30) CHECK(held.status.tiers[0].reason == "ContextTooLarge");
    }
    world.tick(600'000);
  }
  CHECK(world.context() >= 1024);
}

TEST_CASE("what ended for another reason, or said nothing of a context, teaches nothing") {
  World world(0);
  world.refuse(20000);
  SECTION("the kubelet's word comes first") { world.pods.front().reason = "Evicted"; }
  SECTION("no number") { world.diagnoses.begin()->second.numbers.clear(); }
  SECTION("no log") { world.diagnoses.clear(); }
  world.told();
  CHECK(world.stack.status.learned.empty());
  CHECK(world.context() == 32768);
}

TEST_CASE("a refused context is told with what can be written instead") {
  struct Case {
    bool may_choose;
    int fraction_milli;
    int64_t kv_cache_bytes, estimate;
    const char* expected;
  };
  for (const Case& c : {
           Case{true, 350, 0, 20000, "it is planned again with 19456"},
           Case{true, 350, 0, 700, "raise memory.gpuFraction"},
           Case{false, 350, 0, 20000, "set contextLength to 19456, or raise memory.gpuFraction"},
           Case{false, 350, 0, 700, "set contextLength to 700, or raise memory.gpuFraction"},
           Case{false, 0, 8 * gib, 20000, "set contextLength to 19456, or raise memory.kvCache"},
           Case{false, 0, 0, 20000, "set contextLength to 19456, or set a larger memory.gpuFraction"},
           Case{false, 350, 0, 0, "raise memory.gpuFraction"},
           Case{false, 350, 0, 40000, "raise memory.gpuFraction"},
       }) {
    CAPTURE(c.may_choose, c.fraction_milli, c.kv_cache_bytes, c.estimate);
    api::Tier tier;
    tier.context_length_auto = c.may_choose;
    if (c.fraction_milli > 0) tier.gpu_fraction_milli = c.fraction_milli;
    if (c.kv_cache_bytes > 0) tier.kv_cache_bytes = c.kv_cache_bytes;
    CHECK(context_way_out(tier, 32768, c.estimate) == c.expected);
  }
}

namespace {

// Of a version that cannot be told its cache, serving with a cache of so many tokens.
void serve(World& world, int64_t kv_tokens) {
  world.pods.clear();
  world.probes.clear();
  api::Pod& pod = world.add_pod("one", PodStage::Serving);
  ProbeReading& reading = world.probes[pod.metadata.uid] =
      fake::a_reading(ProbePhase::Serving, world.context());
  reading.report.kv_tokens = kv_tokens;
}

}  // namespace

TEST_CASE("the first start of an engine that fills its fraction teaches what it takes for itself, once") {
  World world(32768);
  world.stack.spec.vllm.image = "docker.io/rocm/vllm:rocm6.4.1_vllm_0.10.1";
  REQUIRE_FALSE(world.planned().effective.kv_bytes);
  CHECK(world.planned().kv_tokens == 0);
  world.add_services();
  serve(world, 60'000);
  CHECK(world.settle().actions.empty());
  const api::Learned* learned = api::find_learned(world.stack.status.learned, "one");
  REQUIRE(learned);
  REQUIRE(learned->engine);
  CHECK(std::abs(world.planned().kv_tokens - 60'000) <= 1);
  CHECK(world.status("one").reason == "Serving");
  const api::LearnedEngine first = *learned->engine;

  serve(world, 60'500);  // the next start: close enough
  CHECK(world.settle().actions.empty());
  CHECK(world.stack.status.learned.at(0).engine == first);

  serve(world, 63'000);  // and one that is not
  CHECK(world.settle().actions.empty());
  CHECK(world.status("one").reason == "Serving");
  CHECK(std::abs(world.planned().kv_tokens - 63'000) <= 1);

  world.tier("one").gpu_fraction_milli = 400;
  CHECK(world.planned().kv_tokens > 63'000);
  world.tier("one").enforce_eager = true;
  CHECK(world.planned().kv_tokens == 0);
}

TEST_CASE("nothing is learned of an engine that is told its cache, or has not told all yet") {
  World world(32768);
  world.add_services();
  serve(world, 60'000);
  SECTION("told its cache") { REQUIRE(world.planned().effective.kv_bytes); }
  SECTION("has not told all") {
    world.stack.spec.vllm.image = "docker.io/rocm/vllm:rocm6.4.1_vllm_0.10.1";
    serve(world, 60'000);
    world.probes.begin()->second.told = false;
  }
  SECTION("its model is unknown") {
    world.tier("one").model.repository = "example/unheard-of";
    serve(world, 60'000);
  }
  world.settle();
  CHECK(world.stack.status.learned.empty());
}

namespace {

// Its engine ends, and says what it found of the GPU's memory.
void fall_short(World& world, int64_t total_gib_milli) {
  world.refuse(0);
  world.diagnoses.begin()->second = {"StartupBudgetExceeded",
                                     engines::Treatment::LearnGpuMemory,
                                     "the engine found less",
                                     {{"gpu_total_gib_milli", total_gib_milli}}};
}

}  // namespace

TEST_CASE("a total that an engine measured replaces the declared one, and is measured once") {
  World world(8192);
  world.tier("one").gpu_fraction_milli = 400;
  world.stack.spec.tiers.push_back(fake::a_gpu_tier("two", 8002, 100));
  const int64_t declared = world.planned().gpu_total_bytes;
  REQUIRE(declared > 110 * gib + gpu_bytes_slack);
  fall_short(world, 110'000);
  CHECK(world.told().message ==
        "the engine found less (exit code 1); it is planned with 110.0Gi of GPU memory from now on, not "
        "with " + format_gib(declared));
  CHECK(world.planned().gpu_total_bytes == 110 * gib);
  CHECK(world.stack.status.learned.size() == 2);  // both have that image
  Decision next = world.decide();
  CHECK(fake::actions_of<DeletePod>(next).size() == 1);
  CHECK(next.profiles.begin()->second.gpu_memory_bytes == 110 * gib);
  CHECK(next.status.memory[0].gpu_total_bytes == 110 * gib);

  world.tick(1'000);
  fall_short(world, 109'990);  // the same, as engines print it
  CHECK(world.told().last_failure->message == "the engine found less (exit code 1)");
  CHECK(world.planned().gpu_total_bytes == 110 * gib);

  SECTION("it stays when its tier goes") {
    world.pods.clear();
    world.stack.spec.tiers.erase(world.stack.spec.tiers.begin());
    Decision left = world.decide();
    REQUIRE(left.status.learned.size() == 1);
    CHECK(left.status.learned[0].tier == "two");
  }
  SECTION("it goes when another is declared") {
    world.stack.spec.nodes[0].profile.gpu_memory_bytes = 109 * gib;
    CHECK(world.decide().status.learned.empty());
  }
  SECTION("a new one replaces it for all") {
    world.tick(1'000);
    fall_short(world, 120'000);
    world.told();
    CHECK(world.planned().gpu_total_bytes == 120 * gib);
  }
}

TEST_CASE("a total as declared, or of no GPU, teaches nothing") {
  World world(8192);
  SECTION("as declared") { fall_short(world, world.planned().gpu_total_bytes * 1000 / gib); }
  SECTION("nothing sane") { fall_short(world, 0); }
  SECTION("no GPU") {
    world.tier("one").accelerator = api::Accelerator::None;
    fall_short(world, 18'090);
  }
  CHECK(world.told().last_failure->message == "the engine found less (exit code 1)");
  CHECK(world.stack.status.learned.empty());
}
