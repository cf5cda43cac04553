// Why: which image a tier runs, when it has to be pulled, and by which names a node knows it.
// May not: ask a registry.
#pragma once

#include <string>
#include <string_view>

#include "api/inference_stack.h"

namespace strix::engines {

enum class PullPolicy { Always, IfNotPresent, Never };
std::string_view to_string(PullPolicy policy);  // as in a pod

// As the tier says, or as Kubernetes has it: Always for the tag latest, IfNotPresent for any other.
PullPolicy pull_policy(const api::StackSpec& spec, const api::Tier& tier);

// As containerd lists it: "nginx" is "docker.io/library/nginx:latest".
std::string full_image_name(std::string_view image);

}  // namespace strix::engines
