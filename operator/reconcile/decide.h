// Why: the whole of a pass over one stack as one pure function: what to do, what to say, what to ask of the
// nodes' load windows.
// May not: do I/O, read a clock, log.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reconcile/action.h"
#include "reconcile/observed.h"

namespace strix::reconcile {

struct Decision {
  std::vector<Action> actions;  // in the order of action.h
  std::vector<WindowRequest> requests;
  std::vector<ProbeTarget> targets;
  std::vector<Event> events;
  // The profile that this stack declares for each Kubernetes node that it uses.
  std::map<std::string, api::NodeProfile> profiles;
  // The tiers that have their place on each Kubernetes node, for the case that it runs out of memory.
  std::map<std::string, std::vector<PressureTier>> tiers;
  api::StackStatus status;
  // When to look again although nothing changed; absent: settled until something does.
  std::optional<int64_t> retry_after_millis;
};

Decision decide(const Observed& observed);

}  // namespace strix::reconcile
