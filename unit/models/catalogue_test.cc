#include "models/catalogue.h"

#include "catch.h"

using namespace strix;
using namespace strix::models;

namespace {

int64_t state_mib(const ModelFacts& facts, int64_t element_bytes) {
  int64_t elements = 0;
  for (const LayerFacts& layer : facts.layers)
    elements += layer.convolution_elements + layer.recurrent_elements;
  return elements * element_bytes >> 20;
}

std::string refusal(const std::string& text) {
  auto catalogue = Catalogue::parse(text);
  REQUIRE_FALSE(catalogue.ok());
  REQUIRE(catalogue.error().kind == ErrorKind::Invalid);
  return catalogue.error().text;
}

std::string row(const std::string& more) {
  return "models:\n- {repositories: [a/b], files: [b], architecture: B, source: here, " + more + "}\n";
}

}  // namespace

// Bytes of KV per token in BF16, of the layers that grow; GiB of weights.
TEST_CASE("each row of the catalogue has the KV bytes and weights that are known of the model") {
  struct Known {
    const char* repository;
    size_t layers;
    int64_t kv_bytes, context;
    double weight_gib;  // 0: not known
  };
  const Known table[] = {
      {"Qwen/Qwen2.5-14B-Instruct", 48, 196608, 32768, 27.51},
      {"Qwen/Qwen2.5-7B-Instruct", 28, 57344, 32768, 14.19},
      {"Qwen/Qwen2.5-3B-Instruct", 36, 36864, 32768, 5.75},
      {"Qwen/Qwen3-Coder-30B-A3B-Instruct", 48, 98304, 262144, 56.87},
      {"Qwen/Qwen3-30B-A3B", 48, 98304, 40960, 56.87},
      {"Qwen/Qwen3-30B-A3B-Instruct-2507", 48, 98304, 262144, 56.87},
      {"Qwen/Qwen3-30B-A3B-Thinking-2507", 48, 98304, 262144, 56.87},
      {"Qwen/Qwen2.5-14B-Instruct-1M", 48, 196608, 1010000, 27.51},
      {"Qwen/Qwen2.5-7B-Instruct-1M", 28, 57344, 1010000, 14.19},
      {"Qwen/Qwen3-32B", 64, 262144, 40960, 61.0},
      {"meta-llama/Llama-3.1-8B-Instruct", 32, 131072, 131072, 14.96},
      {"meta-llama/Llama-3.3-70B-Instruct", 80, 327680, 131072, 131.4},
      {"openai/gpt-oss-120b", 36, 36864, 131072, 60.77},
      {"openai/gpt-oss-20b", 24, 24576, 131072, 12.82},
      {"Qwen/Qwen3.5-35B-A3B", 40, 20480, 262144, 65.2},
      {"Qwen/Qwen3.6-35B-A3B", 40, 20480, 262144, 65.2},
      {"Qwen/Qwen3.5-27B", 64, 65536, 262144, 50.3},
      {"Qwen/Qwen3.6-27B", 64, 65536, 262144, 50.3},
      {"Qwen/Qwen3.5-122B-A10B", 48, 24576, 262144, 227.2},
      {"Qwen/Qwen3-Next-80B-A3B-Instruct", 48, 24576, 262144, 149.0},
      {"zai-org/GLM-4.5-Air", 46, 188416, 131072, 197.4},
      {"MiniMaxAI/MiniMax-M2.5", 62, 253952, 196608, 0},
      {"MiniMaxAI/MiniMax-M2.7", 62, 253952, 204800, 0},
      {"google/gemma-4-26B-A4B-it", 30, 20480, 262144, 48.4},
      {"google/gemma-4-31B-it", 60, 81920, 262144, 57.7},
      {"deepseek-ai/DeepSeek-V3", 61, 70272, 163840, 0},
  };
  for (const Known& known : table) {
    INFO(known.repository);
    const CatalogueRow* found = built_in_catalogue().by_repository(known.repository);
    REQUIRE(found != nullptr);
    REQUIRE(found->facts.layers.size() == known.layers);
    REQUIRE(growing_elements_per_token(found->facts) * 2 == known.kv_bytes);
    REQUIRE(found->facts.context_length_most_tokens == known.context);
    REQUIRE_FALSE(found->source.empty());
    if (known.weight_gib > 0) {
      double gib = static_cast<double>(*found->facts.weight_bytes) / (1 << 30);
      REQUIRE(gib == Approx(known.weight_gib).epsilon(0.002));
    } else {
      REQUIRE(found->facts.weight_bytes == std::nullopt);
    }
  }
  REQUIRE(built_in_catalogue().rows().size() == 23);
}

