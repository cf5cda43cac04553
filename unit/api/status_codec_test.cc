#include "base/bytes.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;

namespace {

api::TierStatus tier_named(const char* name) {
  api::TierStatus tier;
  tier.name = name;
  return tier;
}

api::StackStatus sample_status() {
  api::StackStatus status;
  status.observed_generation = 3;
  status.conditions.push_back({.type = "Ready",
                               .status = "True",
                               .reason = "AllTiersServing",
                               .message = "All 2.",
                               .last_transition = 1770091506000,
                               .observed_generation = 3});
  status.summary = {.ready = "2/2",
                    .status = "Ready",
                    .gpu = "0.92",
                    .pool = "116.2/122.2Gi",
                    .headroom = "6.0Gi",
                    .nodes = "strix-halo"};
  api::TierStatus tier;
  tier.name = "coder";
  tier.state = "Ready";
  tier.reason = "Serving";
  tier.message = "Serves 49152 tokens.";
  tier.since = 1770091507000;
  tier.pod_name = "strix-coder";
  tier.node = "strix-halo";
  tier.restarts = 2;
  tier.consecutive_failures = 1;
  tier.last_failure = api::Failure{.failure_class = "EngineDied",
                                   .message = "exit code 0",
                                   .time = 1770091508000,
                                   .subject = "5f3a",
                                   .cleared = "monday"};
  tier.context_length_tokens = 49152;
  tier.gpu_fraction_milli = 550;
  tier.bytes = 68 * gib;
  tier.kv =
      api::KvStatus{.bytes = 5 * gib, .tokens = 54400, .concurrency_hundredths = 111, .peak_percent = 35};
  tier.recommended = api::Recommended{.context_length_tokens = 20480,
                                      .gpu_fraction_milli = 420,
                                      .kv_cache_bytes = 3 * gib,
                                      .message = "requests took less",
                                      .since = 1770091509000};
  tier.engine_version = "0.32.0";
  tier.endpoint = "http://strix-coder.llm.svc:8002";
  status.tiers = {tier, tier_named("utility")};
  status.memory.push_back({.node = "halo",
                           .total_bytes = 128 * gib,
                           .gpu_total_bytes = 124 * gib,
                           .reserved_bytes = 6 * gib,
                           .planned_bytes = 70 * gib,
                           .held_bytes = 68 * gib,
                           .headroom_bytes = -gib});
  status.learned.push_back(
      {.tier = "coder",
       .context =
           api::LearnedContext{
               .refused_tokens = 65536, .refusals = 2, .estimate_tokens = 49168, .inputs = "9c1b"},
       .engine = api::LearnedEngine{.bytes = 5 * gib, .inputs = "77aa"},
       .gpu_memory = api::LearnedGpuMemory{.total_bytes = 110 * gib, .inputs = "0b0b"}});
  return status;
}

// What the API server would give back after a write.
api::StackStatus written_and_read(const api::StackStatus& status) {
  auto stack = test::minimal();
  auto document = test::parse(api::encode_status_apply(stack, status));
  auto read = api::decode_stack(document.root());
  REQUIRE(read.ok());
  return read->status;
}

}  // namespace

TEST_CASE("a status that is written reads back the same") {
  api::StackStatus read = written_and_read(sample_status());
  CHECK(api::status_fingerprint(read) == api::status_fingerprint(sample_status()));
  CHECK(read.conditions[0].last_transition == 1770091506000);
  CHECK(read.tiers[0].since == 1770091507000);
  CHECK(read.tiers[0].last_failure == sample_status().tiers[0].last_failure);
  CHECK(read.tiers[0].gpu_fraction_milli == 550);
  CHECK(read.tiers[0].bytes == 68 * gib);
  CHECK(read.tiers[0].kv == sample_status().tiers[0].kv);
  CHECK(read.tiers[0].engine_version == "0.32.0");
  CHECK(read.tiers[0].recommended == sample_status().tiers[0].recommended);
  CHECK_FALSE(read.tiers[1].recommended.has_value());
  CHECK_FALSE(read.tiers[1].bytes.has_value());
  CHECK_FALSE(read.tiers[1].kv.has_value());
  CHECK_FALSE(read.tiers[1].last_failure.has_value());
  CHECK(read.memory[0].headroom_bytes == -gib);
  CHECK(read.summary.pool == "116.2/122.2Gi");
}

