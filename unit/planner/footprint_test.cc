#include "planner/footprint.h"

#include <cstdlib>

#include "base/bytes.h"
#include "cases.h"
#include "catch.h"
#include "models/catalogue.h"
#include "planner/capability_table.h"
#include "planner/declared_facts.h"
#include "planner/engine_settings.h"

using namespace strix;
using namespace strix::planner;

namespace {

const EngineConstants constants;

// SmolLM2-135M: 30 layers of 3 heads of 64.
models::ModelFacts smol() {
  auto facts = test::safetensors("llama", test::layers(30, test::attention(3, 64)), 96576384, 8192);
  facts.embedding_length = 576;
  facts.feed_forward_length = 1536;
  facts.vocabulary_size = 49152;
  return facts;
}

int64_t hundredths_of_mebibytes(int64_t bytes) {
  return bytes * 100 / mib;
}

}  // namespace

// "sched_reserve: CPU compute buffer size", build 11669. Not exact, as the graph's allocator has the last
// word; never below, and at most half a MiB or 3 % above.
TEST_CASE(
    "compute buffers are a little more than what llama-server prints, and output buffers what it prints") {
  auto facts = smol();
  api::Tier tier = test::llama_tier("utility", "smol.gguf", 8192);
  Subject subject{.tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 0};
  struct Line {
    int64_t context;
    int64_t printed_hundredths;
  };
  for (const Line& line : {Line{300, 890}, Line{512, 1517}, Line{1300, 1617}, Line{4096, 1867},
                           Line{8192, 2267}, Line{20000, 3442}, Line{32768, 4664}}) {
    auto parts = footprint(subject, line.context);
    REQUIRE(parts);
    int64_t computed = hundredths_of_mebibytes(parts->compute_bytes);
    CAPTURE(line.context, computed, line.printed_hundredths);
    CHECK(computed >= line.printed_hundredths);
    CHECK(computed <= line.printed_hundredths * 103 / 100 + 50);
    CHECK(parts->output_bytes == 49152 * 4 * 4);  // "output buffer size = 0.75 MiB" with 4 slots
  }
}

TEST_CASE("llama-server's checkpoints are counted for each slot, in host memory beside the request") {
  auto facts = test::known("Qwen3.5-27B");
  for (auto accelerator : {api::Accelerator::Gpu, api::Accelerator::None}) {
    api::Tier tier = test::llama_tier("a", "a.gguf", 32768);
    tier.accelerator = accelerator;
    tier.max_sequences = 4;
    Subject subject{
        .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 124 * gib};
    auto parts = footprint(subject, 32768);
    REQUIRE(parts);
    int64_t checkpoint = int64_t{48} * (30720 + 786432) * 4;
    CHECK(parts->checkpoint_bytes == checkpoint * 4 * EngineConstants::llama_checkpoints);
    Footprint without = *parts;
    without.checkpoint_bytes = 0;
    CHECK(parts->beside_bytes() - without.beside_bytes() == parts->checkpoint_bytes);
    CHECK(parts->request_bytes() == without.request_bytes());
  }
  auto full = smol();
  api::Tier tier = test::llama_tier("utility", "smol.gguf", 8192);
  Subject subject{.tier = tier, .facts = full, .draft = nullptr, .constants = constants, .device_bytes = 0};
  CHECK(footprint(subject, 8192)->checkpoint_bytes == 0);
}

TEST_CASE("a hybrid model whose prefixCaching is left out is counted with the states of the prefix") {
  auto facts = test::known("Qwen3.5-35B-A3B");
  api::Tier tier = test::vllm_tier("a", "a", 32768, 0);
  Subject subject{
      .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 124 * gib};
  int64_t left_out = cache_bytes(subject, 32768)->kv_bytes;
  CHECK(left_out >= 821'821'440);  // what vLLM 0.32's own get_kv_cache_configs() asks for
  CHECK(left_out < int64_t{821'821'440} * 106 / 100);
  tier.prefix_caching = true;
  CHECK(cache_bytes(subject, 32768)->kv_bytes == left_out);
  tier.prefix_caching = false;
  CHECK(cache_bytes(subject, 32768)->kv_bytes < left_out);
}

TEST_CASE("numbers among extraArgs are read as the engine reads them: the last one counts") {
  api::Tier tier;
  tier.extra_args = {"--block-size", "32", "--max-num-batched-tokens=2048", "--block-size=64", "-ub", "many"};
  CHECK(argument_number(tier, {"--block-size"}) == 64);
  CHECK(argument_number(tier, {"--max-num-batched-tokens"}) == 2048);
  CHECK_FALSE(argument_number(tier, {"-ub", "--ubatch-size"}));
  CHECK_FALSE(argument_number(tier, {"-b"}));
  tier.extra_args = {"--block-size"};
  CHECK_FALSE(argument_number(tier, {"--block-size"}));
}

