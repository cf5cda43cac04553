// Why: everything that a pass may do, as values, so that deciding can be tested without a cluster and acting
// has nothing left to decide.
// May not: refer to anything that can change between deciding and acting but through preconditions.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "reconcile/ports.h"

namespace strix::reconcile {

struct CreatePod {
  std::string tier, name, body;
  bool pulls = false;  // it only brings an image to its node
};
struct DeletePod {
  std::string tier;
  PodRef pod;
};
struct SetServing {
  std::string tier;
  PodRef pod;
  bool serving = false;
  std::string reason, message;
};
struct AdoptPod {
  std::string tier;
  PodRef pod;
};
// What the ledger counts for a pod that runs, or is about to, in the words of its annotation.
struct NoteClaim {
  std::string tier;
  PodRef pod;
  std::string claim;
};
struct CreateService {
  std::string tier, name, body;
};
struct ApplyService {
  std::string tier, name, body;
};
struct DeleteService {
  std::string name, uid;
};
struct SetFinalizer {
  bool present = false;
};
struct ApplyStatus {
  api::StackStatus status;
};

// In the order in which a pass carries them out: what frees comes before what takes, what clients depend on
// before what people read.
using Action = std::variant<SetServing, DeletePod, AdoptPod, NoteClaim, CreatePod, CreateService,
                            ApplyService, DeleteService, SetFinalizer, ApplyStatus>;

}  // namespace strix::reconcile
