#include "planner/kv.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "catch.h"
#include "generator.h"
#include "known_models.h"

using namespace strix;
using namespace strix::planner;

namespace {

KvShape vllm(int64_t context, int64_t batch = 8192) {
  KvShape shape;
  shape.context_tokens = context;
  shape.key = shape.value = *cache_type(api::Engine::Vllm, "auto", "bfloat16");
  shape.batch_tokens = batch;
  return shape;
}

KvShape llama(int64_t context, int64_t slots, bool unified, const std::string& key = "f16",
              const std::string& value = "f16") {
  KvShape shape;
  shape.engine = api::Engine::LlamaCpp;
  shape.context_tokens = context;
  shape.sequences = slots;
  shape.unified = unified;
  shape.key = *cache_type(api::Engine::LlamaCpp, key, "");
  shape.value = *cache_type(api::Engine::LlamaCpp, value, "");
  shape.state_element_bytes = 4;
  return shape;
}

// As llama-server prints it: "size =  180.00 MiB".
std::string mebibytes(int64_t bytes) {
  return fmt::format("{:.2f}", static_cast<double>(bytes) / static_cast<double>(mib));
}

int64_t total(const models::ModelFacts& facts, const KvShape& shape) {
  auto bytes = kv_bytes(facts, shape);
  REQUIRE(bytes);
  return bytes->total_bytes;
}

models::ModelFacts smol() {
  return test::safetensors("llama", test::layers(30, test::attention(3, 64)), 96576384, 8192);
}

}  // namespace

TEST_CASE("every row of the model table keeps as many bytes a token as the table says") {
  for (const auto& row : test::model_table()) {
    CAPTURE(row.name);
    CHECK(growing_bytes_per_token(row.facts, vllm(1024)) == row.growing_bytes_per_token);
  }
}

TEST_CASE("the decision log's bytes a token come from its own numbers of layers, the true ones from 48") {
  auto log = test::safetensors("log", test::layers(40, test::attention(8, 128)), 1, 131072);
  CHECK(growing_bytes_per_token(log, vllm(1)) == 163840);
  CHECK(total(log, vllm(65536)) == 10 * gib);
  CHECK(total(test::known("Qwen2.5-14B-Instruct"), vllm(65536)) == 12 * gib);
  CHECK(total(test::known("Qwen3-Coder-30B-A3B-Instruct"), vllm(49152)) == 4 * gib + gib / 2);
}

// Lines of build 11669 with SmolLM2-135M: "llama_kv_cache: size = 180.00 MiB (2048 cells, 30 layers, 4/4
// seqs), K (f16): 90.00 MiB, V (f16): 90.00 MiB".
TEST_CASE("the cache is exactly what llama-server prints") {
  struct Line {
    int64_t context, slots;
    bool unified;
    const char *key, *value, *printed;
  };
  for (const Line& line :
       {Line{8192, 4, false, "f16", "f16", "180.00"}, Line{8192, 1, false, "q8_0", "q8_0", "95.62"},
        Line{8192, 4, true, "f16", "f16", "180.00"}, Line{1000, 3, false, "f16", "f16", "33.75"},
        Line{2048, 1, true, "q8_0", "q8_0", "23.91"}, Line{32768, 4, true, "f16", "f16", "720.00"},
        Line{300, 2, true, "q4_0", "iq4_nl", "3.16"}}) {
    CAPTURE(line.context, line.slots, line.unified, line.key);
    CHECK(mebibytes(total(smol(), llama(line.context, line.slots, line.unified, line.key, line.value))) ==
          line.printed);
  }
}

// As we start it, with --kv-unified: 1 and 4 slots print the same.
TEST_CASE("the cache is what llama-server prints at five contexts, two types, 1 and 4 slots") {
  struct Line {
    int64_t context;
    const char *f16, *q8_0;
  };
  for (const Line& line :
       {Line{512, "11.25", "5.98"}, Line{1300, "33.75", "17.93"}, Line{4096, "90.00", "47.81"},
        Line{8192, "180.00", "95.62"}, Line{20000, "444.38", "236.07"}}) {
    for (int64_t slots : {1, 4}) {
      CAPTURE(line.context, slots);
      CHECK(mebibytes(total(smol(), llama(line.context, slots, true))) == line.f16);
      CHECK(mebibytes(total(smol(), llama(line.context, slots, true, "q8_0", "q8_0"))) == line.q8_0);
    }
  }
}

TEST_CASE("llama.cpp pads contexts and windows to 256 cells") {
  auto full = test::safetensors("x", test::layers(1, test::attention(1, 64)), 1, 8192);
  auto window = test::safetensors("x", test::layers(1, test::sliding(1, 64, 1024)), 1, 8192);
  const int64_t cell = 2 * 64 * 2;
  CHECK(total(full, llama(1, 1, true)) == 256 * cell);
  CHECK(total(full, llama(257, 1, true)) == 512 * cell);
  CHECK(total(full, llama(1024, 3, false)) == 3 * 512 * cell);  // 341 each
  // n_swa x slots + n_ubatch, at most the context.
  CHECK(total(window, llama(32768, 4, true)) == (4 * 1024 + 512) * cell);
  CHECK(total(window, llama(32768, 4, false)) == 4 * (1024 + 512) * cell);
  CHECK(total(window, llama(1024, 1, true)) == 1024 * cell);
  KvShape all = llama(32768, 1, true);
  all.swa_full = true;
  CHECK(total(window, all) == 32768 * cell);
}

