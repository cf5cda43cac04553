#include "planner/learned.h"

#include <functional>

#include "cases.h"
#include "catch.h"
#include "planner/checked.h"
#include "planner/claim.h"

using namespace strix;
using namespace strix::planner;

namespace {

// The orchestrator; context 0 is auto, fraction 0 open.
PlanInput orchestrator(int64_t context, int fraction_milli) {
  PlanInput input;
  input.spec.nodes = {test::halo(test::kernel_bytes, 124 * gib)};
  input.spec.vllm.image = "docker.io/kyuz0/vllm-therock-gfx1151:latest";
  api::Tier tier = test::vllm_tier("orchestrator", "Qwen/Qwen2.5-14B-Instruct", context, fraction_milli);
  tier.model.rope_scaling = test::yarn(4, 32768);
  input.spec.tiers = {tier};
  input.models["orchestrator"].facts = test::known("Qwen2.5-14B-Instruct");
  return input;
}

// Its engine has refused what it was planned with.
PlanInput refused(PlanInput input, int64_t estimate) {
  const TierPlan planned = plan(input).tiers[0];
  int64_t asked = planned.effective.context_tokens;
  int64_t refusals = planned.learned.context && planned.learned.context->refused_tokens == asked ? 2 : 1;
  input.learned = {{.tier = "orchestrator",
                    .context = api::LearnedContext{.refused_tokens = asked,
                                                   .refusals = refusals,
                                                   .estimate_tokens = estimate,
                                                   .inputs = planned.context_inputs}}};
  return input;
}

}  // namespace

TEST_CASE("a tier that may choose takes the engine's estimate, on the grid, where that is less") {
  struct Case {
    bool may_choose;
    int64_t estimate, refused;
    std::optional<int64_t> expected;  // instead of 32768
  };
  for (const Case& c : {
           Case{true, 16256, 32768, 15360},
           Case{true, 16384, 32768, 16384},
           Case{true, 32767, 32768, 31744},
           Case{true, 32768, 32768, {}},  // no less than what it refused
           Case{true, 90000, 32768, {}},
           Case{true, 1023, 32768, {}},  // nothing on the grid fits
           Case{true, 0, 32768, {}},
           Case{true, -1, 32768, {}},
           Case{true, 12000, 16384, 11264},  // refused a second time, after it was planned with less
           Case{true, 90000, 16384, 16384},
           Case{true, 100, 16384, 16384},
           Case{false, 16256, 32768, {}},  // what somebody wrote is not changed
       }) {
    CAPTURE(c.may_choose, c.estimate, c.refused);
    api::Tier tier;
    tier.context_length_auto = c.may_choose;
    CHECK(smaller_context_tokens(
              tier, {.refused_tokens = c.refused, .estimate_tokens = c.estimate, .inputs = {}}, 32768) ==
          c.expected);
  }
}

TEST_CASE("a tier that was refused its context is planned with a smaller one, and the memory that it had") {
  struct Case {
    int fraction_milli;
    int64_t kv_cache_bytes;
  };
  for (const Case& c : {Case{350, 0}, Case{0, 8 * gib}, Case{0, 0}}) {
    CAPTURE(c.fraction_milli, c.kv_cache_bytes);
    PlanInput input = orchestrator(0, c.fraction_milli);
    if (c.kv_cache_bytes > 0) input.spec.tiers[0].kv_cache_bytes = c.kv_cache_bytes;
    const TierPlan before = plan(input).tiers[0];
    const TierPlan after = plan(refused(input, 20000)).tiers[0];
    CHECK(before.effective.context_tokens > 20000);
    CHECK(after.effective.context_tokens == 19456);
    CHECK(after.effective.kv_bytes == before.effective.kv_bytes);
    CHECK(after.effective.fraction_milli == before.effective.fraction_milli);
    CHECK(after.claim == before.claim);
    CHECK(after.context_inputs == before.context_inputs);
    REQUIRE(after.learned.context);
    CHECK(after.learned.context->refused_tokens == before.effective.context_tokens);
  }
}

