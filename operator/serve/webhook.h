// Why: the admission path: what `validate` and the reconciler say of a spec, said before it is stored.
// It is a courtesy: whatever passes here, or while nobody answers here, the reconciler judges again.
// May not: call the API server, keep anything of a review, or judge what is not the author's: status,
// metadata, and a spec that stays as it is.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/validate.h"
#include "base/metrics.h"
#include "serve/endpoints.h"
#include "serve/listener.h"

namespace strix::serve {

inline constexpr size_t review_bytes_max = 4u << 20;  // a stack of at most 1.5 MiB, as it was and as it is

// What else is to be said of a valid spec.
struct Opinion {
  std::vector<api::FieldError> errors;  // refuse it
  std::vector<std::string> warnings;    // are shown to its author: it is a legal spec
};
using SpecCheck = std::function<Opinion(const api::InferenceStack&)>;

struct Admission {
  api::Policy policy;
  std::string namespace_;         // only its stacks are judged; empty: all
  std::vector<SpecCheck> checks;  // in order; after the first errors nothing is asked any more
};

enum class Verdict {
  Admitted,
  Refused,
  PassedOver,  // nothing here to judge
  Unreadable,  // no AdmissionReview: HTTP 400
};
std::string_view to_string(Verdict verdict);

struct Answer {
  Verdict verdict = Verdict::Unreadable;
  Reply reply;
};

// An AdmissionReview of admission.k8s.io/v1 in and out. Pure if the checks are; the body is anybody's.
Answer review(const Admission& admission, std::string_view body);

void describe_webhook_metrics(metrics::Registry& registry);

// POST of application/json to names::webhook_path; anything else is 404, 405 or 415. Thread-safe if the
// checks are.
Reply answer_webhook(const Admission& admission, const Request& request, metrics::Registry& registry);

}  // namespace strix::serve