TEST_CASE("a checkpoint of llama-server is one slot's states and its windows, and none where all is kept") {
  auto checkpoint = [](const models::ModelFacts& facts, const KvShape& shape) {
    return kv_bytes(facts, shape)->checkpoint_bytes;
  };
  // "created context checkpoint ... size = 149.6 MiB" of Qwen3.6-27B, whatever the context and the slots.
  models::ModelFacts hybrid = test::known("Qwen3.5-27B");
  for (int64_t slots : {1, 4}) {
    KvShape shape = llama(32768, slots, true);
    CHECK(mebibytes(checkpoint(hybrid, shape)) == "149.62");
    shape.draft_tokens = 2;
    CHECK(mebibytes(checkpoint(hybrid, shape)) == "149.62");
  }
  auto window = test::safetensors("x", test::layers(1, test::sliding(1, 64, 1024)), 1, 8192);
  const int64_t cell = 2 * 64 * 2;
  KvShape shape = llama(32768, 4, true);
  CHECK(checkpoint(window, shape) == (1024 + 512) * cell);
  shape.swa_full = true;
  CHECK(checkpoint(window, shape) == 0);
  CHECK(checkpoint(smol(), llama(32768, 4, true)) == 0);
}

TEST_CASE("cache types take ggml's and vLLM's sizes, and an unknown one none") {
  struct Row {
    api::Engine engine;
    const char* name;
    int64_t elements, bytes;
  };
  constexpr auto v = api::Engine::Vllm, l = api::Engine::LlamaCpp;
  for (const Row& row :
       {Row{l, "auto", 1, 2}, Row{l, "f32", 1, 4}, Row{l, "bf16", 1, 2}, Row{l, "q8_0", 32, 34},
        Row{l, "q5_1", 32, 24}, Row{l, "q5_0", 32, 22}, Row{l, "q4_1", 32, 20}, Row{l, "q4_0", 32, 18},
        Row{l, "iq4_nl", 32, 18}, Row{v, "auto", 1, 2}, Row{v, "", 1, 2}, Row{v, "fp8", 1, 1},
        Row{v, "fp8_e4m3", 1, 1}, Row{v, "fp8_e5m2", 1, 1}, Row{v, "nvfp4", 16, 9}}) {
    CAPTURE(row.name);
    auto type = cache_type(row.engine, row.name, "bfloat16");
    REQUIRE(type);
    CHECK(type->block_elements == row.elements);
    CHECK(type->block_bytes == row.bytes);
  }
  CHECK(cache_type(v, "auto", "float32")->block_bytes == 4);
  CHECK_FALSE(cache_type(v, "q8_0", "bfloat16"));
  CHECK_FALSE(cache_type(l, "fp8", ""));
  CHECK_FALSE(cache_type(v, "turboquant_4bit", "bfloat16"));
}

TEST_CASE("a per-token-head cache has a scale of four bytes beside each head") {
  auto facts = test::safetensors("x", test::layers(1, test::attention(8, 64)), 1, 8192);
  KvShape shape = vllm(16);
  shape.key = shape.value = *cache_type(api::Engine::Vllm, "int8_per_token_head", "bfloat16");
  CHECK(growing_bytes_per_token(facts, shape) == 2 * 8 * (64 + 4));
}

TEST_CASE("a row that is not whole blocks has no size") {
  auto facts = test::safetensors("x", test::layers(1, test::attention(1, 80)), 1, 8192);
  CHECK(kv_bytes(facts, llama(1024, 1, true)));
  CHECK_FALSE(kv_bytes(facts, llama(1024, 1, true, "q8_0", "q8_0")));
}

TEST_CASE("vLLM's sliding layers cost a window and a batch, not the context") {
  auto facts = test::known("gpt-oss-120b");
  auto sliding_mebibytes = [&](int64_t batch) {
    return mebibytes(kv_bytes(facts, vllm(65536, batch))->window_bytes);
  };
  CHECK(sliding_mebibytes(2048) == "77.06");
  CHECK(sliding_mebibytes(8192) == "293.06");
  CHECK(kv_bytes(facts, vllm(65536))->growing_bytes == int64_t{36864} * 65536);
}

TEST_CASE("vLLM pads groups of layers to one size") {
  // 52 sliding and 10 full layers: groups of 10, so that the sliding ones are counted as 60.
  auto facts = test::safetensors(
      "x", test::layers(10, test::attention(1, 64), 52, test::sliding(1, 64, 1024)), 1, 131072);
  KvShape shape = vllm(32768, 2048);
  int64_t page = 16 * 256;
  CHECK(total(facts, shape) == page * 10 * (2048 + 6 * (192 + 1)));
}

