#include "reconcile/restarts.h"

#include "api/names.h"
#include "reconcile/tier.h"

namespace strix::reconcile {

namespace {

// What serves is stopped when its drain begins, not while it waits for that; what loads is at once.
bool begins_to_stop(const api::TierStatus& then, const api::TierStatus& now) {
  bool loaded = then.state == state::starting || then.state == state::warming_up;
  return (now.state == state::draining && then.state != state::draining) ||
         (now.state == state::stopping && loaded);
}

}  // namespace

std::vector<Restart> restarts_between(const api::StackStatus& before, const api::StackStatus& after) {
  std::vector<Restart> restarts;
  for (const auto& now : after.tiers) {
    const api::TierStatus none, *found = before.tier(now.name);
    const api::TierStatus& then = found ? *found : none;
    if (now.restarts > then.restarts && now.last_failure) {
      restarts.push_back({now.name, now.last_failure->failure_class});
    } else if (now.reason == names::reason_replacing && begins_to_stop(then, now)) {
      restarts.push_back({now.name, now.reason});
    }
  }
  return restarts;
}

}  // namespace strix::reconcile
