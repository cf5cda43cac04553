#include "probe/machine.h"

#include <algorithm>

namespace strix::probe {

namespace {

using engines::HealthReading;
using reconcile::ProbePhase;

constexpr int64_t poll_millis_min = 20;  // an engine that loads in a second is seen within 2 % of it
constexpr int64_t poll_millis_max = 1'000;
constexpr int64_t poll_fraction = 50;
constexpr int64_t serving_millis = 10'000;
constexpr int64_t usage_millis = 30'000;  // what it is used for, while it serves
constexpr int64_t retry_millis = 2'000;   // after a failure of a tier that was serving
constexpr int failures_max = 3;
constexpr int refusals_max = 2;  // nobody listens any more: not a busy engine
// Counted, not timed, so that a machine that slept finds no engine wedged when it wakes. Every two seconds
// where it refuses or answers 503, which makes a minute; every seven where nothing comes, which makes three
// and a half: longer than a starved machine holds an answer back, and far less than anybody waits.
constexpr int wedged_failures = 30;
constexpr int64_t warm_up_retry_millis_max = 10'000;
constexpr int64_t effective_retry_millis = 500;
constexpr int effective_failures_max = 4;  // asked once, and thrice again
constexpr int detail_failures_max = 2;     // nothing waits for them
constexpr int64_t load_millis = 250;
constexpr int64_t load_age_millis_max = 2'000;

int64_t deadline_of(AskKind kind) {
  switch (kind) {
    case AskKind::Health:
      return 5'000;
    case AskKind::WarmUp:
      return 120'000;  // the first forward pass may compile kernels
    case AskKind::Effective:
      return 5'000;
    case AskKind::Version:
    case AskKind::Cache:
    case AskKind::Usage:
    case AskKind::Load:
      return 2'000;
  }
  return 5'000;
}

void enter(State& state, ProbePhase phase, std::string detail, Now now) {
  if (state.reading.phase != phase) state.reading.since = now.wall;
  state.reading.phase = phase;
  state.reading.detail = std::move(detail);
}

void ask_next(State& state, AskKind kind, BootMillis at) {
  state.next = kind;
  state.next_at = at;
}

bool wants_effective(const State& state) {
  return !state.reading.report.context_length_tokens && state.effective_failures < effective_failures_max;
}

// What has not been told yet and is asked for, in this order: what the cache holds is told per request of
// full length.
std::optional<AskKind> untold(const State& state) {
  const engines::Report& report = state.reading.report;
  if (wants_effective(state)) return AskKind::Effective;
  if (!report.kv_tokens && state.cache_failures < detail_failures_max) return AskKind::Cache;
  if (report.version.empty() && state.version_failures < detail_failures_max) return AskKind::Version;
  return std::nullopt;
}

// A serving engine is asked for what it has not told yet, and then for its health now and then.
void go_on_serving(State& state, Now now) {
  auto kind = untold(state);
  state.reading.told = !kind;
  if (!kind && state.observe && now.boot >= state.usage_at) kind = AskKind::Usage;
  if (state.draining && kind != AskKind::Effective) kind.reset();  // its load is asked for instead
  ask_next(state, kind.value_or(AskKind::Health), kind ? now.boot : now.boot + serving_millis);
}

void enter_serving(State& state, Now now) {
  enter(state, ProbePhase::Serving, "", now);
  state.was_serving = true;
  state.failures = state.refusals = state.warm_up_failures = 0;
  state.reading.wedged_since = 0;
  go_on_serving(state, now);
}

void health_before_serving(State& state, const Answer& answer, Now now) {
  int64_t interval = std::clamp((now.boot - state.started) / poll_fraction, poll_millis_min, poll_millis_max);
  ask_next(state, AskKind::Health, now.boot + interval);
  if (answer.delivery == Delivery::TimedOut) {  // it says nothing about what the engine does
    enter(state, state.reading.phase, answer.complaint, now);
    return;
  }
  switch (answer.health) {
    case HealthReading::NotListening:
      return enter(state, ProbePhase::NotListening, "", now);
    case HealthReading::Loading:
      return enter(state, ProbePhase::Loading, "", now);
    case HealthReading::Failing:
      return enter(state, ProbePhase::Loading, answer.complaint, now);
    case HealthReading::Healthy:
      break;
  }
  // Between two warm-ups, what the last one answered is still what there is to say.
  bool again = state.reading.phase == ProbePhase::WarmingUp && state.warm_up_failures > 0;
  enter(state, ProbePhase::WarmingUp, again ? state.reading.detail : "", now);
  ask_next(state, AskKind::WarmUp, now.boot);
}

void health_while_serving(State& state, const Answer& answer, Now now) {
  if (answer.health == HealthReading::Healthy) {
    state.failures = state.refusals = 0;
    return go_on_serving(state, now);
  }
  ++state.failures;
  state.refusals = answer.delivery == Delivery::Refused ? state.refusals + 1 : 0;
  ask_next(state, AskKind::Health, now.boot + retry_millis);
  if (state.failures < failures_max && state.refusals < refusals_max) return;
  enter(state, ProbePhase::NotAnswering, answer.complaint, now);
  state.warm_up_failures = 0;
}

// The phase stays NotAnswering until a warm-up has worked: a healthy answer alone had been there before.
void health_while_not_answering(State& state, const Answer& answer, bool draining, Now now) {
  bool healthy = answer.health == HealthReading::Healthy;
  // Healthy and never warm: it may have a long queue to work through, and is left to it.
  state.failures = healthy ? 0 : std::min(state.failures + 1, wedged_failures);
  bool wedged = state.failures == wedged_failures;
  if (!wedged) state.reading.wedged_since = 0;
  if (wedged && state.reading.wedged_since == 0) state.reading.wedged_since = now.wall;
  if (healthy && !draining) return ask_next(state, AskKind::WarmUp, now.boot);
  if (!healthy) enter(state, ProbePhase::NotAnswering, answer.complaint, now);
  ask_next(state, AskKind::Health, now.boot + retry_millis);
}

void on_health(State& state, const Answer& answer, bool draining, Now now) {
  if (state.reading.phase == ProbePhase::Serving) return health_while_serving(state, answer, now);
  if (state.was_serving) return health_while_not_answering(state, answer, draining, now);
  health_before_serving(state, answer, now);
}

void on_warm_up(State& state, const Answer& answer, Now now) {
  if (answer.warmed_up) {
    if (!wants_effective(state)) return enter_serving(state, now);
    return ask_next(state, AskKind::Effective, now.boot);
  }
  enter(state, state.reading.phase, answer.complaint, now);
  int64_t interval = 1'000LL << std::min(state.warm_up_failures, 4);
  ++state.warm_up_failures;
  // Health first: an engine that died meanwhile is not warming up.
  ask_next(state, AskKind::Health, now.boot + std::min(interval, warm_up_retry_millis_max));
}

void on_effective(State& state, const Answer& answer, Now now) {
  state.reading.report = merged(state.reading.report, answer.report);
  if (answer.report.context_length_tokens) return enter_serving(state, now);
  ++state.effective_failures;
  if (answer.delivery == Delivery::Refused) return ask_next(state, AskKind::Health, now.boot);
  if (wants_effective(state)) return ask_next(state, AskKind::Effective, now.boot + effective_retry_millis);
  enter_serving(state, now);  // what cannot be read back is not worth keeping clients away
}

// Of a serving engine. Whether it still serves is not judged by these, but asked at once where they failed.
void on_detail(State& state, const Answer& answer, bool understood, int& failures, Now now) {
  state.reading.report = merged(state.reading.report, answer.report);
  if (!understood) ++failures;
  if (answer.delivery == Delivery::Answered) return go_on_serving(state, now);
  state.reading.told = !untold(state);
  ask_next(state, AskKind::Health, now.boot);
}

void on_usage(State& state, const Answer& answer, Now now) {
  state.usage_at = now.boot + usage_millis;
  int64_t tokens = engines::kv_tokens_at_full_length(state.reading.report).value_or(0);
  if (answer.usage)
    if (auto ended = state.meter.take(*answer.usage, tokens, now.boot)) state.reading.interval = *ended;
  if (answer.delivery == Delivery::Answered) return go_on_serving(state, now);
  ask_next(state, AskKind::Health, now.boot);
}

void on_load(State& state, const Answer& answer, Now now) {
  state.reading.load = answer.load;
  state.load_read_at = now.boot;
  state.load_at = now.boot + load_millis;
}

void take(State& state, const Answer& answer, bool draining, Now now) {
  state.under_way = false;
  switch (answer.kind) {
    case AskKind::Health:
      return on_health(state, answer, draining, now);
    case AskKind::WarmUp:
      return on_warm_up(state, answer, now);
    case AskKind::Effective:
      return on_effective(state, answer, now);
    case AskKind::Version:
      return on_detail(state, answer, !answer.report.version.empty(), state.version_failures, now);
    case AskKind::Cache:
      return on_detail(state, answer, answer.report.kv_tokens.has_value(), state.cache_failures, now);
    case AskKind::Usage:
      return on_usage(state, answer, now);
    case AskKind::Load:
      return on_load(state, answer, now);
  }
}

// An old load is no load: requests come and go in less time.
void forget_old_load(State& state, bool draining, BootMillis now) {
  if (!draining) state.load_at = 0;
  if (!draining || now - state.load_read_at > load_age_millis_max) state.reading.load.reset();
}

std::optional<AskKind> due(const State& state, bool draining, BootMillis now) {
  if (state.under_way) return std::nullopt;
  if (state.next_at <= now) {
    // A draining engine is not given work, and its load is not left unread for that long.
    bool later = state.next == AskKind::WarmUp || state.next == AskKind::Version ||
                 state.next == AskKind::Usage || state.next == AskKind::Cache;
    return draining && later ? AskKind::Health : state.next;
  }
  if (draining && state.load_at <= now) return AskKind::Load;
  return std::nullopt;
}

BootMillis next_tick(const State& state, bool draining) {
  BootMillis at = state.under_way ? INT64_MAX : state.next_at;
  if (draining && !state.under_way) at = std::min(at, state.load_at);
  if (state.reading.load) at = std::min(at, state.load_read_at + load_age_millis_max + 1);
  return at == INT64_MAX ? 0 : at;
}

}  // namespace

State begin(Now now, bool was_serving, bool was_silent) {
  State state;
  state.started = state.next_at = now.boot;
  state.was_serving = was_serving || was_silent;
  state.meter = tuning::Meter(!state.was_serving);
  state.reading.phase = was_silent    ? ProbePhase::NotAnswering
                        : was_serving ? ProbePhase::Serving
                                      : ProbePhase::NotListening;
  if (was_silent) state.reading.detail = "the engine has not answered yet";
  state.reading.since = now.wall;
  return state;
}

Step advance(State state, const Input& input) {
  state.draining = input.draining;
  state.observe = input.observe;
  if (input.answer) take(state, *input.answer, input.draining, input.now);
  forget_old_load(state, input.draining, input.now.boot);
  Step step;
  if (auto kind = due(state, input.draining, input.now.boot)) {
    state.under_way = true;
    step.question = Question{*kind, deadline_of(*kind)};
  }
  step.tick_at = next_tick(state, input.draining);
  step.state = std::move(state);
  return step;
}

}  // namespace strix::probe
