#include "models/facts_of_gguf.h"

#include "catch.h"
#include "models/gguf_builder.h"
#include "models/memory_source.h"

using namespace strix;
using namespace strix::models;
using strix::test::GgufBuilder;
using strix::test::MemorySource;

namespace {

// A model of one architecture with the least that all need; keys are given without its name.
class Model {
 public:
  explicit Model(std::string name, int layers = 12) : name_(std::move(name)) {
    builder_.set("general.architecture", name_.c_str());
    set("block_count", layers).set("embedding_length", 1024).set("attention.head_count", 16);
  }
  template <typename T>
  Model& set(const std::string& key, T value) {
    builder_.set(name_ + "." + key, value);
    return *this;
  }
  Model& flags(const std::string& key, const std::vector<int>& flags) {
    builder_.flags(name_ + "." + key, flags);
    return *this;
  }
  Result<ModelFacts> read() const {
    auto gguf = read_gguf(MemorySource(builder_.file()));
    REQUIRE(gguf.ok());
    return facts_of_gguf(*gguf);
  }
  ModelFacts facts() const {
    auto facts = read();
    INFO((facts.ok() ? "" : facts.error().text));
    REQUIRE(facts.ok());
    return *facts;
  }
  std::string refusal() const {
    auto facts = read();
    REQUIRE_FALSE(facts.ok());
    REQUIRE(facts.error().kind == ErrorKind::Invalid);
    return facts.error().text;
  }

 private:
  std::string name_;
  GgufBuilder builder_;
};

// "FFS": the first letter of each layer's kind; '.' keeps nothing, 'A' is latent.
std::string kinds(const std::vector<LayerFacts>& layers) {
  std::string letters;
  for (const LayerFacts& layer : layers) letters += "FSLA."[static_cast<size_t>(layer.kind)];
  return letters;
}
std::string kinds(const ModelFacts& facts) {
  return kinds(facts.layers);
}

}  // namespace

TEST_CASE("head dimensions come from the file, or from the embedding and the heads") {
  ModelFacts plain = Model("llama").set("attention.head_count_kv", 4).facts();
  REQUIRE(kinds(plain) == "FFFFFFFFFFFF");
  REQUIRE(plain.layers[0].key_elements == 4 * 64);
  REQUIRE(plain.layers[0].value_elements == 4 * 64);
  ModelFacts wide = Model("qwen3").set("attention.key_length", 128).set("attention.value_length", 96).facts();
  REQUIRE(wide.layers[0].key_elements == 16 * 128);
  REQUIRE(wide.layers[0].value_elements == 16 * 96);
}

TEST_CASE("heads may differ from layer to layer, and a layer without keeps nothing") {
  ModelFacts deci = Model("deci", 3).set("attention.head_count_kv", std::vector<uint32_t>{8, 0, 2}).facts();
  REQUIRE(kinds(deci) == "F.F");
  REQUIRE(deci.layers[2].key_elements == 128);
  std::string wrong = Model("deci", 3).set("attention.head_count_kv", std::vector<uint32_t>{8, 0}).refusal();
  REQUIRE(wrong == "deci.attention.head_count_kv: 2 elements for 3 layers");
}

TEST_CASE("which layers slide is what llama.cpp does for the architecture") {
  auto windowed = [](const std::string& name, int layers = 12) {
    return kinds(Model(name, layers).set("attention.sliding_window", 512).facts());
  };
  REQUIRE(windowed("gemma2") == "SFSFSFSFSFSF");
  REQUIRE(windowed("gemma3") == "SSSSSFSSSSSF");
  REQUIRE(windowed("gpt-oss") == "SFSFSFSFSFSF");
  REQUIRE(windowed("cohere2") == "SSSFSSSFSSSF");
  REQUIRE(windowed("cohere2moe") == "FSSSFSSSFSSS");
  REQUIRE(windowed("olmo2") == "SSSFSSSFSSSF");
  REQUIRE(windowed("smallthinker") == "FSSSFSSSFSSS");
  REQUIRE(windowed("plamo3") == "SSSSSSSFSSSS");
  REQUIRE(windowed("phi3") == "FFFFFFFFFFFF");
  REQUIRE(windowed("llama") == "FFFFFFFFFFFF");
  REQUIRE(windowed("exaone4") == "FFFFFFFFFFFF");
  REQUIRE(windowed("exaone4", 64).substr(0, 8) == "SSSFSSSF");
  REQUIRE(kinds(Model("gemma3").facts()) == "FFFFFFFFFFFF");
  REQUIRE(Model("gpt-oss").refusal() == "gpt-oss.attention.sliding_window: missing");
}

