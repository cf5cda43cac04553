// Why: a count of restarts by reason tells what a machine suffers from, over months. An event is gone sooner.
// May not: count what did not run.
#pragma once

#include <string>
#include <vector>

#include "api/inference_stack.h"

namespace strix::reconcile {

struct Restart {
  std::string tier;
  std::string reason;  // the class of its failure, or Replacing where its change stopped it
};

// What happened to the tiers of a stack from one status of it to the next. Two equal ones make none.
std::vector<Restart> restarts_between(const api::StackStatus& before, const api::StackStatus& after);

}  // namespace strix::reconcile
