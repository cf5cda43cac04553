#include "models/config_json.h"

#include <random>

#include "catch.h"

using namespace strix;
using namespace strix::models;

namespace {

ConfigJson read(const std::string& text) {
  auto config = read_config_json(text);
  INFO((config.ok() ? "" : config.error().text));
  REQUIRE(config.ok());
  return *config;
}

std::string refusal(const std::string& text) {
  auto config = read_config_json(text);
  REQUIRE_FALSE(config.ok());
  REQUIRE(config.error().kind == ErrorKind::Invalid);
  return config.error().text;
}

std::string kinds(const std::string& text) {
  std::string letters;
  for (const LayerFacts& layer : read(text).facts.layers) letters += "FSLA."[static_cast<size_t>(layer.kind)];
  return letters;
}

// A config of 8 layers; `more` ends the object.
std::string config(const std::string& model_type, const std::string& more = "") {
  return R"({"model_type":")" + model_type +
         R"(","num_hidden_layers":8,"hidden_size":1024,"num_attention_heads":16,"num_key_value_heads":4)" +
         (more.empty() ? "" : ",") + more + "}";
}

}  // namespace

TEST_CASE("the facts of Qwen2.5-14B are those of its config.json") {
  ModelFacts facts = read(R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "num_hidden_layers": 48,
    "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_key_value_heads": 8,
    "max_position_embeddings": 32768, "sliding_window": 131072, "max_window_layers": 48,
    "use_sliding_window": false, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "vocab_size": 152064})")
                         .facts;
  REQUIRE(facts.architecture == "Qwen2ForCausalLM");
  REQUIRE(facts.layers.size() == 48);
  REQUIRE(growing_elements_per_token(facts) * 2 == 196608);
  REQUIRE(facts.context_length_most_tokens == 32768);
  REQUIRE(facts.dtype == "bfloat16");
  REQUIRE(facts.quantization == "");
  REQUIRE(facts.vocabulary_size == 152064);
  REQUIRE(facts.feed_forward_length == 13824);
}

TEST_CASE("a head has the dimension that the file or its class says, or the hidden size by heads") {
  REQUIRE(read(config("llama")).facts.layers[0].key_elements == 4 * 64);
  REQUIRE(read(config("llama", R"("head_dim":96)")).facts.layers[0].key_elements == 4 * 96);
  REQUIRE(read(config("llama", R"("head_dim":null)")).facts.layers[0].key_elements == 4 * 64);
  REQUIRE(read(config("qwen3")).facts.layers[0].value_elements == 4 * 128);
}

TEST_CASE("which layers slide is what the file lists, or what the class does") {
  REQUIRE(kinds(config("gemma2")) == "SFSFSFSF");
  REQUIRE(kinds(config("gemma3_text", R"("sliding_window_pattern":4)")) == "SSSFSSSF");
  REQUIRE(kinds(config("gpt_oss")) == "SFSFSFSF");
  REQUIRE(kinds(config("cohere2", R"("sliding_window":null)")) == "FFFFFFFF");
  REQUIRE(kinds(config("exaone4", R"("sliding_window_pattern":"LLLG")")) == "SSSFSSSF");
  REQUIRE(kinds(config("llama4_text")) == "SSSFSSSF");
  REQUIRE(read(config("llama4_text")).facts.layers[0].window_tokens == 8192);
  REQUIRE(kinds(config("mistral", R"("sliding_window":4096)")) == "SSSSSSSS");
  REQUIRE(kinds(config("mistral", R"("sliding_window":null)")) == "FFFFFFFF");
  REQUIRE(kinds(config("qwen2", R"("sliding_window":4096)")) == "FFFFFFFF");
  std::string upper = R"("sliding_window":4096,"use_sliding_window":true,
      "max_window_layers":6)";
  REQUIRE(kinds(config("qwen2", upper)) == "FFFFFFSS");
  std::string listed = R"("sliding_window":128,"layer_types":["full_attention","sliding_attention",
      "full_attention","full_attention","full_attention",
      "full_attention","full_attention","full_attention"])";
  REQUIRE(kinds(config("gpt_oss", listed)) == "FSFFFFFF");
}

TEST_CASE("gemma 4 has two kinds of heads, and its last layers share") {
  std::string more = R"("head_dim":256,"global_head_dim":512,"num_global_key_value_heads":2,
      "sliding_window":1024,"num_kv_shared_layers":1)";
  ModelFacts same = read(config("gemma4_text", more + R"(,"attention_k_eq_v":true)")).facts;
  REQUIRE(same.layers[0].window_tokens == 1024);
  REQUIRE(same.layers[0].key_elements == 4 * 256);
  REQUIRE(same.layers[5].key_elements == 2 * 512);
  REQUIRE(same.layers[7].kind == LayerKind::Shared);
  REQUIRE(read(config("gemma4_text", more)).facts.layers[5].key_elements == 4 * 512);
}

