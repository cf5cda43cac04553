// Why: what an engine's last words mean, as rows of data: which text is evidence of which class of failure,
// what is done about it, and the sentence a person reads. Sources: vLLM and llama.cpp as recorded, and their
// sources.
// May not: pass a log's text on: a sentence holds the row's words and the numbers and flag names found.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/inference_stack.h"

namespace strix::engines {

// What is done about a failure; the classes of reconcile/failure.h use the same words.
enum class Treatment {
  BackOff,         // again, later and later
  RetryInWindow,   // again at once: the neighbours of that moment were the cause
  ReduceContext,   // again, with the context that the engine says would fit
  LearnGpuMemory,  // again, and remember the total that the engine measured
  AwaitModel,      // again now and then: somebody has to fetch it, and is perhaps about to
  Quarantine,      // not again with this image, model and quantisation until a person says so
  GiveUp,          // not again until the spec changes
};

struct FailureRow {
  std::optional<api::Engine> engine;  // absent: either
  std::string_view failure_class;
  // A part of one log line. {word} and {number} capture; what stands between them has to match literally, any
  // text may lie where `...` stands.
  std::string_view evidence;
  Treatment treatment = Treatment::BackOff;
  // One sentence and a way out; {name} repeats a capture.
  std::string_view message;
  std::string_view source;
};

// In order: a cause stands before what merely follows from it.
const std::vector<FailureRow>& failure_rows();

struct Diagnosis {
  std::string failure_class;
  Treatment treatment = Treatment::BackOff;
  std::string message;
  // What the engine measured or proposes: "context_length_tokens", "gpu_total_gib_milli", ...
  std::map<std::string, int64_t> numbers;
  bool operator==(const Diagnosis&) const = default;
};

// The first row that a line of the log is evidence for; of several lines the last counts. Absent: nothing in
// the log is known. `log` is the end of a container's log; at most 64 KiB of it are looked at.
std::optional<Diagnosis> diagnose(api::Engine engine, std::string_view log);

// Whether llama-server has said that it found no GPU: it goes on, on the CPU. Of a tier that wants one.
bool found_no_gpu(std::string_view log);

// What a failure class is treated with, wherever it was found. Of those that no row names a RebootLoop is
// given up, and all others are backed off.
Treatment treatment_of(std::string_view failure_class);

}  // namespace strix::engines
