// Why: every string that another program or a person may match on stands here once: group, labels,
// annotations, gates, finalizers, field managers, condition types and reasons.
// May not: hold prose. Messages are made where the numbers are.
#pragma once

#include <string_view>

namespace strix::names {

inline constexpr std::string_view group = "inference.strix.dev";
inline constexpr std::string_view version = "v1alpha1";
inline constexpr std::string_view api_version = "inference.strix.dev/v1alpha1";
inline constexpr std::string_view kind = "InferenceStack";
inline constexpr std::string_view plural = "inferencestacks";

// Labels of tier pods and Services.
inline constexpr std::string_view label_stack = "inference.strix.dev/stack";
inline constexpr std::string_view label_tier = "inference.strix.dev/tier";
// Hash of the Kubernetes node's name (a node name may be longer than a label value).
inline constexpr std::string_view label_node = "inference.strix.dev/node-hash";
// Set in the very patch that removes the gate: the pods that hold, or held, memory of the node.
inline constexpr std::string_view label_admitted = "inference.strix.dev/admitted";
inline constexpr std::string_view label_engine = "inference.strix.dev/engine";
// On pods that run no tier and hold nothing: what they are for instead.
inline constexpr std::string_view label_role = "inference.strix.dev/role";
inline constexpr std::string_view role_pull =
    "pull";  // brings an image to a node before the load window opens
inline constexpr std::string_view label_managed_by = "app.kubernetes.io/managed-by";
inline constexpr std::string_view label_component = "app.kubernetes.io/component";
inline constexpr std::string_view label_instance = "app.kubernetes.io/instance";

// Annotations of tier pods.
inline constexpr std::string_view annotation_template_hash = "inference.strix.dev/template-hash";
inline constexpr std::string_view annotation_node = "inference.strix.dev/node";
inline constexpr std::string_view annotation_claim = "inference.strix.dev/claim";    // ledger entry, JSON
inline constexpr std::string_view annotation_leader = "inference.strix.dev/leader";  // who vouched for it
inline constexpr std::string_view annotation_admitted_at = "inference.strix.dev/admitted-at";
inline constexpr std::string_view annotation_boot_id = "inference.strix.dev/boot-id";
// Annotation of a stack, for a person: any new value makes what was given up be tried again.
inline constexpr std::string_view annotation_clear_failures = "inference.strix.dev/clear-failures";
// Annotation of Services: hash of what was applied.
inline constexpr std::string_view annotation_applied_hash = "inference.strix.dev/applied-hash";
// Keys of the annotations that spec.service.annotations asked for, so that one that is gone there goes here.
inline constexpr std::string_view annotation_applied_keys = "inference.strix.dev/applied-annotations";

inline constexpr std::string_view scheduling_gate = "inference.strix.dev/load-window";
inline constexpr std::string_view readiness_gate = "inference.strix.dev/serving";
inline constexpr std::string_view finalizer = "inference.strix.dev/teardown";

// The key of a ConfigMap with rows for the capability table.
inline constexpr std::string_view capabilities_key = "capabilities.yaml";

inline constexpr std::string_view manager = "strix-operator";
inline constexpr std::string_view manager_status = "strix-operator-status";

// The admission webhook: what manifests/webhook installs, and where it asks.
inline constexpr std::string_view webhook_configuration = "strix-operator";
inline constexpr std::string_view webhook = "validate.inference.strix.dev";
inline constexpr std::string_view webhook_service = "strix-operator-webhook";
inline constexpr std::string_view webhook_secret = "strix-operator-webhook";
inline constexpr std::string_view webhook_path = "/validate";

// Condition types.
inline constexpr std::string_view condition_ready = "Ready";
inline constexpr std::string_view condition_reconciling = "Reconciling";
inline constexpr std::string_view condition_stalled = "Stalled";
inline constexpr std::string_view condition_memory_fits = "MemoryFits";
inline constexpr std::string_view condition_node_ready = "NodeReady";
inline constexpr std::string_view condition_tuned = "Tuned";
inline constexpr std::string_view condition_memory_pressure = "MemoryPressure";

// Reasons of the stack's conditions.
inline constexpr std::string_view reason_all_tiers_serving = "AllTiersServing";
inline constexpr std::string_view reason_suspended = "Suspended";
inline constexpr std::string_view reason_starting = "Starting";
inline constexpr std::string_view reason_waiting = "Waiting";
inline constexpr std::string_view reason_backing_off = "BackingOff";
inline constexpr std::string_view reason_stopping = "Stopping";
inline constexpr std::string_view reason_invalid_spec = "InvalidSpec";
inline constexpr std::string_view reason_node_not_found = "NodeNotFound";
inline constexpr std::string_view reason_node_ambiguous = "NodeAmbiguous";
inline constexpr std::string_view reason_node_not_ready = "NodeNotReady";
inline constexpr std::string_view reason_node_stuck = "NodeStuck";
inline constexpr std::string_view reason_nodes_ready = "NodesReady";
inline constexpr std::string_view reason_memory_short = "MemoryShort";
inline constexpr std::string_view reason_parked = "Parked";
inline constexpr std::string_view reason_ready_tiers_parked = "ReadyTiersParked";
inline constexpr std::string_view reason_memory_fits = "Fits";
inline constexpr std::string_view reason_memory_unknown = "MemoryUnknown";
inline constexpr std::string_view reason_memory_pressure = "MemoryPressure";
inline constexpr std::string_view reason_memory_low = "MemoryLow";
inline constexpr std::string_view reason_memory_available = "MemoryAvailable";
inline constexpr std::string_view reason_not_measured = "NotMeasured";
// As the plan's findings are called.
inline constexpr std::string_view reason_combination_refused = "CombinationRefused";
inline constexpr std::string_view reason_combination_unverified = "CombinationUnverified";
inline constexpr std::string_view reason_needs_eager = "NeedsEager";
inline constexpr std::string_view reason_suits = "Suits";
inline constexpr std::string_view reason_recommended = "Recommended";
inline constexpr std::string_view reason_no_room = "NoRoom";
inline constexpr std::string_view reason_observing = "Observing";
inline constexpr std::string_view reason_deleting = "Deleting";
inline constexpr std::string_view reason_given_up = "GivenUp";
inline constexpr std::string_view reason_quarantined = "Quarantined";

// Reasons of a tier's state, beside those above, what a failure is called, and the kubelet's own words.
inline constexpr std::string_view reason_previous_pod_terminating = "PreviousPodTerminating";
inline constexpr std::string_view reason_pod_name_taken = "PodNameTaken";
inline constexpr std::string_view reason_service_name_taken = "ServiceNameTaken";
inline constexpr std::string_view reason_refused = "Refused";
inline constexpr std::string_view reason_predecessor = "Predecessor";
inline constexpr std::string_view reason_preparing = "Preparing";
inline constexpr std::string_view reason_adopting = "Adopting";
inline constexpr std::string_view reason_image_pulling = "ImagePulling";
inline constexpr std::string_view reason_load_window = "LoadWindow";
inline constexpr std::string_view reason_device_not_allocatable = "DeviceNotAllocatable";
inline constexpr std::string_view reason_claim_unknown = "ClaimUnknown";
inline constexpr std::string_view reason_previous_pod_vanished = "PreviousPodVanished";
inline constexpr std::string_view reason_memory_settling = "MemorySettling";
inline constexpr std::string_view reason_unschedulable = "Unschedulable";
inline constexpr std::string_view reason_loading = "Loading";
inline constexpr std::string_view reason_serving = "Serving";
inline constexpr std::string_view reason_engine_differs = "EngineDiffers";
inline constexpr std::string_view reason_recovered = "Recovered";
inline constexpr std::string_view reason_terminating = "Terminating";
inline constexpr std::string_view reason_replacing = "Replacing";
inline constexpr std::string_view reason_stopped = "Stopped";

// Classes of failures that the pod itself tells; those that the log tells are in engines/failure_table.cc.
inline constexpr std::string_view failure_killed = "Killed";
inline constexpr std::string_view failure_exited = "Exited";
inline constexpr std::string_view failure_out_of_memory_killed = "OutOfMemoryKilled";
inline constexpr std::string_view failure_evicted = "Evicted";
inline constexpr std::string_view failure_rejected = "Rejected";
inline constexpr std::string_view failure_node_shutdown = "NodeShutdown";
inline constexpr std::string_view failure_node_rebooted = "NodeRebooted";
inline constexpr std::string_view failure_rebooted_while_loading = "RebootedWhileLoading";
inline constexpr std::string_view failure_reboot_loop = "RebootLoop";
inline constexpr std::string_view failure_wedged = "Wedged";
inline constexpr std::string_view failure_gpu_reset = "GpuReset";
inline constexpr std::string_view failure_vanished = "Vanished";
inline constexpr std::string_view failure_startup_deadline_exceeded = "StartupDeadlineExceeded";
inline constexpr std::string_view failure_image_pull_failed = "ImagePullFailed";
inline constexpr std::string_view failure_container_not_created = "ContainerNotCreated";

// Also a row there: a pod that hangs says it too.
inline constexpr std::string_view failure_gpu_fault = "GpuFault";
inline constexpr std::string_view failure_no_gpu = "NoGpu";

// Reasons of the pod condition inference.strix.dev/serving.
inline constexpr std::string_view serving_warm = "WarmedUp";
inline constexpr std::string_view serving_draining = "Draining";
inline constexpr std::string_view serving_not_answering = "NotAnswering";

}  // namespace strix::names
