#include "probe/asked_tier.h"

using namespace strix;
using namespace strix::test;

TEST_CASE("an engine goes from refused over loading and warming up to serving") {
  Tier tier;
  REQUIRE(tier.phase() == ProbePhase::NotListening);
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::NotListening);
  REQUIRE(tier.reading().since == epoch + 5'000);
  tier.answer(loading());
  REQUIRE(tier.phase() == ProbePhase::Loading);
  tier.answer(healthy());
  REQUIRE(tier.phase() == ProbePhase::WarmingUp);
  tier.answer(warm(true));
  REQUIRE(tier.phase() == ProbePhase::WarmingUp);  // its context is not known yet
  tier.answer(context(65'536));
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE(tier.reading().report.context_length_tokens == 65'536);
  REQUIRE(tier.reading().detail.empty());
  REQUIRE(tier.reading().since == tier.now().wall);
}

TEST_CASE("a healthy answer before the warm-up worked is never serving") {
  Tier tier;
  for (int round = 0; round < 20; ++round) {
    tier.answer(healthy());
    tier.answer(warm(false));
    REQUIRE(tier.phase() == ProbePhase::WarmingUp);
    REQUIRE(tier.reading().detail == "warm-up answered 500");
  }
}

TEST_CASE("polling starts at 20 ms and slows to 2 % of the time, at most a second") {
  struct Case {
    int64_t elapsed_millis, interval_millis;
  };
  auto c = GENERATE(Case{0, 20}, Case{500, 20}, Case{2'000, 40}, Case{10'000, 200}, Case{50'000, 1'000},
                    Case{1'800'000, 1'000});
  Tier tier;
  tier.answer(refused(), c.elapsed_millis);
  BootMillis answered = tier.now().boot;
  auto question = tier.next();
  REQUIRE(question);
  REQUIRE(question->kind == AskKind::Health);
  REQUIRE(tier.asked_at() - answered == c.interval_millis);
}

TEST_CASE("a half-hour load is polled less than three thousand times") {
  Tier tier;
  int asked = 0;
  while (tier.now().boot < 1'800'000) {
    tier.answer(refused());
    ++asked;
  }
  REQUIRE(asked < 3'000);
}

TEST_CASE("each question has its deadline") {
  Tier tier;
  REQUIRE(tier.next() == Question{AskKind::Health, 5'000});
  tier.answer(healthy());
  Tier warming;
  Step step = advance(begin({0, 1}, false), Input{{0, 1}, false, std::nullopt});
  REQUIRE(step.question == Question{AskKind::Health, 5'000});
  REQUIRE(step.tick_at == 0);  // only the answer moves it
  step = advance(step.state, Input{{0, 2}, false, healthy()});
  REQUIRE(step.question == Question{AskKind::WarmUp, 120'000});
  step = advance(step.state, Input{{0, 3}, false, warm(true)});
  REQUIRE(step.question == Question{AskKind::Effective, 5'000});
  step = advance(step.state, Input{{0, 4}, true, context(1)});
  REQUIRE(step.question == Question{AskKind::Load, 2'000});
}

TEST_CASE("nothing more is asked while a question is open") {
  Step step = advance(begin({0, 1}, false), Input{{0, 1}, false, std::nullopt});
  for (BootMillis at : {2, 1'000, 1'000'000}) {
    step = advance(step.state, Input{{0, at}, true, std::nullopt});
    REQUIRE_FALSE(step.question);
  }
}

TEST_CASE("a failed warm-up repeats after 1, 2, 4, 8, 10 and 10 seconds, health first") {
  Tier tier;
  for (int64_t seconds : {1, 2, 4, 8, 10, 10}) {
    tier.answer(healthy());
    tier.answer(warm(false));
    BootMillis failed = tier.now().boot;
    REQUIRE(tier.next()->kind == AskKind::Health);
    REQUIRE(tier.asked_at() - failed == seconds * 1'000);
  }
  tier.answer(refused());  // it died meanwhile
  REQUIRE(tier.phase() == ProbePhase::NotListening);
  REQUIRE(tier.reading().detail.empty());
}

TEST_CASE("a warm-up that hangs keeps the tier out and says so") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(timed_out(AskKind::WarmUp), 120'000);
  REQUIRE(tier.phase() == ProbePhase::WarmingUp);
  REQUIRE(tier.reading().detail == "no answer in time");
}

TEST_CASE("an error while loading stays loading with a detail, silence changes only the detail") {
  Tier tier;
  tier.answer(failing());
  REQUIRE(tier.phase() == ProbePhase::Loading);
  REQUIRE(tier.reading().detail == "health answered 500");
  tier.answer(timed_out(), 5'000);
  REQUIRE(tier.phase() == ProbePhase::Loading);
  REQUIRE(tier.reading().detail == "no answer in time");
  tier.answer(loading());
  REQUIRE(tier.reading().detail.empty());
}

TEST_CASE("a context that cannot be read is asked for four times, then it serves without") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(warm(true));
  for (int i = 0; i < 3; ++i) {
    tier.answer(context(std::nullopt));
    REQUIRE(tier.phase() == ProbePhase::WarmingUp);
  }
  tier.answer(timed_out(AskKind::Effective));
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE_FALSE(tier.reading().report.context_length_tokens);
  tier.answer(cache(4096));
  tier.answer(version("0.32.0"));
  for (int i = 0; i < 10; ++i) tier.answer(healthy());  // and is not asked for again
  REQUIRE(tier.phase() == ProbePhase::Serving);
}

TEST_CASE("an engine that dies between warm-up and its context is not serving") {
  Tier tier;
  tier.answer(healthy());
  tier.answer(warm(true));
  tier.answer(refused(AskKind::Effective));
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::NotListening);
}

TEST_CASE("a serving tier is asked every ten seconds and nothing changes") {
  Tier tier;
  tier.to_serving();
  auto before = tier.reading();
  for (int i = 0; i < 5; ++i) {
    BootMillis answered = tier.now().boot;
    REQUIRE(tier.next()->kind == AskKind::Health);
    REQUIRE(tier.asked_at() - answered == 10'000);
    tier.answer(healthy());
    REQUIRE(tier.reading() == before);
  }
}

TEST_CASE("how a serving tier stops answering") {
  struct Case {
    std::string name;
    std::vector<Answer> answers;
    bool not_answering;
  };
  auto c = GENERATE(
      Case{"one failure", {failing()}, false}, Case{"two failures", {failing(), failing()}, false},
      Case{"three failures", {failing(), failing(), failing()}, true},
      Case{"two, a good one, two", {failing(), timed_out(), healthy(), failing(), timed_out()}, false},
      Case{"three timeouts", {timed_out(), timed_out(), timed_out()}, true},
      Case{"one refusal", {refused()}, false}, Case{"two refusals", {refused(), refused()}, true},
      Case{"a failure, then two refusals", {failing(), refused(), refused()}, true},
      Case{"refusals apart", {refused(), healthy(), refused()}, false},
      Case{"loading again", {loading(), loading(), loading()}, true});
  INFO(c.name);
  Tier tier;
  tier.to_serving();
  for (const auto& answer : c.answers) {
    REQUIRE(tier.phase() == ProbePhase::Serving);
    REQUIRE(tier.reading().detail.empty());
    BootMillis before = tier.now().boot;
    tier.answer(answer);
    if (tier.phase() == ProbePhase::Serving && answer.health != HealthReading::Healthy) {
      auto question = tier.next();
      REQUIRE(question);
      REQUIRE(tier.asked_at() - before <= 12'001);
    }
  }
  REQUIRE((tier.phase() == ProbePhase::NotAnswering) == c.not_answering);
  REQUIRE(tier.reading().detail.empty() != c.not_answering);
}

TEST_CASE("failures of a serving tier are two seconds apart") {
  Tier tier;
  tier.to_serving();
  tier.answer(failing());
  BootMillis failed = tier.now().boot;
  REQUIRE(tier.next()->kind == AskKind::Health);
  REQUIRE(tier.asked_at() - failed == 2'000);
}

TEST_CASE("coming back from not answering needs a warm-up") {
  Tier tier;
  tier.to_serving();
  tier.answer(refused());
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
  WallMillis since = tier.reading().since;
  tier.answer(loading());
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
  REQUIRE(tier.reading().detail == "health answered 503");
  tier.answer(healthy());
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
  tier.answer(warm(false));
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
  REQUIRE(tier.reading().detail == "warm-up answered 500");
  REQUIRE(tier.reading().since == since);
  tier.answer(healthy());
  tier.answer(warm(true));
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE(tier.reading().report.context_length_tokens == 4096);
  REQUIRE(tier.reading().since > since);
}

TEST_CASE("a tier that was serving before the operator came starts so, with health and context at once") {
  Tier tier(true);
  REQUIRE(tier.phase() == ProbePhase::Serving);
  BootMillis started = tier.now().boot;
  REQUIRE(tier.next()->kind == AskKind::Health);
  REQUIRE(tier.asked_at() == started);
  tier.answer(healthy());
  tier.answer(all_told(2048));
  REQUIRE(tier.now().boot == started + 2);
  REQUIRE(tier.phase() == ProbePhase::Serving);
  REQUIRE(tier.reading().report.context_length_tokens == 2048);
  REQUIRE(tier.reading().since == epoch + started);
}

TEST_CASE("a tier that was serving before and is gone stops answering after two refusals") {
  Tier tier(true);
  tier.answer(refused());
  tier.answer(refused());
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
}

TEST_CASE("an engine that served is wedged when health has failed thirty times in a row, however it fails") {
  struct Case {
    const char* what;
    Answer bad;
    int64_t seconds_at_least, seconds_at_most;
  };
  Answer dead = healthy();
  dead.health = HealthReading::Failing;
  dead.complaint = "health answered 503";
  for (const Case& c : {Case{"refused", refused(), 55, 65}, Case{"503", dead, 55, 65},
                        Case{"no answer", timed_out(AskKind::Health), 55, 250}}) {
    CAPTURE(c.what);
    Tier tier;
    tier.to_serving();
    BootMillis begun = tier.now().boot;
    for (int i = 0; i < 29; ++i) tier.answer(c.bad);
    CHECK(tier.phase() == ProbePhase::NotAnswering);
    CHECK(tier.reading().wedged_since == 0);
    tier.answer(c.bad);
    CHECK(tier.reading().wedged_since == tier.now().wall);
    int64_t seconds = (tier.now().boot - begun) / 1000 - 10;  // the first question comes after ten
    CHECK(seconds >= c.seconds_at_least);
    CHECK(seconds <= c.seconds_at_most);
    tier.answer(healthy());
    CHECK(tier.reading().wedged_since == 0);
    CHECK(tier.phase() == ProbePhase::NotAnswering);
    tier.answer(warm(true));
    CHECK(tier.phase() == ProbePhase::Serving);
  }
}

TEST_CASE("a machine that slept for a day finds no engine wedged when it wakes") {
  Tier tier;
  tier.to_serving();
  for (int i = 0; i < 5; ++i) tier.answer(refused());
  tier.pass(86'400'000);
  tier.answer(refused());
  CHECK(tier.reading().wedged_since == 0);
}

TEST_CASE("an engine that is healthy and never answers its warm-up is busy, not wedged") {
  Tier tier;
  tier.to_serving();
  for (int i = 0; i < 3; ++i) tier.answer(refused());
  for (int i = 0; i < 40; ++i) {
    tier.answer(healthy());
    tier.answer(warm(false));
  }
  CHECK(tier.phase() == ProbePhase::NotAnswering);
  CHECK(tier.reading().wedged_since == 0);
}

TEST_CASE("a tier that had fallen silent before the operator came is asked at once, and is not serving") {
  Tier tier(false, true);
  CHECK(tier.phase() == ProbePhase::NotAnswering);
  REQUIRE(tier.next(1));
  SECTION("it comes back with a warm-up") {
    tier.answer(healthy());
    CHECK(tier.phase() == ProbePhase::NotAnswering);
    tier.answer(warm(true));
    tier.answer(context(4096));
    CHECK(tier.phase() == ProbePhase::Serving);
  }
  SECTION("or is wedged in its time") {
    for (int i = 0; i < 30; ++i) tier.answer(refused());
    CHECK(tier.reading().wedged_since == tier.now().wall);
  }
}

TEST_CASE("draining reads the load every 250 ms, and health as before") {
  Tier tier;
  tier.to_serving();
  tier.draining = true;
  int loads = 0, healths = 0;
  BootMillis end = tier.now().boot + 60'000;
  while (tier.now().boot < end) {
    auto question = tier.next();
    REQUIRE(question);
    if (question->kind == AskKind::Load) {
      tier.answer(load(engines::Load{2, 1}));
      REQUIRE(tier.reading().load == engines::Load{2, 1});
      ++loads;
    } else {
      tier.answer(healthy());
      ++healths;
    }
  }
  REQUIRE(loads >= 230);
  REQUIRE(loads <= 241);
  REQUIRE(healths >= 5);
  REQUIRE(healths <= 6);
}

TEST_CASE("a load that cannot be read is absent") {
  auto bad = GENERATE(load(std::nullopt), timed_out(AskKind::Load), refused(AskKind::Load));
  Tier tier;
  tier.to_serving();
  tier.draining = true;
  tier.answer(load(engines::Load{}));
  REQUIRE(tier.reading().load);
  tier.answer(bad);
  REQUIRE_FALSE(tier.reading().load);
}

TEST_CASE("a load older than two seconds is absent, even while a question hangs") {
  Tier tier;
  tier.to_serving();
  tier.draining = true;
  tier.answer(load(engines::Load{}));
  REQUIRE(tier.next()->kind == AskKind::Load);  // open from here on, without an answer
  tier.pass(1'700);
  REQUIRE(tier.reading().load);
  tier.pass(100);
  Step step = advance(begin({0, 1}, true), Input{{0, 1}, false, std::nullopt});
  REQUIRE(step.question);
  tier.pass(300);
  REQUIRE_FALSE(tier.reading().load);
}

TEST_CASE("the machine asks to be ticked when a load grows old during an open question") {
  State state = begin({0, 1}, true);
  state.next_at = 1'000;
  state = advance(state, Input{{0, 1}, true, std::nullopt}).state;
  Step step = advance(state, Input{{0, 10}, true, load(engines::Load{})});
  REQUIRE(step.tick_at == 260);
  step = advance(step.state, Input{{0, 1'000}, true, std::nullopt});
  REQUIRE(step.question->kind == AskKind::Health);
  REQUIRE(step.tick_at == 2'011);
  step = advance(step.state, Input{{0, 2'011}, true, std::nullopt});
  REQUIRE_FALSE(step.state.reading.load);
  REQUIRE(step.tick_at == 0);
}

TEST_CASE("when draining ends the load is forgotten and not read any more") {
  Tier tier;
  tier.to_serving();
  tier.draining = true;
  tier.answer(load(engines::Load{}));
  tier.draining = false;
  tier.pass(1);
  REQUIRE_FALSE(tier.reading().load);
  REQUIRE(tier.next()->kind == AskKind::Health);
}

TEST_CASE("a draining tier is not given a warm-up") {
  Tier tier;
  tier.to_serving();
  tier.answer(refused());
  tier.answer(refused());
  tier.draining = true;
  for (int i = 0; i < 40; ++i) {
    auto question = tier.next();
    REQUIRE(question);
    REQUIRE(question->kind != AskKind::WarmUp);
    tier.answer(question->kind == AskKind::Load ? load(engines::Load{}) : healthy());
  }
  REQUIRE(tier.phase() == ProbePhase::NotAnswering);
}

TEST_CASE("whatever is answered, one question is open at a time and something is always awaited") {
  uint64_t random = GENERATE(1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u) * 0x9e3779b97f4a7c15ULL;
  auto draw = [&random](uint64_t bound) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random % bound;
  };
  State state = begin({epoch, 1}, draw(2) == 0);
  BootMillis boot = 1;
  std::optional<Question> open;
  bool warmed = state.was_serving, healthy_since = false;
  for (int i = 0; i < 20'000; ++i) {
    bool draining = draw(4) == 0;
    std::optional<Answer> answer;
    if (open && draw(2) == 0) {
      answer = Answer{open->kind, Delivery::Answered, "bad", HealthReading::Failing, false, {}, {}};
      switch (draw(4)) {
        case 0:
          answer = timed_out(open->kind);
          break;
        case 1:
          answer = refused(open->kind);
          break;
        default:
          answer->health = static_cast<HealthReading>(draw(4));
          answer->warmed_up = draw(2) == 0;
          if (draw(2) == 0) answer->report.context_length_tokens = 1;
          if (draw(2) == 0) answer->report.kv_tokens = 1;
          if (draw(2) == 0) answer->report.version = "1";
          if (draw(2) == 0) answer->usage = engines::Usage{};
          if (draw(2) == 0) answer->load = engines::Load{};
      }
      open.reset();
    }
    if (answer && answer->kind == AskKind::Health) healthy_since = answer->health == HealthReading::Healthy;
    if (answer && answer->kind == AskKind::WarmUp) warmed = answer->warmed_up;
    Step step = advance(state, Input{{epoch + boot, boot}, draining, answer, draw(2) == 0});
    bool began =
        state.reading.phase != ProbePhase::Serving && step.state.reading.phase == ProbePhase::Serving;
    if (began) REQUIRE((warmed && healthy_since));
    if (step.question) {
      REQUIRE_FALSE(open);
      open = step.question;
    }
    REQUIRE((open || step.tick_at > boot));
    state = step.state;
    boot += static_cast<int64_t>(draw(3'000));
  }
}