TEST_CASE("numbers among extraArgs are read in every spelling that the engine takes") {
  struct Case {
    std::vector<std::string> arguments;
    std::optional<int64_t> number;
  };
  for (const Case& c :
       {Case{{"--max_num_batched_tokens=16384"}, 16384}, Case{{"--max-num-batched", "16384"}, 16384},
        Case{{"--max-num-batched-tokens", "16k"}, 16000}, Case{{"--max-num-batched-tokens", "16K"}, 16384},
        Case{{"--max-num-batched-tokens=25.6k"}, 25600}, Case{{"--max-num-batched-tokens", "16kk"}, {}},
        Case{{"--max-num-batched-tokens", "-1"}, {}}, Case{{"--max-num-batched-tokens", "nan"}, {}},
        Case{{"--max-num-batched-tokens-of-another", "5"}, {}}}) {
    CAPTURE(c.arguments.front());
    api::Tier tier;
    tier.engine = api::Engine::Vllm;
    tier.extra_args = c.arguments;
    CHECK(argument_number(tier, {"--max-num-batched-tokens"}) == c.number);
  }
  api::Tier tier;
  tier.engine = api::Engine::LlamaCpp;
  tier.extra_args = {"--ubatch_size", "4096", "--swa_full"};
  CHECK(argument_number(tier, {"-ub", "--ubatch-size"}) == 4096);
  CHECK(has_argument(tier, {"--swa-full"}));
  tier.extra_args = {"--ubatch", "4096"};  // its parser takes no beginnings
  CHECK_FALSE(argument_number(tier, {"-ub", "--ubatch-size"}));
}

TEST_CASE("vLLM that is told to compute in float32 keeps a cache of float32, in the blocks of its build") {
  auto facts = test::safetensors("qwen2", test::layers(4, test::attention(2, 64)), 16 * mib, 32768);
  api::Tier tier = test::vllm_tier("a", "tiny/a", 32768, 0);
  Subject subject{
      .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 8 * gib};
  CHECK(cache_bytes(subject, 32768)->kv_bytes == 64 * mib);
  CHECK(footprint(subject, 32768)->spare_bytes == 16 * 2048);
  tier.accelerator = api::Accelerator::None;
  for (auto& told : std::vector<std::vector<std::string>>{{"--dtype", "float32"}, {"--dtype=float"}}) {
    tier.extra_args = told;
    CHECK(cache_bytes(subject, 32768)->kv_bytes == 128 * mib);
    CHECK(footprint(subject, 32768)->spare_bytes == 128 * 4096);
  }
  tier.extra_args = {"--dtype", "auto"};
  CHECK(cache_bytes(subject, 32768)->kv_bytes == 64 * mib);
}

TEST_CASE("vLLM computes a model that is stored in float32 in 16 bits, unless it is told otherwise") {
  auto facts = test::safetensors("qwen2", test::layers(4, test::attention(2, 64)), 64 * mib, 32768);
  facts.dtype = "float32";
  api::Tier tier = test::vllm_tier("a", "tiny/a", 32768, 0);
  Subject subject{
      .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 8 * gib};
  auto parts = footprint(subject, 32768);
  CHECK(parts->kv_bytes == 64 * mib);
  CHECK(parts->weight_bytes == 32 * mib);
  tier.extra_args = {"--dtype", "float32"};
  parts = footprint(subject, 32768);
  CHECK(parts->kv_bytes == 128 * mib);
  CHECK(parts->weight_bytes == 64 * mib);
}

TEST_CASE("vLLM loads weights that are not quantised in the type that it is told, a draft model's too") {
  auto facts = test::known("Qwen2.5-14B-Instruct"), small = test::known("Qwen2.5-3B-Instruct");
  api::Tier tier = test::vllm_tier("a", "Qwen/Qwen2.5-14B-Instruct", 8192, 0);
  tier.speculative = api::Speculative{.model = "small", .tokens = 2};
  Subject subject{
      .tier = tier, .facts = facts, .draft = &small, .constants = constants, .device_bytes = 124 * gib};
  auto weights = [&] {
    auto parts = footprint(subject, 8192);
    return std::pair(parts->weight_bytes, parts->draft_weight_bytes);
  };
  const int64_t stored = *facts.weight_bytes, drafts = *small.weight_bytes;
  CHECK(weights() == std::pair(stored, drafts));
  for (const char* same : {"auto", "half", "float16", "bfloat16"}) {
    tier.extra_args = {"--dtype", same};
    CHECK(weights() == std::pair(stored, drafts));
  }
  tier.extra_args = {"--dtype=float32"};
  CHECK(weights() == std::pair(2 * stored, 2 * drafts));
  small.quantization = "awq";
  CHECK(weights() == std::pair(2 * stored, drafts));
  facts.dtype.clear();
  CHECK(weights() == std::pair(stored, drafts));
}