TEST_CASE("what somebody wrote stays, though its engine refused it") {
  const TierPlan after = plan(refused(orchestrator(32768, 350), 20000)).tiers[0];
  CHECK(after.effective.context_tokens == 32768);
  REQUIRE(after.learned.context);
  CHECK(after.learned.context->estimate_tokens == 20000);
}

TEST_CASE("what was learned is void when anything that it rests on is another") {
  using Change = std::function<void(api::StackSpec&, api::Tier&)>;
  const std::vector<std::pair<const char*, Change>> voids = {
      {"fraction", [](auto&, api::Tier& tier) { tier.gpu_fraction_milli = 360; }},
      {"image", [](auto&, api::Tier& tier) { tier.image = "docker.io/kyuz0/vllm-therock-gfx1151:next"; }},
      {"default image",
       [](api::StackSpec& spec, auto&) { spec.vllm.image = "docker.io/kyuz0/vllm-therock-gfx1151:next"; }},
      {"model", [](auto&, api::Tier& tier) { tier.model.repository = "Qwen/Qwen2.5-14B-Instruct-1M"; }},
      {"quantisation", [](auto&, api::Tier& tier) { tier.quantization = "awq"; }},
      {"cache type", [](auto&, api::Tier& tier) { tier.kv_cache_type = "fp8"; }},
      {"rope", [](auto&, api::Tier& tier) { tier.model.rope_scaling = test::yarn(2, 32768); }},
      {"sequences", [](auto&, api::Tier& tier) { tier.max_sequences = 8; }},
      {"prefix caching", [](auto&, api::Tier& tier) { tier.prefix_caching = false; }},
      {"eager", [](auto&, api::Tier& tier) { tier.enforce_eager = true; }},
      {"argument", [](auto&, api::Tier& tier) { tier.extra_args = {"--block-size", "32"}; }},
      {"environment",
       [](auto&, api::Tier& tier) {
         tier.env = {{.name = "A", .value = "1", .secret_name = {}, .secret_key = {}}};
       }},
      {"environment of all",
       [](api::StackSpec& spec, auto&) {
         spec.vllm.env = {{.name = "A", .value = "1", .secret_name = {}, .secret_key = {}}};
       }},
      {"GPU memory",
       [](api::StackSpec& spec, auto&) { spec.nodes[0].profile.gpu_memory_bytes = 120 * gib; }},
      {"a context of one's own",
       [](auto&, api::Tier& tier) {
         tier.context_length_auto = false;
         tier.context_length_tokens = 53248;
       }},
  };
  const PlanInput known = refused(orchestrator(0, 350), 20000);
  for (const auto& [what, change] : voids) {
    CAPTURE(what);
    PlanInput changed = known;
    change(changed.spec, changed.spec.tiers[0]);
    const TierPlan after = plan(changed).tiers[0];
    CHECK_FALSE(after.learned.context);
    changed.learned.clear();
    CHECK(after == plan(changed).tiers[0]);
  }
  const std::vector<std::pair<const char*, Change>> keeps = {
      {"port", [](auto&, api::Tier& tier) { tier.port = 8009; }},
      {"priority", [](auto&, api::Tier& tier) { tier.priority = 1; }},
      {"restart", [](auto&, api::Tier& tier) { tier.restart.backoff_seconds = 30; }},
      {"probe", [](auto&, api::Tier& tier) { tier.probe.startup_deadline_seconds = 60; }},
      {"suspend", [](api::StackSpec& spec, auto&) { spec.suspend = true; }},
      {"neighbour",
       [](api::StackSpec& spec, auto&) { spec.tiers.push_back(test::llama_tier("small", "x.gguf", 2048)); }},
  };
  for (const auto& [what, change] : keeps) {
    CAPTURE(what);
    PlanInput changed = known;
    change(changed.spec, changed.spec.tiers[0]);
    const Plan after = plan(changed);
    CHECK(after.tier("orchestrator")->learned.context);
    CHECK(after.tier("orchestrator")->effective.context_tokens == 19456);
  }
}

