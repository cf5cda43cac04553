#include "planner/ledger.h"

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
  profile.max_gpu_fraction_milli = 950;
  return profile;
}

Claim gpu(int milli, int64_t total = 124 * gib) {
  return {
      .gpu = true, .gpu_fraction_milli = milli, .gpu_bytes = fraction_bytes(total, milli), .host_bytes = {}};
}

Claim cpu(std::optional<int64_t> bytes) {
  return {.gpu = false, .gpu_fraction_milli = 0, .gpu_bytes = 0, .host_bytes = bytes};
}

bool within_bounds(const api::NodeProfile& profile, const Totals& totals, const Claim& last) {
  bool gpu_fits = totals.gpu_fraction_milli <= profile.max_gpu_fraction_milli &&
                  totals.gpu_bytes <= profile.gpu_memory_bytes;
  bool all_fits = totals.all_bytes() + profile.system_reserve_bytes <= profile.unified_memory_bytes;
  return all_fits && (gpu_fits || (!last.gpu && last.gpu_bytes == 0));
}

}  // namespace

TEST_CASE("totals add up, and know when they are not all there is") {
  Totals totals = total_of({{"a", gpu(350)}, {"b", cpu(2 * gib)}});
  CHECK(totals.gpu_fraction_milli == 350);
  CHECK(totals.gpu_bytes == 46600395162);
  CHECK(totals.host_bytes == 2 * gib);
  CHECK_FALSE(totals.host_complete);
  CHECK(total_of({{"b", cpu(gib)}}).host_complete);
  CHECK(total_of({}).all_bytes() == 0);
}

TEST_CASE("the decision log's two GPU tiers fit together, and a third does not") {
  std::vector<Entry> held{{"llm/strix-orchestrator", gpu(350)}};
  CHECK_FALSE(shortfall(halo(), held, "coder", gpu(600)));
  held.push_back({"llm/strix-coder", gpu(600)});
  auto lack = shortfall(halo(), held, "drafter", gpu(50));
  REQUIRE(lack);
  CHECK(lack->bound == Bound::GpuFraction);
  CHECK(lack->wanted == 50);
  CHECK(lack->held == 950);
  CHECK(lack->limit == 950);
  CHECK(lack->message ==
        "drafter needs gpuFraction 0.05, but 0.95 of 0.95 is held (llm/strix-coder 0.60, "
        "llm/strix-orchestrator 0.35): 0.05 short. It fits when another tier of this node takes less or is "
        "switched off.");
}

TEST_CASE("a shortfall names the largest fraction that fits") {
  auto lack = shortfall(halo(), {{"llm/strix-orchestrator", gpu(450)}}, "coder", gpu(600));
  REQUIRE(lack);
  CHECK(lack->message ==
        "coder needs gpuFraction 0.60, but 0.45 of 0.95 is held (llm/strix-orchestrator 0.45): 0.10 short. "
        "It fits with gpuFraction 0.50.");
}

TEST_CASE("bytes of the GPU are a bound of their own") {
  api::NodeProfile small = halo();
  small.gpu_memory_bytes = 96 * gib;  // another stack measured less than this one declares
  auto lack = shortfall(small, {{"llm/strix-orchestrator", gpu(350)}}, "coder", gpu(600));
  REQUIRE(lack);
  CHECK(lack->bound == Bound::GpuBytes);
  CHECK(lack->message ==
        "coder needs 74.4Gi, but 43.4Gi of 96.0Gi GPU memory is held (llm/strix-orchestrator 43.4Gi): 21.9Gi "
        "short. It fits with gpuFraction 0.42.");
  CHECK_FALSE(shortfall(small, {{"llm/strix-orchestrator", gpu(350)}}, "coder", gpu(420)));
}

TEST_CASE("the whole pool bounds GPU and CPU tiers together") {
  std::vector<Entry> held{{"llm/strix-orchestrator", gpu(350)}, {"llm/strix-coder", gpu(550)}};
  auto lack = shortfall(halo(), held, "reviewer", cpu(50 * gib));
  REQUIRE(lack);
  CHECK(lack->bound == Bound::Everything);
  CHECK(
      lack->message ==
      "reviewer needs 50.0Gi, but 111.6Gi of 122.0Gi (128.0Gi less 6.0Gi systemReserve) is held "
      "(llm/strix-coder 68.2Gi, llm/strix-orchestrator 43.4Gi): 39.7Gi short. It fits with 10.3Gi or less.");
  // What the message says is free is free, and what it says is missing is enough.
  CHECK_FALSE(shortfall(halo(), held, "reviewer", cpu(gib * 103 / 10)));
}

TEST_CASE("a tier alone on a machine that is too small is told how much there is") {
  auto lack = shortfall(halo(), {}, "reviewer", cpu(130 * gib));
  REQUIRE(lack);
  CHECK(lack->message ==
        "reviewer needs 130.0Gi, but there is only 122.0Gi (128.0Gi less 6.0Gi systemReserve): 8.0Gi short. "
        "It fits with 122.0Gi or less.");
  auto full = shortfall(halo(), {}, "coder", gpu(1000));
  REQUIRE(full);
  CHECK(full->message ==
        "coder needs gpuFraction 1.00, but there is only 0.95: 0.05 short. It fits with gpuFraction 0.95.");
}