TEST_CASE("the states of linear layers are those that are known of the models") {
  auto facts = [](const char* name) { return built_in_catalogue().by_repository(name)->facts; };
  REQUIRE(state_mib(facts("Qwen/Qwen3.5-35B-A3B"), 2) == 31);
  REQUIRE(state_mib(facts("Qwen/Qwen3.5-27B"), 2) == 74);
  REQUIRE(state_mib(facts("Qwen/Qwen3.5-122B-A10B"), 2) == 74);
}

TEST_CASE("files are found by how their names begin") {
  auto repository = [](const char* file) {
    const CatalogueRow* found = built_in_catalogue().by_file(file);
    return found == nullptr ? std::string() : found->repositories.front();
  };
  REQUIRE(repository("Llama-3.3-70B-Instruct-Q4_K_M.gguf") == "meta-llama/Llama-3.3-70B-Instruct");
  REQUIRE(repository("sub/qwen2.5-3b-instruct-q4_k_m.gguf") == "Qwen/Qwen2.5-3B-Instruct");
  REQUIRE(repository("gpt-oss-120b-mxfp4-00001-of-00003.gguf") == "openai/gpt-oss-120b");
  REQUIRE(repository("Qwen3-Coder-30B-A3B-Instruct-UD-Q4_K_XL.gguf") == "Qwen/Qwen3-Coder-30B-A3B-Instruct");
  // A later model of the same name with an ending, which reaches further.
  REQUIRE(repository("Qwen3-30B-A3B-Q4_K_M.gguf") == "Qwen/Qwen3-30B-A3B");
  REQUIRE(repository("Qwen3-30B-A3B-Instruct-2507-Q4_K_M.gguf") == "Qwen/Qwen3-30B-A3B-Instruct-2507");
  REQUIRE(repository("Qwen3-30B-A3B-Thinking-2507-UD-Q4_K_XL.gguf") == "Qwen/Qwen3-30B-A3B-Instruct-2507");
  REQUIRE(repository("Qwen2.5-7B-Instruct-1M-Q4_K_M.gguf") == "Qwen/Qwen2.5-7B-Instruct-1M");
  REQUIRE(repository("Qwen3-32Bx.gguf") == "");
  REQUIRE(repository("unknown.gguf") == "");
  ModelFacts gguf = facts_without_weights(*built_in_catalogue().by_file("gpt-oss-20b.gguf"));
  REQUIRE(gguf.format == WeightFormat::Gguf);
  REQUIRE(gguf.weight_bytes == std::nullopt);
  REQUIRE(gguf.layers.size() == 24);
}

TEST_CASE("a row knows the base of the rotary angles where some source has it") {
  auto theta = [](const char* repository) {
    return built_in_catalogue().by_repository(repository)->facts.rope_theta;
  };
  REQUIRE(theta("Qwen/Qwen2.5-14B-Instruct") == 1000000);
  REQUIRE(theta("Qwen/Qwen3-Coder-30B-A3B-Instruct") == 10000000);
  REQUIRE(theta("Qwen/Qwen3-30B-A3B-Instruct-2507") == std::nullopt);
  REQUIRE(refusal(row("ropeTheta: 0.5")).find("models[0].ropeTheta: no whole number") != std::string::npos);
}

TEST_CASE("a catalogue that makes no sense is refused with line and field") {
  REQUIRE(refusal("models: 7") == "models: missing");
  REQUIRE(refusal("models: [{}]").find("models[0].repositories: no list of texts") != std::string::npos);
  REQUIRE(refusal(row("layers: {repeat: 1, of: [{kind: novel}]}")) ==
          "line 2, column 94: models[0].layers.of[0].kind: none of full, sliding, linear, latent, shared");
  REQUIRE(
      refusal(row("layers: {repeat: 1025, of: [{kind: shared}]}")).find("layers.repeat: no whole number") !=
      std::string::npos);
  REQUIRE(refusal(row("layers: {repeat: 1000, of: [{kind: shared, count: 1000}]}")).find("more layers") !=
          std::string::npos);
  REQUIRE(refusal(row("layers: {repeat: 1, of: [{kind: full, kvHeads: 8}]}")).find("headDim: missing") !=
          std::string::npos);
  REQUIRE(refusal(row("weightbytes: 7")).find("models[0].weightbytes: no such field") != std::string::npos);
  std::string good = row("layers: {repeat: 2, of: [{kind: shared}]}");
  REQUIRE(Catalogue::parse(good)->rows()[0].facts.layers.size() == 2);
  REQUIRE(refusal(good + good.substr(8)).find("models[1]: a repository that is there twice") !=
          std::string::npos);
}
