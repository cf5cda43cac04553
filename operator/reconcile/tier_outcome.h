// Why: the parts of which every step of a tier is made: an outcome that carries on what holds in every state,
// its sentence, what it asks of the window and of the prober, and a failure that is counted once.
// May not: choose a step; tier_step.cc does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reconcile/tier.h"

namespace strix::reconcile {

TierOutcome begin(const TierContext& context);

// `since` of the status stays while state and reason do.
void say(const TierContext& context, TierOutcome& outcome, std::string_view state, std::string_view reason,
         std::string message);
void say(const TierContext& context, TierOutcome& outcome, std::string_view state, const Verdict& verdict);

// Of a pod that is being deleted.
std::string going_text(const api::Pod& pod);

// In at most so many milliseconds, and never at once.
void look_again(TierOutcome& outcome, int64_t millis);

// Asks the engine, where there is an address to ask.
void probe(const TierContext& context, TierOutcome& outcome, bool draining);

// Sets the readiness gate by what the engine was read to do; the second needs a reading.
Action let_clients_in(const TierContext& context);
Action keep_clients_away(const TierContext& context);

// The ledger counts for the pod something else than it holds by what is known now: a model's facts, what a
// machine was found to have. The engine was told the same and need not know.
std::optional<NoteClaim> corrected_claim(const TierContext& context);

WindowRequest request(const TierContext& context, WindowRequest::Kind kind);
// What the node said of the last one; absent: nothing yet.
std::optional<Verdict> window_verdict(const TierContext& context);

// `failure` with what it is about, and with what a person had cleared by then.
api::Failure about_this_pod(const TierContext& context, api::Failure failure);

// Puts a failure into the outcome's status. False: it stands there already, and may be acted on.
bool record_failure(const TierContext& context, TierOutcome& outcome, api::Failure failure,
                    int64_t served_millis);

}  // namespace strix::reconcile