TEST_CASE("a tier of unknown size starts on what is free, and not where nothing is") {
  CHECK_FALSE(shortfall(halo(), {{"a", cpu(122 * gib)}}, "utility", cpu({})));
  auto lack = shortfall(halo(), {{"llm/a", cpu(122 * gib + 1)}}, "utility", cpu({}));
  REQUIRE(lack);
  CHECK(lack->message ==
        "utility needs memory, but 122.0Gi of 122.0Gi (128.0Gi less 6.0Gi systemReserve) is held (llm/a "
        "122.0Gi): 1Mi short. It fits when another tier of this node takes less or is switched off.");
}

TEST_CASE("a CPU tier is not refused for what GPU tiers have overdrawn") {
  api::NodeProfile strict = halo();
  strict.max_gpu_fraction_milli = 100;
  CHECK_FALSE(shortfall(strict, {{"a", gpu(350)}}, "utility", cpu(gib)));
  CHECK(shortfall(strict, {{"a", gpu(350)}}, "coder", gpu(10)));
}

TEST_CASE("many holders are named up to four") {
  std::vector<Entry> held;
  for (int i = 0; i < 7; ++i) held.push_back({"llm/t" + std::to_string(i), gpu(100 + i)});
  auto lack = shortfall(halo(), held, "coder", gpu(400));
  REQUIRE(lack);
  CHECK(lack->message.find("(llm/t6 0.106, llm/t5 0.105, llm/t4 0.104, llm/t3 0.103 and 3 more)") !=
        std::string::npos);
}

TEST_CASE("sums that leave the range are a shortfall") {
  Claim most = cpu(bytes_most);
  api::NodeProfile vast = halo();
  vast.unified_memory_bytes = std::numeric_limits<int64_t>::max();
  vast.system_reserve_bytes = std::numeric_limits<int64_t>::min();
  std::vector<Entry> held(16, Entry{"llm/a", most});
  auto lack = shortfall(vast, held, "b", most);
  REQUIRE(lack);
  CHECK(lack->bound == Bound::Everything);
  held.assign(16, Entry{"llm/a", Claim{.gpu = true,
                                       .gpu_fraction_milli = std::numeric_limits<int>::max(),
                                       .gpu_bytes = std::numeric_limits<int64_t>::max(),
                                       .host_bytes = std::numeric_limits<int64_t>::max()}});
  CHECK(total_of(held).gpu_fraction_milli == std::numeric_limits<int>::max());
  CHECK(shortfall(vast, held, "b", held.front().claim));
}

TEST_CASE("the strictest profile is the least of each and the largest reserve") {
  api::NodeProfile one = halo(), two = halo();
  two.gpu_memory_bytes = 96 * gib;
  two.system_reserve_bytes = 2 * gib;
  two.max_gpu_fraction_milli = 990;
  api::NodeProfile strict = strictest({one, two});
  CHECK(strict.gpu_memory_bytes == 96 * gib);
  CHECK(strict.unified_memory_bytes == 128 * gib);
  CHECK(strict.system_reserve_bytes == 6 * gib);
  CHECK(strict.max_gpu_fraction_milli == 950);
  CHECK(strictest({two, one}) == strict);
  CHECK(strictest({}) == api::NodeProfile{});
}

TEST_CASE("what the ledger admits never breaks a bound, and what it refuses would") {
  for (uint64_t seed = 0; seed < 10000; ++seed) {
    test::Generator random(seed);
    api::NodeProfile profile = random.profile();
    std::vector<Entry> held;
    for (int64_t i = random.between(1, 12); i > 0; --i) {
      Claim claim = random.claim(profile);
      std::vector<Entry> with = held;
      with.push_back({"llm/t" + std::to_string(i), claim});
      auto lack = shortfall(profile, held, "t", claim);
      if (lack.has_value() == within_bounds(profile, total_of(with), claim)) {
        CAPTURE(seed, i, lack ? lack->message : "admitted");
        FAIL("the ledger and the bounds disagree");
      }
      if (!lack) held = with;
    }
  }
}

TEST_CASE("the way out that a shortfall names is one") {
  int named = 0;
  for (uint64_t seed = 0; seed < 10000; ++seed) {
    test::Generator random(seed);
    api::NodeProfile profile = random.profile(), own = profile;
    own.gpu_memory_bytes += random.between(0, 10 * gib);
    std::vector<Entry> held;
    for (int64_t i = random.between(0, 3); i > 0; --i) {
      Claim other = random.claim(profile);
      if (!shortfall(profile, held, "t", other)) held.push_back({"llm/t", other});
    }
    Claim claim = random.claim(own);
    auto lack = shortfall(profile, held, "t", claim);
    size_t at = lack ? lack->message.find("It fits with gpuFraction ") : std::string::npos;
    if (at == std::string::npos || claim.gpu_bytes == bytes_most) continue;  // no fraction of anything
    ++named;
    claim.gpu_fraction_milli = fraction_to_milli(std::stod(lack->message.substr(at + 25)));
    claim.gpu_bytes = fraction_bytes(own.gpu_memory_bytes, claim.gpu_fraction_milli);
    if (auto still = shortfall(profile, held, "t", claim)) {
      CAPTURE(seed, lack->message, still->message);
      FAIL("it does not fit");
    }
  }
  CHECK(named > 500);
}