TEST_CASE("every fraction in thousandths survives the round trip") {
  for (int milli = 1; milli <= 1000; ++milli) {
    api::StackStatus status;
    status.tiers.push_back(tier_named("a"));
    status.tiers[0].gpu_fraction_milli = milli;
    REQUIRE(written_and_read(status).tiers[0].gpu_fraction_milli == milli);
  }
}

TEST_CASE("a status apply names the object and its resourceVersion, and no uid") {
  auto stack = test::minimal();
  stack.metadata.uid = "u1";
  auto document = test::parse(api::encode_status_apply(stack, sample_status()));
  CHECK(document.root()["apiVersion"].string_or("") == "inference.strix.dev/v1alpha1");
  CHECK(document.root()["kind"].string_or("") == "InferenceStack");
  CHECK(document.root()["metadata"].canonical() ==
        R"({"name":"strix","namespace":"llm","resourceVersion":"7"})");
  CHECK_FALSE(document.root()["spec"].exists());
}

TEST_CASE("the fingerprint sees everything but times") {
  std::string before = api::status_fingerprint(sample_status());
  api::StackStatus later = sample_status();
  later.conditions[0].last_transition += 1000;
  later.tiers[0].since += 1000;
  later.tiers[0].last_failure->time += 1000;
  CHECK(api::status_fingerprint(later) == before);

  auto differs = [&](auto&& change) {
    api::StackStatus status = sample_status();
    change(status);
    return api::status_fingerprint(status) != before;
  };
  CHECK(differs([](auto& s) { s.observed_generation = 4; }));
  CHECK(differs([](auto& s) { s.conditions[0].reason = "X"; }));
  CHECK(differs([](auto& s) { s.conditions.clear(); }));
  CHECK(differs([](auto& s) { s.summary.status = "Waiting"; }));
  CHECK(differs([](auto& s) { s.tiers[0].restarts = 3; }));
  CHECK(differs([](auto& s) { s.tiers[0].last_failure.reset(); }));
  CHECK(differs([](auto& s) { s.tiers[0].context_length_tokens.reset(); }));
  CHECK(differs([](auto& s) { std::swap(s.tiers[0], s.tiers[1]); }));
  CHECK(differs([](auto& s) { s.memory[0].held_bytes += 1; }));
}

TEST_CASE("texts that the API server would refuse are written within its limits, once and for all") {
  api::StackStatus status;
  status.conditions.push_back(
      {.type = "Ready", .status = "False", .reason = "", .message = std::string(50000, 'x')});
  status.tiers.push_back(tier_named("a"));
  status.tiers[0].message = "log said \xff\xfe " + std::string(9000, '\x01');
  status.summary.status = std::string(1000, 'y');
  api::StackStatus read = written_and_read(status);
  CHECK(read.conditions[0].reason == "Unknown");
  CHECK(read.conditions[0].message.size() == 32768);
  CHECK(read.tiers[0].message.size() == 4096);
  CHECK(read.summary.status.size() == 256);
  // Otherwise a settled stack would be written in every pass.
  CHECK(api::status_fingerprint(read) == api::status_fingerprint(status));
}

TEST_CASE("a status that nobody wrote yet has generation -1, and a broken one reads as if it were empty") {
  CHECK(test::minimal().status.observed_generation == -1);
  auto stack = test::decode_yaml(
      "{metadata: {name: a}, spec: {}, status: {observedGeneration: x, conditions: {}, tiers: [7], summary: "
      "[], "
      "memory: 9}}");
  REQUIRE(stack.ok());
  CHECK(stack->status.observed_generation == -1);
  CHECK(stack->status.conditions.empty());
  CHECK(stack->status.tiers.size() == 1);
  CHECK(stack->decode_errors.empty());
}