// vLLM 0.32.0 on the CPU, 4 layers, 2 heads of 64, blocks of 128, 32 MiB of cache: "the estimated maximum
// model length is 16256".
TEST_CASE("with the block that vLLM keeps empty, the largest context is what vLLM itself estimates") {
  auto facts = test::safetensors("x", test::layers(4, test::attention(2, 64)), 1, 32768);
  auto needed = [&](int64_t context) {
    KvShape shape = vllm(context);
    shape.block_tokens = 128;
    auto bytes = kv_bytes(facts, shape);
    return bytes->total_bytes + bytes->block_bytes;
  };
  CHECK(needed(16256) == 32 * mib);
  CHECK(needed(16257) > 32 * mib);
}

TEST_CASE("a linear layer's state is constant, and attention's blocks grow to its size") {
  auto facts = test::known("Qwen3.5-35B-A3B");
  auto short_one = kv_bytes(facts, vllm(4096)), long_one = kv_bytes(facts, vllm(65536));
  CHECK(short_one->state_bytes == long_one->state_bytes);
  CHECK(short_one->state_bytes > 60 * mib);  // float32: the table says 31 (BF16) to 61 MiB a sequence
  CHECK(short_one->state_bytes < 64 * mib);
  int64_t exact = int64_t{20480} * 65536;
  CHECK(long_one->growing_bytes >= exact);
  CHECK(long_one->growing_bytes < exact + exact / 50);
  KvShape speculating = vllm(4096);
  speculating.draft_tokens = 2;
  CHECK(kv_bytes(facts, speculating)->state_bytes == 3 * short_one->state_bytes);
}

TEST_CASE(
    "speculation by layers of the model's own that nobody names is one more layer that keeps every token") {
  auto facts = test::known("Qwen3.5-35B-A3B");
  KvShape shape = vllm(65536);
  int64_t ten = kv_bytes(facts, shape)->growing_bytes;
  shape.draft_tokens = 2;
  CHECK(kv_bytes(facts, shape)->growing_bytes * 10 == ten * 11);
  CHECK(growing_bytes_per_token(facts, shape) == 20480 / 10 * 11);
  facts.draft_layers = test::layers(2, test::attention(2, 256));
  CHECK(kv_bytes(facts, shape)->growing_bytes * 10 == ten * 12);
  auto latent = test::known("DeepSeek-V3");
  CHECK(growing_bytes_per_token(latent, shape) == 70272 / 61 * 62);
  auto states = test::safetensors("x", test::layers(4, test::delta_net(32)), 1, 8192);
  CHECK(kv_bytes(states, shape)->growing_bytes == 0);
}

TEST_CASE("what reads another layer's cache keeps nothing, and a latent is kept once") {
  auto facts = test::safetensors("x", test::layers(2, test::attention(2, 64)), 1, 8192);
  int64_t two = total(facts, vllm(1024));
  facts.layers[1].kind = models::LayerKind::Shared;
  CHECK(total(facts, vllm(1024)) * 2 == two);
  CHECK(total(test::known("DeepSeek-V3"), vllm(16384)) == 70272 * 16384);
}

TEST_CASE("numbers of any size give bytes or nothing, never a negative or smaller sum") {
  test::Generator random(20261124);
  for (int i = 0; i < 100000; ++i) {
    auto any = [&] {
      return random.chance(10) ? random.between(-4, int64_t{1} << 62) : random.between(0, 4096);
    };
    models::ModelFacts facts;
    for (int64_t n = random.between(0, 6); n > 0; --n) {
      models::LayerFacts layer = test::attention(random.between(0, 16), random.between(0, 256));
      layer.kind = static_cast<models::LayerKind>(random.between(0, 4));
      if (random.chance(20)) layer.key_elements = any();
      layer.window_tokens = any();
      if (random.chance(30)) layer.recurrent_elements = any();
      facts.layers.push_back(layer);
    }
    KvShape shape =
        random.chance(50) ? vllm(any(), any()) : llama(any(), random.between(1, 8), random.chance(50));
    if (random.chance(20)) shape.draft_tokens = random.between(0, 8);
    auto bytes = kv_bytes(facts, shape);
    if (!bytes) continue;
    bool sound = bytes->growing_bytes >= 0 && bytes->window_bytes >= 0 && bytes->state_bytes >= 0 &&
                 bytes->total_bytes >= bytes->growing_bytes;
    shape.context_tokens += 1 + shape.context_tokens / 2;
    auto more = kv_bytes(facts, shape);
    bool monotone = !more || more->total_bytes >= bytes->total_bytes;
    if (!sound || !monotone) {
      CAPTURE(i, shape.context_tokens, bytes->total_bytes);
      REQUIRE(sound);
      REQUIRE(monotone);
    }
  }
}
