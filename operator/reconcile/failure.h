// Why: what became of a pod that ended, as a class and a sentence, and how long to wait before the next.
// May not: read logs or clocks; what a container left behind is in the Pod.
#pragma once

#include "api/core.h"
#include "api/inference_stack.h"
#include "engines/failure_table.h"
#include "planner/plan.h"
#include "reconcile/ports.h"

namespace strix::reconcile {

// Classes: Evicted, NodeShutdown and Rejected are the kubelet's word, and whatever its engine's end looked
// like follows from it; OutOfMemoryKilled, Killed (a signal), Exited (any code, 0 included: a dead vLLM
// engine exits 0), Vanished (ended without a container's word), and those of engines/failure_table.h where
// the log says more than the exit code: `diagnosis` may be null.
api::Failure failure_of(const api::Pod& pod, const engines::Diagnosis* diagnosis);

// What a person has set the annotation clear-failures to, as a status can hold it: a value of more than 64
// bytes, or of other than printable characters, by its hash.
std::string clearing_of(const api::InferenceStack& stack);

// Whether the model has to come into the store before the tier can run; it waits, and holds nobody up.
bool awaits_model(const api::TierStatus* status);

// How a model that is not in the store gets there, as half a sentence with the command where there is one.
// `kubernetes_node` is the node whose folder it is.
std::string fetch_hint(const api::Model& model, const api::VolumeChoice& store,
                       const std::string& kubernetes_node);

// The context that would fit, as the engine said, where that is what this failure is about.
std::optional<int64_t> context_estimate(const api::Failure& failure, const engines::Diagnosis* diagnosis);

// The GPU memory that the engine measured, in bytes, where that is what this failure is about.
std::optional<int64_t> measured_gpu_bytes(const api::Failure& failure, const engines::Diagnosis* diagnosis);

// Whether the tier was planned with that total. An engine prints hundredths of a GiB, and two starts may
// differ a little: one this close to the known one is that one.
inline constexpr int64_t gpu_bytes_slack = int64_t{64} << 20;
bool is_known_total(const planner::TierPlan& planned, int64_t measured_bytes);

// What to do about a context that the engine refused, as half a sentence: what is done, where the tier may
// choose, or what a person has to write. `estimate_tokens` would fit, as the engine said.
std::string context_way_out(const api::Tier& tier, int64_t planned_tokens, int64_t estimate_tokens);

// One that may not choose is started with the same context this often.
inline constexpr int64_t context_refusals_most = 2;

// Whether the reconciler needs the log of this pod to say why it ended.
bool needs_log(const api::Pod& pod, const api::TierStatus* last);

// What a container waits for: its image, which cannot be pulled; or something else, and its image is there.
bool waits_for_image(const api::ContainerStatus& container);
bool waits_with_image(const api::ContainerStatus& container);

// What an admitted pod waits for that will not come by itself, such as an image that does not exist.
std::optional<api::Failure> start_failure(const api::Pod& pod, const Now& now);
// The kubelet, or the scheduler, tries again for so long before the load window is given to somebody else.
inline constexpr int64_t start_patience_millis = 20'000;
// The same for a container that is only ever being created, as a volume that cannot be mounted shows: with
// its image there it takes seconds.
inline constexpr int64_t create_patience_millis = 300'000;

// Rule 9: a llama-server that found no GPU computes on the CPU, and answers as if nothing were.
api::Failure without_gpu_failure(const ProbeReading& reading);

// An engine that served and has not answered its health check for as often as the prober counts.
api::Failure wedged_failure(const ProbeReading& reading);

// What a failure is about, as a hash: of the image, model and quantisation for a class that quarantines, of
// the pod's template otherwise.
std::string subject_of(std::string_view failure_class, const api::StackSpec& spec, const api::Tier& tier,
                       const std::string& template_hash);

// A tier that has been loading for longer than probe.startupDeadlineSeconds. Its time is the deadline's, so
// that the same failure is recognised whenever it is looked at.
api::Failure startup_deadline_failure(const api::Pod& pod, const api::Tier& tier,
                                      const std::string& last_probe);

// A run this long starts the back-off anew.
inline constexpr int64_t good_run_millis = 600'000;

// Failures in a row with this one, given how many there were before it.
int64_t failures_in_a_row(int64_t before, int64_t served_millis);

// After ModelMissing the store is tried again this often, however short the back-off is.
inline constexpr int64_t await_model_millis = 300'000;

// backoffSeconds doubled for each failure in a row after the first, up to maxBackoffSeconds, and up to a
// tenth longer by the pod's uid, so that tiers that died together do not come back together.
int64_t backoff_millis(const api::Restart& restart, int64_t in_a_row, const std::string& uid);

}  // namespace strix::reconcile
