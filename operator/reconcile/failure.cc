#include "reconcile/failure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include "api/names.h"
#include "api/text.h"
#include "base/hash.h"
#include "planner/checked.h"
#include "planner/derive.h"
#include "planner/learned.h"
#include "reconcile/pod_stage.h"
#include "reconcile/tier.h"

namespace strix::reconcile {

namespace {

constexpr int exit_code_signal_base = 128;

constexpr std::string_view image_reasons[] = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName",
                                              "ErrImageNeverPull", "ImageInspectError"};
constexpr std::string_view config_reasons[] = {"CreateContainerConfigError", "CreateContainerError",
                                               "RunContainerError"};

// A graceful shutdown of the node, in the words of its kubelets.
constexpr std::string_view shutdown_reasons[] = {"Terminated", "NodeShutdown", "Shutdown"};

bool one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

namespace {

// What the kubelet did to the pod, in its own words; the engine's exit code says nothing beside it. Empty: it
// was the engine.
std::string_view class_of_reason(const std::string& reason) {
  if (reason == "Evicted") return names::failure_evicted;
  if (one_of(reason, shutdown_reasons)) return names::failure_node_shutdown;
  return {};
}

api::Failure failure_without_engine(const api::Pod& pod) {
  api::Failure failure;
  failure.time = ended_at(pod);
  std::string_view known = class_of_reason(pod.reason);
  failure.failure_class = !known.empty()       ? known
                          : pod.reason.empty() ? names::failure_vanished
                                               : names::failure_rejected;
  std::string words =
      (pod.reason.empty() ? "no reason given" : pod.reason) + (pod.message.empty() ? "" : ": " + pod.message);
  failure.message = failure.failure_class == names::failure_evicted
                        ? fmt::format("the kubelet evicted it ({})", words)
                    : failure.failure_class == names::failure_node_shutdown
                        ? fmt::format("its node was shut down ({})", words)
                        : fmt::format("the pod ended before its engine did ({})", words);
  return failure;
}

}  // namespace

api::Failure failure_of(const api::Pod& pod, const engines::Diagnosis* diagnosis) {
  if (!pod.engine || !pod.engine->terminated || !class_of_reason(pod.reason).empty())
    return failure_without_engine(pod);
  api::Failure failure;
  failure.time = ended_at(pod);
  const api::ContainerStatus& engine = *pod.engine;
  int signal = engine.signal                              ? engine.signal
               : engine.exit_code > exit_code_signal_base ? engine.exit_code - exit_code_signal_base
                                                          : 0;
  if (diagnosis) {
    failure.failure_class = diagnosis->failure_class;
    failure.message = fmt::format("{} (exit code {})", diagnosis->message, engine.exit_code);
  } else if (engine.terminated_reason == "OOMKilled") {
    failure.failure_class = names::failure_out_of_memory_killed;
    failure.message = "the kernel killed the engine for lack of memory (exit code 137)";
  } else if (signal != 0) {
    failure.failure_class = names::failure_killed;
    failure.message = fmt::format("the engine was killed by signal {}; its pod's log may say more", signal);
  } else {
    failure.failure_class = names::failure_exited;
    failure.message =
        fmt::format("the engine exited with code {}; its pod's log may say more", engine.exit_code);
  }
  return failure;
}

std::string clearing_of(const api::InferenceStack& stack) {
  constexpr size_t bytes_max = 64;
  std::string value = stack.metadata.annotation(names::annotation_clear_failures);
  return api::clipped(value, bytes_max) == value ? value : stable_hash_hex(value);
}

bool awaits_model(const api::TierStatus* status) {
  return status && status->last_failure && status->state == state::waiting &&
         status->reason == status->last_failure->failure_class &&
         engines::treatment_of(status->reason) == engines::Treatment::AwaitModel;
}

std::string fetch_hint(const api::Model& model, const api::VolumeChoice& store,
                       const std::string& kubernetes_node) {
  std::string where = store.host_path.empty()
                          ? fmt::format("the persistent volume claim {}", store.persistent_volume_claim)
                          : fmt::format("{} on node {}", store.host_path, kubernetes_node);
  if (model.repository.empty()) return fmt::format("copy {} into {}", model.file, where);
  std::string folder = store.host_path.empty() ? "" : store.host_path + "/";
  return fmt::format("`hf download {} --local-dir {}{}` fetches it into {}", model.repository, folder,
                     model.repository, where);
}

std::optional<int64_t> context_estimate(const api::Failure& failure, const engines::Diagnosis* diagnosis) {
  if (!diagnosis || diagnosis->failure_class != failure.failure_class) return std::nullopt;
  if (diagnosis->treatment != engines::Treatment::ReduceContext) return std::nullopt;
  auto found = diagnosis->numbers.find("context_length_tokens");
  return found == diagnosis->numbers.end() ? std::nullopt : std::optional(found->second);
}

std::optional<int64_t> measured_gpu_bytes(const api::Failure& failure, const engines::Diagnosis* diagnosis) {
  if (!diagnosis || diagnosis->failure_class != failure.failure_class) return std::nullopt;
  if (diagnosis->treatment != engines::Treatment::LearnGpuMemory) return std::nullopt;
  auto milli = diagnosis->numbers.find("gpu_total_gib_milli");
  if (milli == diagnosis->numbers.end() || milli->second <= 0) return std::nullopt;
  auto bytes = checked_multiply(milli->second, gib);
  return bytes ? std::optional(*bytes / 1000) : std::nullopt;
}

bool is_known_total(const planner::TierPlan& planned, int64_t measured_bytes) {
  return std::abs(measured_bytes - planned.gpu_total_bytes) <= gpu_bytes_slack;
}

std::string context_way_out(const api::Tier& tier, int64_t planned_tokens, int64_t estimate_tokens) {
  api::LearnedContext learned{
      .refused_tokens = planned_tokens, .refusals = 1, .estimate_tokens = estimate_tokens, .inputs = {}};
  if (auto tokens = planner::smaller_context_tokens(tier, learned, planned_tokens))
    return fmt::format("it is planned again with {}", *tokens);
  std::string more = tier.kv_cache_bytes       ? "raise memory.kvCache"
                     : tier.gpu_fraction_milli ? "raise memory.gpuFraction"
                                               : "set a larger memory.gpuFraction";
  int64_t grid = planner::context_grid_tokens;
  int64_t tokens = estimate_tokens >= grid ? estimate_tokens / grid * grid : estimate_tokens;
  bool lower = !tier.context_length_auto && tokens > 0 && tokens < planned_tokens;
  return lower ? fmt::format("set contextLength to {}, or {}", tokens, more) : more;
}

bool needs_log(const api::Pod& pod, const api::TierStatus* last) {
  if (stage_of(pod) != PodStage::Ended || !pod.engine || !pod.engine->terminated) return false;
  return !last || !last->last_failure || last->last_failure->time != ended_at(pod);
}

bool waits_for_image(const api::ContainerStatus& container) {
  return one_of(container.waiting_reason, image_reasons);
}

bool waits_with_image(const api::ContainerStatus& container) {
  return one_of(container.waiting_reason, config_reasons);
}

std::optional<api::Failure> start_failure(const api::Pod& pod, const Now& now) {
  int64_t waited = now.wall - counted_from(admitted_at(pod), now);
  if (admitted_at(pod) == 0 || waited < start_patience_millis) return {};
  api::Failure failure;
  failure.time = admitted_at(pod) + start_patience_millis;
  const api::PodCondition* scheduled = pod.condition("PodScheduled");
  if (scheduled && scheduled->status == "False" && scheduled->reason == names::reason_unschedulable) {
    failure.failure_class = names::reason_unschedulable;
    failure.message = "no node takes its pod: " + scheduled->message;
    return failure;
  }
  if (!pod.engine) return {};
  const api::ContainerStatus& engine = *pod.engine;
  bool image = waits_for_image(engine);
  bool creating = engine.waiting_reason == "ContainerCreating" && waited >= create_patience_millis;
  if (!image && !creating && !waits_with_image(engine)) return {};
  if (creating) failure.time = admitted_at(pod) + create_patience_millis;
  failure.failure_class = image ? names::failure_image_pull_failed : names::failure_container_not_created;
  std::string_view unsaid =
      creating ? "its pod's events say what it waits for, such as a volume" : "no more is known";
  failure.message = fmt::format("{}: {}", engine.waiting_reason,
                                engine.waiting_message.empty() ? unsaid : engine.waiting_message);
  return failure;
}

api::Failure wedged_failure(const ProbeReading& reading) {
  api::Failure failure;
  failure.failure_class = names::failure_wedged;
  failure.time = reading.wedged_since;
  failure.message =
      fmt::format("the engine runs and has not answered since {} ({}); it is stopped and started again",
                  format_time(reading.since), reading.detail);
  return failure;
}

std::string subject_of(std::string_view failure_class, const api::StackSpec& spec, const api::Tier& tier,
                       const std::string& template_hash) {
  if (engines::treatment_of(failure_class) != engines::Treatment::Quarantine) return template_hash;
  return stable_hash_hex(fmt::format("{}\n{}{}\n{}", spec.image_of(tier), tier.model.repository,
                                     tier.model.file, tier.quantization));
}

api::Failure without_gpu_failure(const ProbeReading& reading) {
  api::Failure failure;
  failure.failure_class = names::failure_no_gpu;
  failure.time = reading.since;
  failure.message =
      "the engine found no GPU and would compute on the CPU; look at the node's devices and at "
      "devices.supplementalGroups, or take an image that is built for this GPU";
  return failure;
}

api::Failure startup_deadline_failure(const api::Pod& pod, const api::Tier& tier,
                                      const std::string& last_probe) {
  api::Failure failure;
  failure.failure_class = names::failure_startup_deadline_exceeded;
  failure.time = admitted_at(pod) + tier.probe.startup_deadline_seconds * 1000LL;
  failure.message =
      fmt::format("not serving {} after it was let in ({}); probe.startupDeadlineSeconds allows longer",
                  format_duration(tier.probe.startup_deadline_seconds * 1000LL), last_probe);
  return failure;
}

int64_t failures_in_a_row(int64_t before, int64_t served_millis) {
  return served_millis >= good_run_millis ? 1 : before + 1;
}

int64_t backoff_millis(const api::Restart& restart, int64_t in_a_row, const std::string& uid) {
  int64_t ceiling = std::max<int64_t>(restart.max_backoff_seconds, restart.backoff_seconds) * 1000;
  int64_t wait = restart.backoff_seconds * 1000LL;
  for (int64_t i = 1; i < in_a_row && wait < ceiling; ++i) wait *= 2;
  wait = std::min(wait, ceiling);
  return wait + wait / 10 * static_cast<int64_t>(stable_hash(uid) % 1000) / 1000;
}

}  // namespace strix::reconcile