TEST_CASE("windows have the file's size, or the one that llama.cpp has for the architecture") {
  REQUIRE(Model("gemma2").facts().layers[0].window_tokens == 4096);
  REQUIRE(Model("llama4").facts().layers[0].window_tokens == 8192);
  REQUIRE(kinds(Model("llama4", 4).facts()) == "SSSF");
  REQUIRE(kinds(Model("llama4", 4).set("attention.sliding_window", 0).facts()) == "FFFF");
  REQUIRE(Model("smallthinker").set("attention.sliding_window", 77).facts().layers[1].window_tokens == 4096);
  ModelFacts listed = Model("gemma3", 4)
                          .set("attention.sliding_window", 100)
                          .flags("attention.sliding_window_pattern", {0, 1, 1, 0})
                          .facts();
  REQUIRE(kinds(listed) == "FSSF");
  ModelFacts period = Model("gemma3", 4)
                          .set("attention.sliding_window", 100)
                          .set("attention.sliding_window_pattern", 2)
                          .facts();
  REQUIRE(kinds(period) == "SFSF");
}

TEST_CASE("gemma 4 has two kinds of heads and layers that share") {
  ModelFacts facts = Model("gemma4", 6)
                         .set("attention.sliding_window", 1024)
                         .flags("attention.sliding_window_pattern", {1, 1, 0, 1, 1, 0})
                         .set("attention.head_count_kv", std::vector<uint32_t>{8, 8, 2, 8, 8, 2})
                         .set("attention.key_length", 512)
                         .set("attention.value_length", 512)
                         .set("attention.key_length_swa", 256)
                         .set("attention.value_length_swa", 256)
                         .set("attention.shared_kv_layers", 2)
                         .facts();
  REQUIRE(kinds(facts) == "SSFS..");
  REQUIRE(facts.layers[0].key_elements == 8 * 256);
  REQUIRE(facts.layers[2].value_elements == 2 * 512);
  REQUIRE(Model("gemma4").set("attention.sliding_window", 9).refusal() ==
          "gemma4.attention.sliding_window_pattern: missing");
}

TEST_CASE("gemma 3n keeps the cache of its first 20 layers") {
  ModelFacts facts = Model("gemma3n", 30).set("attention.sliding_window", 512).facts();
  REQUIRE(kinds(facts) == "SSSSFSSSSFSSSSFSSSSF..........");
}

TEST_CASE("MLA keeps one latent vector, older files of the same models keep heads") {
  ModelFacts latent = Model("deepseek2", 2)
                          .set("attention.head_count_kv", 1)
                          .set("attention.key_length", 576)
                          .set("attention.value_length", 512)
                          .set("attention.key_length_mla", 192)
                          .set("attention.value_length_mla", 128)
                          .facts();
  REQUIRE(kinds(latent) == "AA");
  REQUIRE(latent.layers[0].key_elements == 576);
  REQUIRE(latent.layers[0].value_elements == 0);
  ModelFacts heads =
      Model("deepseek2", 2).set("attention.key_length", 192).set("attention.value_length", 128).facts();
  REQUIRE(kinds(heads) == "FF");
  REQUIRE(heads.layers[0].key_elements == 16 * 192);
}

