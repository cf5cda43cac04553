// Why: what is wrong with a spec, told by field; one ordered table of checks for `validate`, the admission
// path and the reconciler, since the API server's own checks can be passed (ratcheting, an older CRD).
// May not: look at the cluster or at files; the policy of this operator process comes in as a value.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/inference_stack.h"

namespace strix::api {

// What the operator's flags allow: a namespaced object must not buy its author the node.
struct Policy {
  bool allow_privileged_tiers = false;
  std::vector<std::string> model_roots;     // host paths under which hostPath volumes may lie
  std::vector<std::string> allowed_images;  // prefixes; empty: any image
  // What the engines own, as data, since api/ may not know engines/: the first flag of extraArgs that may
  // not be there, or empty (engines::owned_flag), and names of environment variables.
  std::function<std::string(Engine, const std::vector<std::string>&)> owned_flag;
  std::vector<std::string> owned_env;
};

struct FieldError {
  std::string path;     // spec.tiers[coder].port
  std::string message;  // one sentence: what is wrong and what to do
  std::string text() const { return path + ": " + message; }
};

// What status and the admission path say of one error or more: the first, and how many there are beside it.
std::string summary_of(const std::vector<FieldError>& errors);

// In the order of the table; empty when the spec is valid. At most 32. Wrong shapes (decode_errors) come
// alone: other checks would read what they left behind, and mislead.
std::vector<FieldError> validate(const InferenceStack& stack, const Policy& policy);

}  // namespace strix::api
