#include "reconcile/failure.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "reconcile/pod_stage.h"

namespace strix::reconcile {

namespace {

constexpr int exit_code_signal_base = 128;

// The last line that a container left, short enough for a status.
std::string last_line(const std::string& text) {
  size_t end = text.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return "";
  size_t begin = text.find_last_of('\n', end);
  std::string line = text.substr(begin == std::string::npos ? 0 : begin + 1,
                                 end - (begin == std::string::npos ? 0 : begin + 1) + 1);
  constexpr size_t line_max = 200;
  if (line.size() > line_max) line = line.substr(0, line_max) + "...";
  return line;
}

std::string with_last_words(std::string sentence, const api::ContainerStatus& engine) {
  std::string words = last_line(engine.terminated_message);
  return words.empty() ? sentence : sentence + ": " + words;
}

}  // namespace

api::Failure failure_of(const api::Pod& pod) {
  api::Failure failure;
  failure.time = ended_at(pod);
  if (!pod.engine || !pod.engine->terminated) {
    bool evicted = pod.reason == "Evicted";
    failure.failure_class = evicted ? "Evicted" : pod.reason.empty() ? "Vanished" : "Rejected";
    failure.message = fmt::format("the pod ended before its engine did ({}{}{})",
                                  pod.reason.empty() ? "no reason given" : pod.reason,
                                  pod.message.empty() ? "" : ": ", pod.message);
    return failure;
  }
  const api::ContainerStatus& engine = *pod.engine;
  int signal = engine.signal                              ? engine.signal
               : engine.exit_code > exit_code_signal_base ? engine.exit_code - exit_code_signal_base
                                                          : 0;
  if (engine.terminated_reason == "OOMKilled") {
    failure.failure_class = "OutOfMemoryKilled";
    failure.message = "the kernel killed the engine for lack of memory (exit code 137)";
  } else if (signal != 0) {
    failure.failure_class = "Killed";
    failure.message = with_last_words(fmt::format("the engine was killed by signal {}", signal), engine);
  } else {
    failure.failure_class = "Exited";
    failure.message =
        with_last_words(fmt::format("the engine exited with code {}", engine.exit_code), engine);
  }
  return failure;
}

api::Failure startup_deadline_failure(const api::Pod& pod, const api::Tier& tier,
                                      const std::string& last_probe) {
  api::Failure failure;
  failure.failure_class = "StartupDeadlineExceeded";
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