namespace {

Model with_ssm(const std::string& name, int layers) {
  return Model(name, layers)
      .set("ssm.conv_kernel", 4)
      .set("ssm.inner_size", 4096)
      .set("ssm.state_size", 128)
      .set("ssm.time_step_rank", 32)
      .set("ssm.group_count", 16);
}

}  // namespace

TEST_CASE("linear layers keep a state, and every fourth layer attends") {
  for (const char* name : {"qwen3next", "qwen35", "qwen35moe"}) {
    ModelFacts facts = with_ssm(name, 8).set("attention.head_count_kv", 2).facts();
    REQUIRE(kinds(facts) == "LLLFLLLF");
    REQUIRE(facts.layers[0].convolution_elements == 3 * (4096 + 2 * 16 * 128));
    REQUIRE(facts.layers[0].recurrent_elements == 128 * 4096);
    REQUIRE(facts.layers[3].recurrent_elements == 0);
  }
  REQUIRE(kinds(with_ssm("qwen35", 4).set("full_attention_interval", 2).facts()) == "LFLF");
  REQUIRE(kinds(with_ssm("qwen35", 4).flags("attention.recurrent_layers", {1, 0, 0, 1}).facts()) == "LFFL");
  REQUIRE(with_ssm("qwen35", 4).set("full_attention_interval", 0).refusal() ==
          "qwen35.full_attention_interval: is 0");
}

TEST_CASE("hybrids are told apart by their heads and their feed-forward networks") {
  std::vector<uint32_t> heads = {0, 2, 0, 2}, wide = {0, 0, 64, 0};
  for (const char* name : {"jamba", "granitehybrid", "plamo2"})
    REQUIRE(kinds(with_ssm(name, 4).set("attention.head_count_kv", heads).facts()) == "LFLF");
  ModelFacts nemotron = with_ssm("nemotron_h_moe", 4)
                            .set("attention.head_count_kv", heads)
                            .set("feed_forward_length", wide)
                            .facts();
  REQUIRE(kinds(nemotron) == "LF.F");
  ModelFacts falcon = with_ssm("falcon-h1", 2).facts();
  REQUIRE(kinds(falcon) == "FF");
  REQUIRE(falcon.layers[0].recurrent_elements == 128 * 4096);
  REQUIRE(kinds(with_ssm("mamba2", 2).facts()) == "LL");
  REQUIRE(Model("mamba").refusal() == "mamba.ssm.conv_kernel: missing");
}

TEST_CASE("other states: short convolutions, KDA, lightning attention, RWKV") {
  std::vector<uint32_t> heads = {0, 2};
  ModelFacts lfm2 =
      Model("lfm2", 2).set("attention.head_count_kv", heads).set("shortconv.l_cache", 3).facts();
  REQUIRE(kinds(lfm2) == "LF");
  REQUIRE(lfm2.layers[0].convolution_elements == 2 * 1024);
  ModelFacts kimi = Model("kimi-linear", 2)
                        .set("attention.head_count_kv", std::vector<uint32_t>{0, 1})
                        .set("attention.key_length", 576)
                        .set("attention.key_length_mla", 192)
                        .set("attention.value_length_mla", 128)
                        .set("kda.head_dim", 128)
                        .set("ssm.conv_kernel", 4)
                        .facts();
  REQUIRE(kinds(kimi) == "LA");
  REQUIRE(kimi.layers[0].convolution_elements == 3 * 3 * 16 * 128);
  REQUIRE(kimi.layers[0].recurrent_elements == 128 * 128 * 16);
  ModelFacts minimax = Model("minimax-01", 8).facts();
  REQUIRE(kinds(minimax) == "LLLLLLLF");
  REQUIRE(minimax.layers[0].recurrent_elements == 64 * 64 * 16);
  ModelFacts rwkv = Model("rwkv7", 2).set("wkv.head_size", 64).facts();
  REQUIRE(rwkv.layers[0].convolution_elements == 2 * 1024);
  REQUIRE(rwkv.layers[0].recurrent_elements == 64 * 1024);
}

