// Why: tests of the machine answer its questions on a clock of their own.
// May not: answer by itself.
#pragma once

#include <optional>
#include <string>

#include "catch.h"
#include "probe/machine.h"

namespace strix::test {

using namespace probe;
using engines::HealthReading;
using reconcile::ProbePhase;

inline constexpr WallMillis epoch = 1'770'000'000'000;

inline Answer health(HealthReading reading, std::string complaint = "") {
  Answer answer;
  answer.health = reading;
  answer.complaint = std::move(complaint);
  return answer;
}
inline Answer healthy() {
  return health(HealthReading::Healthy);
}
inline Answer loading() {
  return health(HealthReading::Loading, "health answered 503");
}
inline Answer failing() {
  return health(HealthReading::Failing, "health answered 500");
}
inline Answer refused(AskKind kind = AskKind::Health) {
  Answer answer = health(HealthReading::NotListening, "connection refused");
  answer.kind = kind;
  answer.delivery = Delivery::Refused;
  return answer;
}
inline Answer timed_out(AskKind kind = AskKind::Health) {
  Answer answer = health(HealthReading::Failing, "no answer in time");
  answer.kind = kind;
  answer.delivery = Delivery::TimedOut;
  return answer;
}
inline Answer warm(bool worked) {
  Answer answer;
  answer.kind = AskKind::WarmUp;
  answer.warmed_up = worked;
  if (!worked) answer.complaint = "warm-up answered 500";
  return answer;
}
// As vLLM answers: it has more to tell elsewhere.
inline Answer context(std::optional<int64_t> tokens) {
  Answer answer;
  answer.kind = AskKind::Effective;
  answer.report.context_length_tokens = tokens;
  return answer;
}
inline Answer cache(std::optional<int64_t> tokens) {
  Answer answer;
  answer.kind = AskKind::Cache;
  answer.report.kv_tokens = tokens;
  return answer;
}
inline Answer version(std::string text) {
  Answer answer;
  answer.kind = AskKind::Version;
  answer.report.version = std::move(text);
  return answer;
}
// As llama-server answers.
inline Answer all_told(int64_t tokens) {
  Answer answer = context(tokens);
  answer.report.kv_tokens = tokens;
  answer.report.version = "b11669";
  return answer;
}
inline Answer used(int kv_used_milli) {
  Answer answer;
  answer.kind = AskKind::Usage;
  answer.usage = engines::Usage{};
  answer.usage->kv_used_milli = kv_used_milli;
  return answer;
}
inline Answer load(std::optional<engines::Load> value) {
  Answer answer;
  answer.kind = AskKind::Load;
  answer.load = value;
  return answer;
}

// One target on a clock of its own.
class Tier {
 public:
  explicit Tier(bool was_serving = false, bool was_silent = false)
      : state_(begin(now(), was_serving, was_silent)) {}

  Now now() const { return {epoch + boot_, boot_}; }
  const reconcile::ProbeReading& reading() const { return state_.reading; }
  ProbePhase phase() const { return state_.reading.phase; }

  // Lets time pass, tick by tick as the machine asks for them, until it asks something. Absent: not within
  // the time given.
  std::optional<Question> next(int64_t within_millis = 3'600'000) {
    BootMillis end = boot_ + within_millis;
    Step step = take(std::nullopt);
    while (!step.question) {
      if (step.tick_at == 0 || step.tick_at > end) {
        boot_ = end;
        take(std::nullopt);
        return std::nullopt;
      }
      REQUIRE(step.tick_at > boot_);  // never a tick that changes nothing
      boot_ = step.tick_at;
      step = take(std::nullopt);
    }
    asked_at_ = boot_;
    return step.question;
  }
  // The question that is open, or the next.
  Question asked() {
    if (!open_) open_ = next();
    REQUIRE(open_);
    return *open_;
  }
  BootMillis asked_at() const { return asked_at_; }
  void pass(int64_t millis) {
    boot_ += millis;
    take(std::nullopt);
  }
  // Waits for the question of that kind and answers it; the questions that follow at once stay open.
  void answer(const Answer& answer, int64_t after_millis = 1) {
    if (!open_) open_ = next();
    REQUIRE(open_);
    REQUIRE(open_->kind == answer.kind);
    boot_ += after_millis;
    open_.reset();
    take(answer);
  }
  void to_serving() {
    answer(healthy());
    answer(warm(true));
    answer(all_told(4096));
    REQUIRE(phase() == ProbePhase::Serving);
  }

  bool draining = false, observe = false;

 private:
  Step take(const std::optional<Answer>& answer) {
    Step step = advance(std::move(state_), Input{now(), draining, answer, observe});
    state_ = step.state;
    if (step.question) {
      open_ = step.question;
      asked_at_ = boot_;
    }
    return step;
  }

  BootMillis boot_ = 5'000;
  BootMillis asked_at_ = 0;
  std::optional<Question> open_;
  State state_;
};

}  // namespace strix::test
