#include "reconcile/learn.h"

#include "reconcile/failure.h"

namespace strix::reconcile {

namespace {

// What this pass has put into status as the tier's last failure; null: nothing new.
const api::Failure* fresh_failure(const TierContext& c) {
  if (!c.current || !c.current->last_failure) return nullptr;
  const api::Failure* known = c.last && c.last->last_failure ? &*c.last->last_failure : nullptr;
  return known && known->time == c.current->last_failure->time ? nullptr : &*c.current->last_failure;
}

std::optional<api::LearnedContext> context_of(const TierContext& c) {
  if (!c.planned || !c.current) return std::nullopt;
  std::optional<api::LearnedContext> known = c.planned->learned;
  int64_t asked = c.effective.context_tokens;
  bool same = known && known->refused_tokens == asked;
  const api::Failure* failure = fresh_failure(c);
  if (auto estimate = failure ? context_estimate(*failure, c.diagnosis) : std::nullopt)
    return api::LearnedContext{.refused_tokens = asked,
                               .refusals = same ? known->refusals + 1 : 1,
                               .estimate_tokens = *estimate,
                               .inputs = c.planned->context_inputs};
  // It takes it after all: what was in the way is gone.
  if (same && c.current->state == state::ready) return std::nullopt;
  return known;
}

}  // namespace

void tell_learned(const StackContext& stack, api::StackStatus& status) {
  status.learned.clear();
  for (const auto& c : stack.tiers) {
    api::Learned learned{.tier = c.tier->name, .context = context_of(c)};
    if (learned.context) status.learned.push_back(std::move(learned));
  }
}

}  // namespace strix::reconcile
