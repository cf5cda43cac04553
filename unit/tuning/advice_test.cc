#include "tuning/advice.h"

#include "catch.h"
#include "fake/model_facts.h"
#include "planner/spec_plan.h"

using namespace strix;
using namespace strix::tuning;
using engines::unbounded_tokens;

namespace {

constexpr int64_t hour = 3'600'000, day = 24 * hour;

// 131,072 bytes a token, 8 GiB of weights, trained for 131,072 tokens.
api::Tier a_tier(const std::string& name, api::Engine engine, int64_t context_tokens) {
  api::Tier tier;
  tier.name = name;
  tier.engine = engine;
  tier.model.facts = fake::model_facts(131'072);
  if (engine == api::Engine::Vllm)
    tier.model.repository = "example/" + name;
  else
    tier.model.file = name + ".gguf";
  tier.context_length_tokens = context_tokens;
  return tier;
}

planner::Plan plan_of(const api::StackSpec& spec) {
  return planner::plan_of_spec(spec);
}

struct World {
  api::StackSpec spec;
  Seen seen;
  int64_t kv_tokens = 0;

  explicit World(api::Tier tier) {
    api::StackNode node;
    node.name = "halo";
    node.profile.unified_memory_bytes = 128 * gib;
    node.profile.gpu_memory_bytes = 124 * gib;
    node.profile.system_reserve_bytes = 6 * gib;
    spec.nodes = {node};
    spec.tiers = {std::move(tier)};
    seen.observed_millis = day;
    seen.kv_intervals = 144;
  }
  Advice advise() const {
    planner::Plan plan = planner::plan_of_spec(spec);
    REQUIRE(plan.tiers[0].state == planner::TierState::Resident);
    return tuning::advise({spec, spec.tiers[0], plan, plan_of, kv_tokens, seen});
  }
  // What the author would write, having read the advice.
  planner::Plan followed(const api::Recommended& recommended) const {
    api::StackSpec next = spec;
    api::Tier& tier = next.tiers[0];
    if (recommended.context_length_tokens) tier.context_length_tokens = *recommended.context_length_tokens;
    if (recommended.gpu_fraction_milli) tier.gpu_fraction_milli = recommended.gpu_fraction_milli;
    if (recommended.kv_cache_bytes) tier.kv_cache_bytes = recommended.kv_cache_bytes;
    return planner::plan_of_spec(next);
  }
};

// Prompts of 10,001 to 20,000 tokens, answers of up to 1,000, and so much of the cache.
void busy(World& world, int64_t kv_tokens_most) {
  world.seen.requests = 500;
  world.seen.prompt_tokens_over = 10'000;
  world.seen.prompt_tokens_most = 20'000;
  world.seen.answer_tokens_over = 500;
  world.seen.answer_tokens_most = 1'000;
  world.seen.kv_tokens_most = kv_tokens_most;
  world.seen.kv_used_milli_most = 300;
  world.seen.running_most = 2;
}

World vllm(int64_t context_tokens, std::optional<int> fraction_milli) {
  api::Tier tier = a_tier("coder", api::Engine::Vllm, context_tokens);
  tier.gpu_fraction_milli = fraction_milli;
  return World(std::move(tier));
}

World llama(int64_t context_tokens) {
  return World(a_tier("reviewer", api::Engine::LlamaCpp, context_tokens));
}

}  // namespace

TEST_CASE("a context twice as long as any request is recommended down, and its cache with it") {
  World world = vllm(65'536, 250);
  busy(world, 24'000);
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK(advice.recommended.context_length_tokens == 21'504);
  CHECK(advice.recommended.gpu_fraction_milli == 160);
  CHECK(advice.recommended.message ==
        "500 requests took at most 21000 of 65536 tokens each, and all at once 30 % of the KV cache: "
        "contextLength 21504 and memory.gpuFraction 0.16 is enough, and frees 11.2 GiB");
  CHECK(world.followed(advice.recommended).fits);
  CHECK(world.followed(advice.recommended).tiers[0].kv_tokens >= 21'504 + 21'000);
}

TEST_CASE("a tier that leaves its cache open is told a fraction too where requests ran side by side") {
  World world = vllm(65'536, std::nullopt);
  busy(world, 24'000);
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK(advice.recommended.context_length_tokens == 21'504);
  REQUIRE(advice.recommended.gpu_fraction_milli);
  CHECK(world.followed(advice.recommended).tiers[0].kv_tokens >= 30'000);
}

TEST_CASE("a kvCache is recommended where one is set, in steps of 256 MiB") {
  World world = vllm(32'768, std::nullopt);
  world.spec.tiers[0].kv_cache_bytes = 16 * gib;  // 131,072 tokens
  busy(world, 20'000);
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK(advice.recommended.context_length_tokens == 21'504);
  REQUIRE(advice.recommended.kv_cache_bytes);
  CHECK(*advice.recommended.kv_cache_bytes % (256 * mib) == 0);
  CHECK_FALSE(advice.recommended.gpu_fraction_milli);
  CHECK(advice.recommended.message.find("memory.kvCache 5376Mi") != std::string::npos);
  CHECK(world.followed(advice.recommended).fits);
}

TEST_CASE("when nothing is recommended") {
  struct Row {
    const char* what;
    std::function<void(World&)> change;
    Finding finding;
  };
  auto row = GENERATE_COPY(
      Row{"five hours were observed", [](World& w) { w.seen.observed_millis = 5 * hour; },
          Finding::Observing},
      Row{"few requests came", [](World& w) { w.seen.requests = 19; }, Finding::Observing},
      Row{"nothing is known of the model",
          [](World& w) {
            w.spec.tiers[0].model.facts.reset();
            w.spec.tiers[0].requests.memory = "2Gi";
          },
          Finding::Unknown},
      Row{"prompts reach the last bucket",
          [](World& w) {
            w.seen.prompt_tokens_most = unbounded_tokens;
            w.seen.kv_tokens_most = 65'000;
          },
          Finding::Suits},
      Row{"requests need most of it", [](World& w) { w.seen.prompt_tokens_most = 50'000; }, Finding::Suits},
      Row{"a single preemption", [](World& w) { w.seen.preemptions = w.seen.preempting_intervals = 1; },
          Finding::Recommends},  // of less all the same
      Row{"refusals, but all far from the limit",
          [](World& w) {
            w.seen.prompt_tokens_most = 50'000;
            w.seen.refused = 50;
            w.seen.refusing_intervals = 9;
          },
          Finding::Suits},
      Row{"it frees next to nothing",
          [](World& w) {
            w.spec.tiers[0].gpu_fraction_milli.reset();
            w.spec.tiers[0].model.facts->kv_heads = 1;
            w.spec.tiers[0].model.facts->layers = 2;
          },
          Finding::Suits});
  INFO(row.what);
  World world = vllm(65'536, 250);
  busy(world, 24'000);
  row.change(world);
  CHECK(world.advise().finding == row.finding);
}

TEST_CASE("without a word on the cache a context goes down, and the cache stays") {
  World world = vllm(65'536, std::nullopt);
  busy(world, 0);
  world.seen.kv_intervals = 0;
  Advice advice = world.advise();
  CHECK(advice.finding == Finding::Suits);  // all of the cache may be needed, and less context frees nothing
}

TEST_CASE("requests that were refused near the limit make the context longer") {
  World world = vllm(32'768, 250);
  busy(world, 24'000);
  world.seen.prompt_tokens_over = 25'000;
  world.seen.prompt_tokens_most = 32'000;
  world.seen.refused = 7;
  world.seen.refusing_intervals = 2;
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK(advice.recommended.context_length_tokens == 40'960);
  CHECK_FALSE(advice.recommended.gpu_fraction_milli);  // its cache holds that already
  CHECK(advice.recommended.message ==
        "7 requests were refused (4xx) while others came to more than 25000 of 32768 tokens: contextLength "
        "40960 gives longer requests room, for no more memory");
  world.seen.refusing_intervals = 1;
  CHECK_FALSE(world.advise().recommended.context_length_tokens);  // once may be a mistake
}

TEST_CASE("preemptions make the cache larger by a quarter") {
  World world = vllm(32'768, 250);
  busy(world, 120'000);
  world.seen.preemptions = 40;
  world.seen.preempting_intervals = 6;
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK_FALSE(advice.recommended.context_length_tokens);
  REQUIRE(advice.recommended.gpu_fraction_milli);
  auto before = planner::plan_of_spec(world.spec).tiers[0].kv_tokens;
  auto after = world.followed(advice.recommended).tiers[0].kv_tokens;
  CHECK(after >= before * 5 / 4);
  CHECK(after <= before * 5 / 4 + 10'240);  // a step of the fraction
  CHECK(advice.recommended.message.starts_with(
      "40 times a request lost its place in the KV cache and was computed again: memory.gpuFraction 0."));
}

TEST_CASE("requests that wait for a full cache make it larger too") {
  World world = vllm(32'768, std::nullopt);
  busy(world, 32'000);
  world.seen.short_intervals = 3;
  world.seen.waiting_most = 5;
  Advice advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  REQUIRE(advice.recommended.gpu_fraction_milli);
  CHECK(advice.recommended.message.starts_with("up to 5 requests waited for a KV cache that was full: "));
  CHECK(world.followed(advice.recommended).tiers[0].kv_tokens >= 40'960);
}

TEST_CASE("more is not recommended where it would push another tier out") {
  World world = vllm(32'768, 450);
  api::Tier other = a_tier("other", api::Engine::Vllm, 32'768);
  other.gpu_fraction_milli = 500;
  world.spec.tiers.push_back(other);
  busy(world, 300'000);
  world.seen.preemptions = 40;
  world.seen.preempting_intervals = 6;
  Advice advice = world.advise();
  CHECK(advice.finding == Finding::NoRoom);
  CHECK(advice.message ==
        "40 times a request lost its place in the KV cache and was computed again; a larger one does not fit "
        "beside the other tiers");
  world.spec.tiers[1].gpu_fraction_milli = 420;  // an eighth more has room now, a quarter more has not
  advice = world.advise();
  REQUIRE(advice.finding == Finding::Recommends);
  CHECK(*advice.recommended.gpu_fraction_milli <= 530);
}

TEST_CASE("a model's own end is where a context stops growing") {
  World world = vllm(131'072, 400);
  busy(world, 24'000);
  world.seen.prompt_tokens_over = 120'000;
  world.seen.prompt_tokens_most = unbounded_tokens;
  world.seen.refused = 7;
  world.seen.refusing_intervals = 3;
  Advice advice = world.advise();
  CHECK(advice.finding == Finding::NoRoom);
  CHECK(advice.message.ends_with("; the model ends at 131072 tokens"));
}

TEST_CASE("llama-server's longest request says what context it needs, for all that ran at once") {
  struct Case {
    int64_t longest, running;
    std::optional<int64_t> context;
  };
  auto c = GENERATE(Case{6'000, 1, 8192}, Case{10'000, 1, 13'312}, Case{10'000, 2, 25'600},
                    Case{9'000, 4, 45'056}, Case{10'000, 4, std::nullopt}, Case{63'000, 1, 81'920});
  CAPTURE(c.longest, c.running);
  World world = llama(65'536);
  world.seen.sequence_tokens_most = c.longest;
  world.seen.running_most = c.running;
  world.seen.kv_intervals = 0;
  Advice advice = world.advise();
  CHECK((advice.finding == Finding::Recommends) == c.context.has_value());
  if (advice.finding != Finding::Recommends) return;
  CHECK(advice.recommended.context_length_tokens == c.context);
  CHECK_FALSE(advice.recommended.gpu_fraction_milli);
  CHECK(world.followed(advice.recommended).fits);
}

TEST_CASE("a llama-server that nobody asked anything is observed on") {
  CHECK(llama(65'536).advise().finding == Finding::Observing);
}

TEST_CASE("whatever was seen, what is recommended is on the grid, admitted, and not what is set") {
  uint64_t state = 5;
  auto draw = [&](int64_t least, int64_t most) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return least + static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(most - least + 1));
  };
  int recommended = 0;
  for (int i = 0; i < 200; ++i) {
    World world = draw(0, 2) == 0 ? llama(draw(2, 64) * 2048) : vllm(draw(2, 64) * 2048, std::nullopt);
    world.spec.tiers.reserve(2);
    api::Tier& tier = world.spec.tiers[0];
    if (tier.engine == api::Engine::Vllm && draw(0, 1))
      tier.gpu_fraction_milli = static_cast<int>(draw(30, 60)) * 10;
    if (tier.engine == api::Engine::Vllm && !tier.gpu_fraction_milli && draw(0, 1))
      tier.kv_cache_bytes = draw(16, 40) * gib;
    if (draw(0, 1)) {
      api::Tier other = a_tier("other", api::Engine::Vllm, 16'384);
      other.gpu_fraction_milli = static_cast<int>(draw(15, 45)) * 10;
      other.priority = static_cast<int>(draw(0, 49));
      world.spec.tiers.push_back(other);
    }
    world.seen.requests = draw(0, 100);
    world.seen.prompt_tokens_over = draw(0, 100'000);
    world.seen.prompt_tokens_most = draw(0, 3) == 0 ? unbounded_tokens : world.seen.prompt_tokens_over * 2;
    world.seen.answer_tokens_most = draw(0, 2'000);
    world.seen.kv_tokens_most = draw(0, 200'000);
    world.seen.sequence_tokens_most = draw(0, tier.context_length_tokens);
    world.seen.running_most = draw(0, 6);
    world.seen.preemptions = draw(0, 30);
    world.seen.preempting_intervals = draw(0, 4);
    world.seen.refused = draw(0, 6);
    world.seen.refusing_intervals = draw(0, 4);
    world.seen.short_intervals = draw(0, 3);
    planner::Plan plan = planner::plan_of_spec(world.spec);
    Advice advice = tuning::advise({world.spec, tier, plan, plan_of, 0, world.seen});
    if (advice.finding != Finding::Recommends) continue;
    ++recommended;
    const api::Recommended& told = advice.recommended;
    REQUIRE_FALSE(told.message.empty());
    if (told.context_length_tokens) REQUIRE(*told.context_length_tokens % 1024 == 0);
    if (told.context_length_tokens) REQUIRE(*told.context_length_tokens <= 131'072);
    if (told.gpu_fraction_milli) REQUIRE(*told.gpu_fraction_milli % 10 == 0);
    REQUIRE((told.context_length_tokens || told.gpu_fraction_milli || told.kv_cache_bytes));
    REQUIRE(told.context_length_tokens != tier.context_length_tokens);
    REQUIRE_FALSE((told.gpu_fraction_milli && told.gpu_fraction_milli == tier.gpu_fraction_milli));
    planner::Plan after = world.followed(told);
    for (const auto& before : plan.tiers)
      if (before.state == planner::TierState::Resident)
        REQUIRE(after.tier(before.name)->state == planner::TierState::Resident);
  }
  CHECK(recommended > 30);
}

// --- how it is told
// -----------------------------------------------------------------------------------------

namespace {

Advice recommends(int64_t context_tokens) {
  Advice advice;
  advice.finding = Finding::Recommends;
  advice.recommended.context_length_tokens = context_tokens;
  advice.recommended.message = "seen";
  return advice;
}

Advice of(Finding finding) {
  Advice advice;
  advice.finding = finding;
  return advice;
}

}  // namespace

TEST_CASE("a recommendation stands for a quarter of the window, and changes only by more than a step") {
  constexpr WallMillis given = 1'770'120'000'000;
  api::Recommended last = recommends(32'768).recommended;
  last.since = given;
  struct Case {
    const char* what;
    int64_t after_millis;
    Advice fresh;
    Finding finding;
    std::optional<int64_t> context;
    bool renewed;
  };
  auto c = GENERATE_COPY(
      Case{"the same", 30 * day, recommends(32'768), Finding::Recommends, 32'768, false},
      Case{"a step more", 30 * day, recommends(34'816), Finding::Recommends, 32'768, false},
      Case{"much more, soon", 5 * hour, recommends(65'536), Finding::Recommends, 32'768, false},
      Case{"much more, late", 6 * hour, recommends(65'536), Finding::Recommends, 65'536, true},
      Case{"it suits, soon", 5 * hour, of(Finding::Suits), Finding::Recommends, 32'768, false},
      Case{"it suits, late", 6 * hour, of(Finding::Suits), Finding::Suits, std::nullopt, false},
      Case{"no room, late", 6 * hour, of(Finding::NoRoom), Finding::NoRoom, std::nullopt, false},
      Case{"the operator has just started", 30 * day, of(Finding::Observing), Finding::Recommends, 32'768,
           false});
  INFO(c.what);
  Advice told = settled(last, c.fresh, day, given + c.after_millis);
  CHECK(told.finding == c.finding);
  CHECK(told.recommended.context_length_tokens == c.context);
  if (told.finding == Finding::Recommends)
    CHECK(told.recommended.since == (c.renewed ? given + c.after_millis : given));
  CHECK(settled(std::nullopt, recommends(8192), day, given).recommended.since == given);
}

TEST_CASE("how long is waited is a quarter of the window, an hour at least") {
  CHECK(dwell_millis(day) == 6 * hour);
  CHECK(dwell_millis(hour) == hour);
  CHECK(dwell_millis(7 * day) == 42 * hour);
}
