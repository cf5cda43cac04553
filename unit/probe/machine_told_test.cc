#include "probe/asked_tier.h"

using namespace strix;
using namespace strix::test;

TEST_CASE("what the engine says of its cache and version is asked once, after clients are let in") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(warm(true));
  tier.answer(context(4096));
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE_FALSE(tier.reading().told);
  tier.answer(cache(65'536));
  REQUIRE_FALSE(tier.reading().told);
  BootMillis asked = tier.now().boot;
  tier.answer(version("0.32.0"));
  REQUIRE(tier.now().boot == asked + 1);  // at once, one after the other
  REQUIRE(tier.reading().told);
  REQUIRE(tier.reading().report.kv_tokens == 65'536);
  REQUIRE(tier.reading().report.version == "0.32.0");
  for (int i = 0; i < 10; ++i) tier.answer(healthy());
}

TEST_CASE("what a serving tier is used for is read twice a minute where that is observed") {
  Tier tier;
  tier.observe = true;
  tier.to_serving();
  int usages = 0, healths = 0;
  BootMillis end = tier.now().boot + 30 * 60'000;
  std::optional<tuning::Interval> first;
  while (tier.now().boot < end) {
    if (tier.asked().kind == AskKind::Usage) {
      tier.answer(used(400));
      ++usages;
    } else {
      tier.answer(healthy());
      ++healths;
    }
    if (!first) first = tier.reading().interval;
  }
  CHECK(usages >= 55);
  CHECK(usages <= 60);
  CHECK(healths >= 170);
  REQUIRE(first);
  CHECK(first->kv_tokens_most == 4096 * 400 / 1000);
  CHECK(tier.reading().interval->number >= first->number + 1);
}

TEST_CASE("a usage that is not told, or not answered, changes nothing but the next question") {
  struct Case {
    Answer answer;
    int64_t health_in_millis;
  };
  Answer nothing;
  nothing.kind = AskKind::Usage;
  auto c = GENERATE_COPY(Case{nothing, 10'000}, Case{timed_out(AskKind::Usage), 0},
                         Case{refused(AskKind::Usage), 0});
  Tier tier;
  tier.observe = true;
  tier.to_serving();
  reconcile::ProbeReading before = tier.reading();
  tier.answer(c.answer);
  CHECK(tier.reading() == before);
  BootMillis answered = tier.now().boot;
  REQUIRE(tier.asked().kind == AskKind::Health);
  CHECK(tier.asked_at() - answered == c.health_in_millis);
}

TEST_CASE("a draining tier is not asked what it is used for") {
  Tier tier;
  tier.observe = true;
  tier.to_serving();
  tier.answer(used(100));
  tier.draining = true;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(tier.asked().kind != AskKind::Usage);
    tier.answer(tier.asked().kind == AskKind::Load ? load(engines::Load{}) : healthy());
  }
}

TEST_CASE("llama-server has told all with its settings, and is not asked for more") {
  Tier tier;
  tier.to_serving();
  REQUIRE(tier.reading().told);
  for (int i = 0; i < 10; ++i) tier.answer(healthy());
}

TEST_CASE("what an engine does not tell is asked for twice, and it serves all the same") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(warm(true));
  tier.answer(context(4096));
  tier.answer(cache(std::nullopt));
  tier.answer(timed_out(AskKind::Cache));
  tier.answer(healthy());  // it may hang: that is asked first
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE_FALSE(tier.reading().told);
  tier.answer(version(""));
  tier.answer(version(""));
  REQUIRE(tier.reading().told);
  REQUIRE(tier.phase() == ProbePhase::Serving);
  for (int i = 0; i < 10; ++i) tier.answer(healthy());
}

TEST_CASE("an engine that dies while it tells stops answering as one that serves") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(warm(true));
  tier.answer(context(4096));
  tier.answer(refused(AskKind::Cache));
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::Serving);
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
}
