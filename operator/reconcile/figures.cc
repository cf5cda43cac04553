#include "reconcile/figures.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/conditions.h"
#include "api/names.h"
#include "planner/spec_plan.h"
#include "tuning/advice.h"

namespace strix::reconcile {

namespace {

constexpr int peak_step_percent = 5;

// Its engine runs with the settings of the spec: what was seen is about those.
bool is_used(const TierContext& c) {
  return c.wanted && (c.current->state == state::ready || c.current->state == state::not_answering);
}

int peak_percent(const TierContext& c, const tuning::Seen& seen) {
  int64_t milli = seen.kv_used_milli_most;
  if (seen.kv_intervals == 0 && c.current->kv && c.current->kv->tokens > 0)
    milli =
        std::min<int64_t>(seen.sequence_tokens_most, c.current->kv->tokens) * 1000 / c.current->kv->tokens;
  int64_t steps = (milli + 10 * peak_step_percent - 1) / (10 * peak_step_percent);
  return static_cast<int>(std::min<int64_t>(steps * peak_step_percent, 100));
}

// What the last figures were, for as long as its engine runs on.
void carry_on(const TierContext& c, api::TierStatus& status) {
  if (!c.last) return;
  if (status.kv && c.last->kv) status.kv->peak_percent = c.last->kv->peak_percent;
  status.recommended = c.last->recommended;
}

void tell_peak(const TierContext& c, const tuning::Seen& seen, api::TierStatus& status) {
  if (!status.kv) return;
  int peak = peak_percent(c, seen);
  // Until the whole window has been seen, as after a start of the operator, the old peak may be in it.
  bool whole = seen.observed_millis >= c.observed->stack->spec.tuning.window_seconds * 1000;
  if (!whole) peak = std::max(peak, status.kv->peak_percent.value_or(0));
  status.kv->peak_percent = peak;
}

tuning::Advice tell_advice(const StackContext& stack, const TierContext& c, const tuning::Seen& seen,
                           api::TierStatus& status) {
  const api::StackSpec& spec = stack.observed.stack->spec;
  auto plan_of = [&](const api::StackSpec& other) {
    const auto& table = stack.observed.capabilities;
    return planner::plan_of_spec(other, table ? *table : planner::built_in_capabilities(),
                                 stack.observed.stack->status.learned);
  };
  int64_t kv_tokens = status.kv ? status.kv->tokens : 0;
  tuning::Advice fresh = tuning::advise({spec, *c.tier, *stack.plan, plan_of, kv_tokens, seen});
  tuning::Advice told = tuning::settled(status.recommended, std::move(fresh),
                                        spec.tuning.window_seconds * 1000, stack.observed.now.wall);
  status.recommended.reset();
  if (told.finding == tuning::Finding::Recommends) status.recommended = told.recommended;
  return told;
}

// What is said of the stack as a whole, of all its tiers.
struct Sum {
  std::string recommends, no_room, unknown, observing;
  bool any = false;

  static void add(std::string& text, const std::string& what) { text += (text.empty() ? "" : "; ") + what; }
};

api::Condition condition(std::string_view value, std::string_view reason, std::string message) {
  return {
      std::string(names::condition_tuned), std::string(value), std::string(reason), std::move(message), 0, 0};
}

api::Condition tuned(const Sum& sum) {
  if (!sum.recommends.empty()) return condition("False", names::reason_recommended, sum.recommends);
  if (!sum.no_room.empty()) return condition("False", names::reason_no_room, sum.no_room);
  if (!sum.unknown.empty())
    return condition(
        "Unknown", names::reason_observing,
        fmt::format("nothing is known to compute with of the model of {}; model.facts says it", sum.unknown));
  if (!sum.observing.empty() || !sum.any)
    return condition("Unknown", names::reason_observing,
                     sum.any ? "not seen in use for long enough to say: " + sum.observing
                             : "no tier has been seen in use for long enough to say");
  return condition("True", names::reason_suits, "what is set suits what it was used for");
}

}  // namespace

std::optional<api::Condition> tell_figures(const StackContext& stack, api::StackStatus& status) {
  const Observed& observed = stack.observed;
  if (observed.stack->spec.tuning.mode == api::TuningMode::Off) return std::nullopt;
  Sum sum;
  for (const auto& c : stack.tiers) {
    api::TierStatus* mine = status.tier(c.tier->name);
    if (!mine || !is_used(c)) continue;
    carry_on(c, *mine);
    tuning::Advice advice;
    if (observed.usage && observed.usage->contains(c.tier->name)) {
      const tuning::Seen& seen = observed.usage->at(c.tier->name);
      tell_peak(c, seen, *mine);
      advice = tell_advice(stack, c, seen, *mine);
    }
    sum.any = true;
    if (mine->recommended) {
      Sum::add(sum.recommends, mine->name + ": " + mine->recommended->message);
    } else if (advice.finding == tuning::Finding::NoRoom) {
      Sum::add(sum.no_room, mine->name + ": " + advice.message);
    } else if (advice.finding == tuning::Finding::Unknown) {
      sum.unknown += (sum.unknown.empty() ? "" : ", ") + mine->name;
    } else if (advice.finding == tuning::Finding::Observing) {
      sum.observing += (sum.observing.empty() ? "" : ", ") + mine->name;
    }
  }
  const api::Condition* last = api::find_condition(observed.stack->status.conditions, names::condition_tuned);
  // Between two looks what was found stands, but for a recommendation whose tier is another by now.
  bool stands =
      !observed.usage && last && (last->reason == names::reason_recommended) == !sum.recommends.empty();
  return stands ? *last : tuned(sum);
}

}  // namespace strix::reconcile
