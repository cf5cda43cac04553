// Why: an image of many gigabytes is brought to its node before the load window opens, by a pod that has it
// pulled and does nothing: no claim, no device, none of the labels by which a tier's pod is found.
// May not: be mistaken for a tier's pod by the ledger, a Service or a person.
#pragma once

#include "engines/engine.h"
#include "engines/image.h"
#include "engines/placement.h"

namespace strix::engines {

struct PullInput {
  const api::InferenceStack& stack;
  Place place;
  std::string image;
  PullPolicy policy = PullPolicy::IfNotPresent;
};

// No tier has a dot in its name, and no stack: <stack>.pull-<hash of the rest>.
std::string pull_pod_name(const PullInput& input);
std::string render_pull_pod(const PullInput& input);  // JSON, ready for create

// A pull that has not come to an end by then is begun anew: containerd goes on with the layers that it has.
inline constexpr int64_t pull_deadline_seconds = 6 * 3600;

}  // namespace strix::engines