TEST_CASE("an engine that needs more a token than is known is asked for less until it takes it") {
  struct Case {
    int fraction_milli;
    int64_t kv_cache_bytes;
  };
  for (const Case& c : {Case{350, 0}, Case{0, 8 * gib}, Case{0, 0}}) {
    for (int64_t factor_milli : {1000, 1001, 1100, 1500, 2000, 3700, 20000}) {
      CAPTURE(c.fraction_milli, c.kv_cache_bytes, factor_milli);
      PlanInput input = orchestrator(0, c.fraction_milli);
      if (c.kv_cache_bytes > 0) input.spec.tiers[0].kv_cache_bytes = c.kv_cache_bytes;
      int starts = 0;
      int64_t asked = 0;
      while (true) {
        const TierPlan now = plan(input).tiers[0];
        int64_t last = std::exchange(asked, now.effective.context_tokens);
        if (starts > 0) CHECK(asked < last);
        REQUIRE(++starts < 5);
        // What fits, in blocks of 16, one of which stays empty.
        int64_t token_bytes = 196608 * factor_milli / 1000;
        int64_t fits = (*now.effective.kv_bytes / token_bytes / 16 - 1) * 16;
        if (asked <= fits) break;
        input = refused(input, fits);
      }
      CHECK(starts <= 2);
      CHECK(plan(input).tiers[0].effective.context_tokens == asked);
    }
  }
}

TEST_CASE("what an engine takes for itself is what its cache has left of its share") {
  Footprint parts;
  parts.weight_bytes = 30 * gib;
  parts.engine_bytes = 6 * gib;
  parts.kv_bytes = 3 * gib;
  parts.spare_bytes = 1 * gib;
  CHECK(engine_bytes_of(parts, 16384, 43 * gib, 32768) == 6 * gib);
  CHECK(tokens_left(parts, 16384, 43 * gib, 6 * gib) == 32768);
  CHECK(tokens_left(parts, 16384, 46 * gib, 6 * gib) == 49152);
  CHECK_FALSE(engine_bytes_of(parts, 16384, 43 * gib, 65536 + 1));  // less than nothing
  CHECK_FALSE(engine_bytes_of(parts, 0, 43 * gib, 32768));
  CHECK_FALSE(engine_bytes_of(parts, 16384, 43 * gib, int64_t{1} << 62));
  CHECK_FALSE(tokens_left(parts, 16384, 31 * gib, 6 * gib));
  CHECK_FALSE(tokens_left({}, 16384, 43 * gib, 6 * gib));
}

TEST_CASE("after its first start it is known what an engine that fills its fraction will hold with another") {
  PlanInput input = orchestrator(32768, 400);
  input.constants.vllm_pins_kv_cache = false;
  const TierPlan first = plan(input).tiers[0];
  REQUIRE_FALSE(first.effective.kv_bytes);
  CHECK(first.kv_tokens == 0);
  // It takes 5.4 GiB rather than 6.
  auto holds = [](const TierPlan& planned) {
    int64_t free = planned.share_bytes - planned.footprint.weight_bytes - test::gib_tenths(54);
    return free / 196608 / 16 * 16;
  };
  auto bytes =
      engine_bytes_of(first.footprint, first.effective.context_tokens, first.share_bytes, holds(first));
  REQUIRE(bytes);
  input.learned = {{.tier = "orchestrator",
                    .context = {},
                    .engine = api::LearnedEngine{.bytes = *bytes, .inputs = first.engine_inputs}}};
  for (int milli : {400, 350, 420, 600}) {
    for (int64_t context : {8192, 32768}) {
      CAPTURE(milli, context);
      input.spec.tiers[0].gpu_fraction_milli = milli;
      input.spec.tiers[0].context_length_tokens = context;
      const TierPlan next = plan(input).tiers[0];
      int64_t found = holds(next);
      CHECK(std::abs(next.kv_tokens - found) <= found / 100);
    }
  }
  input.spec.tiers[0].image = "docker.io/kyuz0/vllm-therock-gfx1151:next";
  CHECK(plan(input).tiers[0].kv_tokens == 0);
}

