#include "engines/usage.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "catch.h"

using namespace strix;
using namespace strix::engines;

namespace {

constexpr auto vllm = api::Engine::Vllm;
constexpr auto llama = api::Engine::LlamaCpp;

const std::string load =
    "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 2.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 1.0\n";

std::string bucket(const std::string& name, const std::string& edge, const std::string& count,
                   const std::string& engine = "0") {
  return "vllm:request_" + name + "_tokens_bucket{engine=\"" + engine + "\",le=\"" + edge +
         "\",model_name=\"m\"} " + count + "\n";
}

}  // namespace

TEST_CASE("what vLLM was used for is read from its metrics") {
  auto usage = read_usage(
      vllm, load +
                "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.3456\n"
                "vllm:num_preemptions_total{engine=\"0\",model_name=\"m\"} 7.0\n"
                "http_requests_total{handler=\"/v1/chat/completions\",method=\"POST\",status=\"4xx\"} 3.0\n"
                "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"4xx\"} 1.0\n"
                "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"2xx\"} 90.0\n"
                "http_requests_total{handler=\"/v1/models\",method=\"GET\",status=\"4xx\"} 50.0\n" +
                bucket("prompt", "1000.0", "4.0") + bucket("prompt", "2000.0", "9.0") +
                bucket("prompt", "+Inf", "10.0") + bucket("generation", "50.0", "10.0") +
                bucket("generation", "+Inf", "10.0"));
  REQUIRE(usage);
  CHECK(usage->load == Load{2, 1});
  CHECK(usage->kv_used_milli == 346);
  CHECK(usage->preemptions == 7);
  CHECK(usage->refused == 4);
  CHECK_FALSE(usage->sequence_tokens_most);
  CHECK(usage->prompts == std::vector<TokenBucket>{{1000, 4}, {2000, 9}, {unbounded_tokens, 10}});
  CHECK(usage->answers == std::vector<TokenBucket>{{50, 10}, {unbounded_tokens, 10}});
}

TEST_CASE("what llama-server was used for is its longest request") {
  auto usage = read_usage(llama,
                          "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n"
                          "llamacpp:n_tokens_max 6000\n");
  REQUIRE(usage);
  CHECK(usage->sequence_tokens_most == 6000);
  CHECK_FALSE(usage->kv_used_milli);
  CHECK(usage->prompts.empty());
}

TEST_CASE("of two engines the histograms add up, and the fuller cache counts") {
  auto usage =
      read_usage(vllm, load + bucket("prompt", "10.0", "1.0") + bucket("prompt", "+Inf", "2.0") +
                           bucket("prompt", "10.0", "3.0", "1") + bucket("prompt", "+Inf", "3.0", "1") +
                           "vllm:kv_cache_usage_perc{engine=\"0\"} 0.1\n"
                           "vllm:kv_cache_usage_perc{engine=\"1\"} 0.9\n");
  CHECK(usage->prompts == std::vector<TokenBucket>{{10, 4}, {unbounded_tokens, 5}});
  CHECK(usage->kv_used_milli == 900);
}

TEST_CASE("what is not told, or makes no sense, is absent") {
  CHECK_FALSE(read_usage(vllm, ""));
  auto bare = read_usage(vllm, load);
  REQUIRE(bare);
  CHECK_FALSE(bare->kv_used_milli);
  CHECK_FALSE(bare->preemptions);
  CHECK(bare->refused == 0);
  CHECK(bare->prompts.empty());
  CHECK(read_usage(vllm, load + bucket("prompt", "10.0", "1.0"))->prompts.empty());  // breaks off
  CHECK(read_usage(vllm, load + bucket("prompt", "10.0", "5.0") + bucket("prompt", "+Inf", "2.0"))
            ->prompts.empty());
  CHECK(read_usage(vllm, load + bucket("prompt", "10.0", "NaN") + bucket("prompt", "+Inf", "2.0"))
            ->prompts.empty());
  std::string many;
  for (int i = 1; i <= 60; ++i) many += bucket("prompt", std::to_string(i), "1.0");
  CHECK(read_usage(vllm, load + many + bucket("prompt", "+Inf", "1.0"))->prompts.empty());
  CHECK(read_usage(vllm, load + "vllm:kv_cache_usage_perc 7\n")->kv_used_milli == 1000);
}

TEST_CASE("the usage of a real vLLM is read, where the recordings are") {
  const char* folder = std::getenv("STRIX_FIXTURES");
  if (!folder) return;
  std::ifstream file(std::string(folder) + "/vllm-cpu/metrics.txt");
  std::stringstream text;
  text << file.rdbuf();
  auto usage = read_usage(vllm, text.str());
  REQUIRE(usage);
  CHECK(usage->kv_used_milli == 0);
  CHECK(usage->preemptions == 0);
  CHECK(usage->refused == 0);
  REQUIRE(usage->prompts.size() == 12);  // 1-2-5 up to 2000, of a context of 2048
  CHECK(usage->prompts.back() == TokenBucket{unbounded_tokens, 2});
  CHECK(usage->answers[7] == TokenBucket{200, 2});
}