TEST_CASE("a multimodal config nests the language model, and its class fills what it leaves out") {
  ConfigJson read_config = read(R"({"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3",
    "torch_dtype":"bfloat16","text_config":{"hidden_size":2560,"intermediate_size":10240,
    "model_type":"gemma3_text","num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},
    "sliding_window":1024},"vision_config":{"num_hidden_layers":27,"hidden_size":1152}})");
  const ModelFacts& facts = read_config.facts;
  REQUIRE(facts.architecture == "Gemma3ForConditionalGeneration");
  REQUIRE(facts.layers.size() == 34);
  REQUIRE(facts.layers[5].kind == LayerKind::Full);
  REQUIRE(facts.layers[5].key_elements == 4 * 256);
  REQUIRE(facts.context_length_most_tokens == 131072);
  REQUIRE(facts.dtype == "bfloat16");
  REQUIRE(read_config.ties_output);
}

TEST_CASE("linear layers of Qwen3-Next and Qwen3.5 keep a state") {
  std::string sizes = R"("linear_num_key_heads":16,"linear_num_value_heads":64,"linear_key_head_dim":128,
      "linear_value_head_dim":128,"linear_conv_kernel_dim":4)";
  for (const char* type : {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}) {
    REQUIRE(kinds(config(type, sizes)) == "LLLFLLLF");
    LayerFacts linear = read(config(type, sizes)).facts.layers[0];
    REQUIRE(linear.convolution_elements == 3 * (2 * 16 * 128 + 64 * 128));
    REQUIRE(linear.recurrent_elements == 64 * 128 * 128);
  }
  REQUIRE(kinds(config("qwen3_next", R"("full_attention_interval":2)")) == "LFLFLFLF");
  ModelFacts drafts = read(config("qwen3_5_text", R"("mtp_num_hidden_layers":1)")).facts;
  REQUIRE(drafts.layers.size() == 8);
  REQUIRE(drafts.draft_layers.size() == 1);
  REQUIRE(drafts.draft_layers[0].kind == LayerKind::Full);
}

TEST_CASE("hybrids say which layer is what") {
  ModelFacts nemotron =
      read(config("nemotron_h", R"("hybrid_override_pattern":"M-M*EM-*","mamba_num_heads":64,
      "mamba_head_dim":64,"ssm_state_size":128,"n_groups":8,"conv_kernel":4)"))
          .facts;
  REQUIRE(nemotron.layers[0].recurrent_elements == 64 * 64 * 128);
  REQUIRE(nemotron.layers[0].convolution_elements == 3 * (64 * 64 + 2 * 8 * 128));
  REQUIRE(kinds(config("nemotron_h", R"("hybrid_override_pattern":"M-M*EM-*")")) == "L.LF.L.F");
  REQUIRE(refusal(config("nemotron_h", R"("hybrid_override_pattern":"M")")) == "layer_types: missing");
  REQUIRE(kinds(config("lfm2", R"("full_attn_idxs":[2,5])")) == "LLFLLFLL");
  std::string granite =
      R"("layer_types":["mamba","mamba","attention","mamba","mamba","mamba","mamba","mamba"],
      "mamba_n_heads":32,"mamba_d_head":64,"mamba_d_state":128,"mamba_n_groups":1,"mamba_d_conv":4)";
  REQUIRE(kinds(config("granitemoehybrid", granite)) == "LLFLLLLL");
  REQUIRE(read(config("granitemoehybrid", granite)).facts.layers[0].recurrent_elements == 32 * 64 * 128);
}

TEST_CASE("MLA keeps one latent vector") {
  ModelFacts facts =
      read(config("deepseek_v3", R"("kv_lora_rank":512,"qk_rope_head_dim":64,"num_nextn_predict_layers":1)"))
          .facts;
  REQUIRE(growing_elements_per_token(facts) == 8 * 576);
  REQUIRE(facts.draft_layers.size() == 1);
  REQUIRE(refusal(config("deepseek_v3")) == "kv_lora_rank: missing");
}

TEST_CASE("the base of the rotary angles is read where it is one for all layers") {
  auto theta = [](const std::string& more) { return read(config("llama", more)).facts.rope_theta; };
  REQUIRE(theta("") == std::nullopt);
  REQUIRE(theta(R"("rope_theta":10000000.0)") == 10000000);
  REQUIRE(theta(R"("rope_theta":500000)") == 500000);
  REQUIRE(theta(R"("rope_parameters":{"rope_theta":1000000,"rope_type":"default"})") == 1000000);
  REQUIRE(theta(R"("rope_parameters":{"full_attention":{"rope_theta":1000000}})") == std::nullopt);
  for (const char* odd : {"0", "-1", "1e300", "0.5", "10000.5", "null", "\"10000\""})
    REQUIRE(theta(R"("rope_theta":)" + std::string(odd)) == std::nullopt);
}

