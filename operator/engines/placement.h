// Why: a tier's pod, and the pod that pulls its image, go to the one node that the claim was made on.
// May not: name the node itself, which would pass the scheduler, and the gate with it.
#pragma once

#include <string>

#include "api/inference_stack.h"
#include "base/json.h"

namespace strix::engines {

struct Place {
  const api::StackNode& entry;
  std::string node;      // metadata.name of the one node that matched
  std::string hostname;  // its kubernetes.io/hostname label; empty: none
};

// nodeSelector, affinity where that is needed, and tolerations.
void write_placement(json::Writer& writer, const Place& place);

}  // namespace strix::engines
