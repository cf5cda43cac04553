// Why: what became of a pod that ended, as a class and a sentence, and how long to wait before the next.
// May not: read logs or clocks; what a container left behind is in the Pod.
#pragma once

#include "api/core.h"
#include "api/inference_stack.h"

namespace strix::reconcile {

// Classes: OutOfMemoryKilled, Killed (a signal), Exited (any code, 0 included: a dead vLLM engine exits 0),
// Evicted, Rejected (the kubelet refused it), Vanished (ended without a container's word).
api::Failure failure_of(const api::Pod& pod);

// A tier that has been loading for longer than probe.startupDeadlineSeconds. Its time is the deadline's, so
// that the same failure is recognised whenever it is looked at.
api::Failure startup_deadline_failure(const api::Pod& pod, const api::Tier& tier,
                                      const std::string& last_probe);

// A run this long starts the back-off anew.
inline constexpr int64_t good_run_millis = 600'000;

// Failures in a row with this one, given how many there were before it.
int64_t failures_in_a_row(int64_t before, int64_t served_millis);

// backoffSeconds doubled for each failure in a row after the first, up to maxBackoffSeconds, and up to a
// tenth longer by the pod's uid, so that tiers that died together do not come back together.
int64_t backoff_millis(const api::Restart& restart, int64_t in_a_row, const std::string& uid);

}  // namespace strix::reconcile