TEST_CASE("an engine that is told its cache is not planned with what was learned of one that was not") {
  PlanInput input = orchestrator(32768, 400);
  const TierPlan before = plan(input).tiers[0];
  input.learned = {{.tier = "orchestrator",
                    .context = {},
                    .engine = api::LearnedEngine{.bytes = gib, .inputs = before.engine_inputs}}};
  CHECK(plan(input).tiers[0].kv_tokens == before.kv_tokens);
}

namespace {

// What the engine of a tier measured.
std::vector<api::Learned> measured(const PlanInput& input, const std::string& tier, int64_t total) {
  for (const api::Tier& one : input.spec.tiers)
    if (one.name == tier)
      return {{.tier = tier,
               .context = {},
               .engine = {},
               .gpu_memory = api::LearnedGpuMemory{
                   .total_bytes = total, .inputs = gpu_inputs(input.spec, one, input.spec.nodes[0])}}};
  return {};
}

}  // namespace

TEST_CASE("fractions are counted in what their engine measured, and no more is promised on the node") {
  for (int64_t total : {110 * gib, 130 * gib}) {
    CAPTURE(total);
    PlanInput input = orchestrator(16384, 400);
    input.spec.tiers.push_back(test::vllm_tier("other", "Qwen/Qwen2.5-14B-Instruct", 8192, 300));
    input.spec.tiers.push_back(test::vllm_tier("unknown", "nobody/unheard-of", 8192, 100));
    input.spec.tiers[1].image = "docker.io/kyuz0/vllm-therock-gfx1151:other";
    input.models["other"].facts = test::known("Qwen2.5-14B-Instruct");
    input.learned = measured(input, "orchestrator", total);
    const Plan after = plan(input);
    CHECK(after.tier("orchestrator")->share_bytes == fraction_bytes(total, 400));
    CHECK(after.tier("orchestrator")->gpu_total_bytes == total);
    CHECK(after.tier("unknown")->claim.gpu_bytes == fraction_bytes(total, 100));  // the same image
    CHECK(after.tier("other")->share_bytes == fraction_bytes(124 * gib, 300));    // another one
    CHECK(after.nodes[0].profile.gpu_memory_bytes == std::min(total, 124 * gib));
    bool told = std::any_of(after.findings.begin(), after.findings.end(),
                            [](const Finding& f) { return f.code == FindingCode::NodeDiffers; });
    CHECK(told == (total < 124 * gib));
  }
}

TEST_CASE("what an engine measured is void for another image, machine, or declaration") {
  const PlanInput known = orchestrator(16384, 400);
  using Change = std::function<void(api::StackSpec&)>;
  for (const auto& [what, change] : std::vector<std::pair<const char*, Change>>{
           {"image", [](api::StackSpec& spec) { spec.tiers[0].image = "localhost/other:latest"; }},
           {"machine",
            [](api::StackSpec& spec) { spec.nodes[0].selector["kubernetes.io/hostname"] = "box-2"; }},
           {"declaration", [](api::StackSpec& spec) { spec.nodes[0].profile.gpu_memory_bytes = 120 * gib; }},
           {"accelerator", [](api::StackSpec& spec) { spec.tiers[0].accelerator = api::Accelerator::None; }},
       }) {
    CAPTURE(what);
    PlanInput changed = known;
    changed.learned = measured(known, "orchestrator", 110 * gib);
    change(changed.spec);
    const TierPlan after = plan(changed).tiers[0];
    changed.learned.clear();
    CHECK(after == plan(changed).tiers[0]);
  }
}
