// Why: the objects that a sequence makes: a real API server has to accept them, so pods and Services are
// rendered by the product's own code.
// May not: differ between the two sides in anything but the stack's uid.
#pragma once

#include <string>

#include "api/inference_stack.h"
#include "conformance/script.h"

namespace strix::conformance {

std::string stack_manifest(const std::string& name);
std::string pod_body(const api::InferenceStack& stack, int tier);

}  // namespace strix::conformance