TEST_CASE("layers of multi-token prediction stand aside") {
  ModelFacts facts = Model("glm4moe", 5).set("nextn_predict_layers", 1).facts();
  REQUIRE(kinds(facts) == "FFFF");
  REQUIRE(kinds(facts.draft_layers) == "F");
  ModelFacts hybrid = with_ssm("qwen35moe", 9).set("nextn_predict_layers", 1).facts();
  REQUIRE(kinds(hybrid) == "LLLFLLLF");
  REQUIRE(kinds(hybrid.draft_layers) == "F");
  REQUIRE(Model("glm4moe", 2).set("nextn_predict_layers", 2).refusal() ==
          "glm4moe.block_count: 2 layers, 2 of them for prediction");
}

TEST_CASE("an architecture that is not known is said to be unknown, with the weights that are") {
  GgufBuilder builder;
  builder.set("general.architecture", "llama99").tensor("a.weight", {32, 2}, 8, 68);
  auto facts = facts_of_gguf(*read_gguf(MemorySource(builder.file())));
  REQUIRE(facts.ok());
  REQUIRE(facts->layers.empty());
  REQUIRE(facts->layers_unknown == "unknown architecture \"llama99\"");
  REQUIRE(facts->weight_bytes == 68);
}

TEST_CASE("what is no model is refused") {
  auto refusal = [](GgufBuilder& builder) {
    auto facts = facts_of_gguf(*read_gguf(MemorySource(builder.file())));
    REQUIRE_FALSE(facts.ok());
    return facts.error().text;
  };
  GgufBuilder nothing, clip, adapter;
  REQUIRE(refusal(nothing) == "general.architecture: missing");
  REQUIRE(refusal(clip.set("general.architecture", "clip")) ==
          "a projector for images or sound, not a model");
  REQUIRE(refusal(adapter.set("general.architecture", "llama").set("general.type", "adapter")) ==
          "an adapter, not a model");
}

TEST_CASE("numbers that no model has are refused") {
  REQUIRE(Model("llama", 0).refusal() == "llama.block_count: 0 layers, 0 of them for prediction");
  REQUIRE(Model("llama", 5000).refusal() == "llama.block_count: no whole number up to 1024");
  REQUIRE(Model("llama").set("attention.key_length", 1 << 30).refusal() ==
          "llama.attention.key_length: no whole number up to 16777216");
  REQUIRE(Model("llama").set("attention.head_count_kv", "many").refusal() ==
          "llama.attention.head_count_kv: no whole number up to 16777216");
}

TEST_CASE("weights are told apart by type and by what a CPU may repack") {
  auto facts = [](GgufBuilder builder) { return *facts_of_gguf(*read_gguf(MemorySource(builder.file()))); };
  ModelFacts own = facts(strix::test::small_llama());
  REQUIRE(own.repackable_bytes_by_type == std::map<std::string, int64_t>{{"F16", 4096}, {"Q4_K", 576}});
  REQUIRE(own.other_bytes_by_type == std::map<std::string, int64_t>{{"F32", 256}, {"Q8_0", 2176}});
  REQUIRE(own.weight_bytes == 4096 + 576 + 256 + 2176);
  REQUIRE(own.parameters == 2 * 64 * 32 + 1024 + 64);
  REQUIRE(own.vocabulary_size == 32);
  REQUIRE(own.quantization == "Q4_K_M");
  GgufBuilder tied;
  tied.set("general.architecture", "other").tensor("token_embd.weight", {64, 32}, 8, 2176);
  tied.tensor("blk.0.ffn_gate_exps.weight", {64, 32, 4}, 39, 4352).tensor("blk.0.attn_q.bias", {64}, 0, 256);
  REQUIRE(facts(tied).repackable_bytes_by_type ==
          std::map<std::string, int64_t>{{"MXFP4", 4352}, {"Q8_0", 2176}});
}
