#include "planner/claim.h"

#include <limits>

#include "base/bytes.h"
#include "catch.h"
#include "generator.h"

using namespace strix;
using namespace strix::planner;

namespace {

api::NodeProfile halo() {
  api::NodeProfile profile;
  profile.gfx_target = "gfx1151";
  profile.unified_memory_bytes = 128 * gib;
  profile.gpu_memory_bytes = 124 * gib;
  profile.system_reserve_bytes = 6 * gib;
  return profile;
}

api::Tier tier(api::Engine engine) {
  api::Tier tier;
  tier.name = "coder";
  tier.engine = engine;
  return tier;
}

}  // namespace

TEST_CASE("a GPU tier claims the ceiling of its share, as vLLM rounds its request") {
  api::Tier coder = tier(api::Engine::Vllm);
  coder.gpu_fraction_milli = 350;
  Claim claim = declared_claim(coder, halo());
  CHECK(claim.gpu);
  CHECK(claim.gpu_fraction_milli == 350);
  CHECK(claim.gpu_bytes == 46600395162);  // 124 GiB x 0.35 = 46600395161.6
  CHECK_FALSE(claim.host_bytes);          // not declared: unknown, not zero
  CHECK(claim.known_bytes() == 46600395162);
}

TEST_CASE("a declared request is what a tier holds outside the GPU") {
  api::Tier coder = tier(api::Engine::Vllm);
  coder.gpu_fraction_milli = 600;
  coder.requests.memory = "2Gi";
  CHECK(declared_claim(coder, halo()).host_bytes == 2 * gib);

  api::Tier reviewer = tier(api::Engine::LlamaCpp);
  reviewer.requests.memory = "50Gi";
  Claim claim = declared_claim(reviewer, halo());
  CHECK_FALSE(claim.gpu);
  CHECK(claim.gpu_fraction_milli == 0);
  CHECK(claim.gpu_bytes == 0);
  CHECK(claim.host_bytes == 50 * gib);

  reviewer.requests.memory = "much";
  CHECK_FALSE(declared_claim(reviewer, halo()).host_bytes);
}

TEST_CASE("the fraction of vLLM's CPU build is of all memory and counts as the host's") {
  api::Tier small = tier(api::Engine::Vllm);
  small.accelerator = api::Accelerator::None;
  small.gpu_fraction_milli = 100;
  Claim claim = declared_claim(small, halo());
  CHECK_FALSE(claim.gpu);
  CHECK(claim.gpu_fraction_milli == 0);
  CHECK(claim.gpu_bytes == 0);
  CHECK(claim.host_bytes == 13743895348);  // ceil(128 GiB x 0.1)

  small.requests.memory = "20Gi";  // processes beside the share
  CHECK(declared_claim(small, halo()).host_bytes == 20 * gib);
  small.requests.memory = "1Gi";
  CHECK(declared_claim(small, halo()).host_bytes == 13743895348);
}

TEST_CASE("llama.cpp on the GPU claims the share it was given") {
  api::Tier reviewer = tier(api::Engine::LlamaCpp);
  reviewer.accelerator = api::Accelerator::Gpu;
  reviewer.gpu_fraction_milli = 1000;
  CHECK(declared_claim(reviewer, halo()).gpu_bytes == 124 * gib);
}

TEST_CASE("nonsense in the profile cannot overflow a claim") {
  api::NodeProfile profile = halo();
  profile.gpu_memory_bytes = std::numeric_limits<int64_t>::max();
  api::Tier coder = tier(api::Engine::Vllm);
  coder.gpu_fraction_milli = std::numeric_limits<int>::max();
  coder.requests.memory = "8000000T";
  Claim claim = declared_claim(coder, profile);
  CHECK(claim.gpu_bytes == bytes_most);
  CHECK(claim.host_bytes == bytes_most);
  CHECK(claim.known_bytes() == 2 * bytes_most);
  CHECK(fraction_bytes(-1, 500) == 0);
  CHECK(fraction_bytes(1000, -1) == 0);
}

TEST_CASE("a share is the ceiling of the product, for any total") {
  test::Generator random(1);
  for (int i = 0; i < 10000; ++i) {
    int64_t total = random.between(0, random.chance(50) ? 5000 : 200 * gib);
    int64_t milli = random.between(0, 1000);
    int64_t share = fraction_bytes(total, milli);
    if (share * 1000 < total * milli || (share - 1) * 1000 >= total * milli) {
      CAPTURE(i, total, milli, share);
      REQUIRE((share == 0 && total * milli == 0));
    }
  }
}

TEST_CASE("a claim reads back from its annotation") {
  Claim claim{.gpu = true, .gpu_fraction_milli = 350, .gpu_bytes = 46600395162, .host_bytes = {}};
  CHECK(encode_claim(claim) == R"({"gpu":true,"gpuBytes":46600395162,"gpuFractionMilli":350})");
  CHECK(decode_claim(encode_claim(claim)) == claim);

  test::Generator random(2);
  for (int i = 0; i < 10000; ++i) {
    Claim any = random.claim(random.profile());
    if (decode_claim(encode_claim(any)) != any) {
      CAPTURE(i, encode_claim(any));
      FAIL("does not read back");
    }
  }
}

TEST_CASE("an annotation that was tampered with is no claim rather than a small one") {
  std::string text = GENERATE("", "null", "[]", "{}", "not json", R"({"gpu":true})",
                              R"({"gpu":true,"gpuBytes":-1,"gpuFractionMilli":350})",
                              R"({"gpu":true,"gpuBytes":1.5,"gpuFractionMilli":350})",
                              R"({"gpu":"yes","gpuBytes":1,"gpuFractionMilli":350})",
                              R"({"gpu":true,"gpuBytes":1,"gpuFractionMilli":-350})",
                              R"({"gpu":true,"gpuBytes":1,"gpuFractionMilli":99999999999})",
                              R"({"gpu":true,"gpuBytes":9223372036854775807,"gpuFractionMilli":350})",
                              R"({"gpu":true,"gpuBytes":1,"gpuFractionMilli":350,"hostBytes":-5})",
                              R"({"gpu":true,"gpuBytes":1,"gpuFractionMilli":350,"hostBytes":"many"})");
  CAPTURE(text);
  CHECK_FALSE(decode_claim(text));
}