TEST_CASE("what is declared of the weights is what is loaded, whatever the catalogue's are stored in") {
  api::Tier tier = test::vllm_tier("a", "Qwen/Qwen2.5-14B-Instruct", 8192, 0);
  tier.extra_args = {"--dtype", "float32"};
  tier.model.facts = api::DeclaredFacts{};
  tier.model.facts->weight_bytes = 50 * gib;
  auto facts = *with_declared(test::known("Qwen2.5-14B-Instruct"), tier.model);
  Subject subject{
      .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 124 * gib};
  CHECK(footprint(subject, 8192)->weight_bytes == 50 * gib);
  CHECK(footprint(subject, 8192)->kv_bytes == int64_t{2} * 196608 * 8192);
}

// A pod's control group with vLLM 0.32.0 on the CPU: anonymous and shared memory, without the cache of files.
TEST_CASE("vLLM's CPU build is planned with what its control group was seen to hold, within 5 %") {
  auto facts = test::safetensors("qwen2", test::layers(4, test::attention(2, 64)), 16011264, 32768);
  EngineSetup on_the_cpu;
  auto measured = settings_of(built_in_capabilities(), on_the_cpu, {}).constants;
  api::Tier tier = test::vllm_tier("a", "tiny/a", 32768, 0);
  tier.accelerator = api::Accelerator::None;
  tier.extra_args = {"--dtype", "float32"};
  Subject subject{
      .tier = tier, .facts = facts, .draft = nullptr, .constants = measured, .device_bytes = 10 * gib};
  for (auto [context_tokens, held_mib] : {std::pair(32768, 1745), std::pair(16384, 1680)}) {
    int64_t planned = footprint(subject, context_tokens)->all_bytes(), held = held_mib * mib;
    CHECK(std::abs(planned - held) <= held / 20);
  }
}

TEST_CASE("vLLM's batch, and with it its sliding layers, depends on how large a device it sees") {
  auto facts = test::known("gpt-oss-20b");
  api::Tier tier = test::vllm_tier("a", "openai/gpt-oss-20b", 65536, 0);
  auto kv = [&](int64_t device_bytes) {
    Subject subject{
        .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = device_bytes};
    return cache_bytes(subject, 65536)->kv_bytes;
  };
  CHECK(kv(124 * gib) > kv(62 * gib));
  tier.extra_args = {"--max-num-batched-tokens", "2048"};
  CHECK(kv(124 * gib) == kv(62 * gib));
}

TEST_CASE("every row of the built-in catalogue has a footprint, with either engine") {
  for (const auto& row : models::built_in_catalogue().rows()) {
    for (bool vllm : {true, false}) {
      api::Tier tier = vllm ? test::vllm_tier("a", "a/b", 8192, 0) : test::llama_tier("a", "a.gguf", 8192);
      models::ModelFacts facts = row.facts;
      CAPTURE(row.repositories, facts.layers_unknown, vllm);
      if (facts.layers.empty() || !facts.weight_bytes) continue;
      Subject subject{
          .tier = tier, .facts = facts, .draft = nullptr, .constants = constants, .device_bytes = 124 * gib};
      auto parts = footprint(subject, 8192);
      REQUIRE(parts);
      CHECK(parts->kv_bytes > 0);
      CHECK(parts->request_bytes() > parts->weight_bytes);
    }
  }
}

TEST_CASE("where the catalogue has a row of the model table, both keep as many bytes a token") {
  int both = 0;
  for (const auto& row : test::model_table()) {
    for (const char* owner :
         {"Qwen/", "meta-llama/", "openai/", "zai-org/", "MiniMaxAI/", "google/", "deepseek-ai/"}) {
      const auto* known = models::built_in_catalogue().by_repository(owner + row.name);
      if (!known) continue;
      ++both;
      CAPTURE(row.name);
      CHECK(models::growing_elements_per_token(known->facts) * 2 == row.growing_bytes_per_token);
    }
  }
  CHECK(both >= 5);
}