TEST_CASE("the context is what vLLM derives from the model's own rope scaling") {
  auto context = [](const std::string& more, const std::string& type = "llama") {
    return read(config(type, more)).facts.context_length_most_tokens;
  };
  REQUIRE(context("") == std::nullopt);
  REQUIRE(context(R"("max_position_embeddings":131072,"rope_scaling":{"rope_type":"llama3","factor":8.0,
      "original_max_position_embeddings":8192})") == 131072);
  REQUIRE(context(R"("max_position_embeddings":32768,"rope_scaling":{"type":"yarn","factor":4.0,
      "original_max_position_embeddings":32768})") == 131072);
  REQUIRE(context(R"("max_position_embeddings":131072,"rope_scaling":{"rope_type":"yarn","factor":32.0,
      "original_max_position_embeddings":4096})",
                  "gpt_oss") == 131072);
  REQUIRE(context(R"("max_position_embeddings":4096,"rope_scaling":{"type":"linear","factor":2.5})") ==
          10240);
  REQUIRE(context(R"("max_position_embeddings":4096,"rope_scaling":{"type":"linear","factor":1e300})") ==
          4096);
  REQUIRE(context(R"("max_position_embeddings":4096,"rope_scaling":null)") == 4096);
}

TEST_CASE("quantisation and dtype are read where each generation of tools wrote them") {
  ModelFacts facts =
      read(config("llama", R"("dtype":"float16","quantization_config":{"quant_method":"awq","bits":4})"))
          .facts;
  REQUIRE(facts.dtype == "float16");
  REQUIRE(facts.quantization == "awq");
  std::string packed =
      R"("quantization_config":{"quant_method":"compressed-tensors","format":"pack-quantized"})";
  REQUIRE(read(config("llama", packed)).facts.quantization == "compressed-tensors/pack-quantized");
  std::string mixed = R"("quantization_config":{"quant_method":"compressed-tensors","config_groups":{}})";
  REQUIRE(read(config("llama", mixed)).facts.quantization == "compressed-tensors");
}

TEST_CASE("what is not known is said to be unknown") {
  ModelFacts facts = read(config("llama99", R"("vocab_size":7)")).facts;
  REQUIRE(facts.layers.empty());
  REQUIRE(facts.layers_unknown == "unknown architecture \"llama99\"");
  REQUIRE(facts.vocabulary_size == 7);
  std::string listed = R"("layer_types":["full_attention","novel","full_attention","full_attention",
      "full_attention","full_attention","full_attention","full_attention"])";
  REQUIRE(read(config("gpt_oss", listed)).facts.layers_unknown == "unknown layer type \"novel\"");
}

TEST_CASE("a config.json that makes no sense is refused with its field") {
  REQUIRE(refusal("[]") == "not a JSON object");
  REQUIRE(refusal("{}") == "model_type: missing");
  REQUIRE(refusal(R"({"model_type":"llama"})") == "num_hidden_layers: missing");
  REQUIRE(refusal(config("llama", R"("head_dim":-1)")) == "head_dim: no whole number up to 16777216");
  REQUIRE(refusal(config("llama", R"("head_dim":"x")")) == "head_dim: no whole number up to 16777216");
  REQUIRE(refusal(config("llama", R"("head_dim":9223372036854775807)")) ==
          "head_dim: no whole number up to 16777216");
  REQUIRE(refusal(config("gpt_oss", R"("layer_types":["full_attention"])")) ==
          "layer_types: 1 elements for 8 layers");
  REQUIRE(refusal(config("gemma4_text", R"("num_kv_shared_layers":9)")) ==
          "num_kv_shared_layers: more than layers");
  REQUIRE(refusal(R"({"model_type":"llama","num_hidden_layers":99999999,"hidden_size":1})") ==
          "num_hidden_layers: no whole number up to 1024");
  REQUIRE(refusal(config("nemotron_h", R"("hybrid_override_pattern":"MMMMMMMM","mamba_num_heads":65536,
      "mamba_head_dim":65536,"ssm_state_size":65536)")) == "num_hidden_layers: states beyond any model's");
}

TEST_CASE("random changes of a config.json never do more than be refused") {
  std::mt19937_64 random(20261124);
  const std::string seeds[] = {
      config("gemma4_text", R"("sliding_window":1024,"num_kv_shared_layers":2,"head_dim":256)"),
      config("qwen3_5_text", R"("linear_num_value_heads":32,"mtp_num_hidden_layers":1)"),
      config("deepseek_v3", R"("kv_lora_rank":512,"qk_rope_head_dim":64)")};
  int accepted = 0;
  for (int round = 0; round < 100000; ++round) {
    std::string text = seeds[round % 3];
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      static constexpr std::string_view likely = "0123456789-.eE\"{}[],:nul ";
      text[random() % text.size()] =
          random() % 2 ? likely[random() % likely.size()] : static_cast<char>(random());
    }
    auto read_config = read_config_json(text);
    if (!read_config.ok()) continue;
    ++accepted;
    REQUIRE(growing_elements_per_token(read_config->facts) >= 0);
  }
  REQUIRE(accepted > 100);
}
