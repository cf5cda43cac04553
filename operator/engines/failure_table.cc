#include "engines/failure_table.h"

#include <algorithm>

#include "api/names.h"

namespace strix::engines {

namespace {

constexpr size_t log_bytes_max = 64 * 1024;
constexpr size_t capture_bytes_max = 80;

using api::Engine;

// The numbers that anybody uses after the sentence is made have these names.
const std::vector<FailureRow> rows = {
    // --- vLLM: the memory that it finds when it starts ---
    {Engine::Vllm, "ContextTooLarge",
     "To serve at least one request with the model's max seq len ({context}), ({needed} GiB KV cache is "
     "needed, which is larger than the available KV cache memory ({available} GiB)...estimated maximum "
     "model length is {context_length_tokens}.",
     Treatment::ReduceContext,
     "a context of {context} tokens needs {needed} GiB of KV cache and {available} GiB are left; the engine "
     "says that {context_length_tokens} tokens fit",
     "vllm/v1/core/kv_cache_utils.py; recorded: 0.32.0"},
    {Engine::Vllm, "ContextTooLarge",
     "To serve at least one request with the models's max seq len ({context}), ({needed} GiB KV cache is "
     "needed, which is larger than the available KV cache memory ({available} GiB)...estimated maximum "
     "model length is {context_length_tokens}.",
     Treatment::ReduceContext,
     "a context of {context} tokens needs {needed} GiB of KV cache and {available} GiB are left; the engine "
     "says that {context_length_tokens} tokens fit",
     "vllm/v1/core/kv_cache_utils.py at 61e632aea15f"},
    {Engine::Vllm, "ContextBeyondModel",
     "User-specified max_model_len ({context}) is greater than the derived max_model_len "
     "(max_position_embeddings={context_max_tokens}",
     Treatment::GiveUp,
     "contextLength {context} is more than the {context_max_tokens} tokens that the model was trained for; "
     "lower it, or set model.ropeScaling",
     "vllm/config/model.py; recorded: 0.32.0"},
    {Engine::Vllm, "StartupBudgetExceeded",
     "Free memory on device...({free}/{gpu_total_gib} GiB) on startup is less than desired GPU memory "
     "utilization ({fraction}, {wanted} GiB)",
     Treatment::LearnGpuMemory,
     "gpuFraction {fraction} wants {wanted} GiB and the engine found {free} of {gpu_total_gib} GiB free; "
     "something else holds memory, or gpuMemory is declared too large",
     "vllm/v1/worker/utils.py, request_memory"},
    {Engine::Vllm, "StartupBudgetExceeded",
     "Available memory on node {node} ({free}/{gpu_total_gib} GiB) on startup is less than desired CPU "
     "memory utilization ({fraction}, {wanted} GiB)",
     Treatment::LearnGpuMemory,
     "gpuFraction {fraction} wants {wanted} GiB and the engine found {free} of {gpu_total_gib} GiB "
     "available; something else holds memory, or the fraction is too large",
     "recorded: 0.32.0, CPU build"},
    {Engine::Vllm, "StartupBudgetExceeded",
     "Available memory on device...({free}/{gpu_total_gib} GiB)...is below required GPU memory utilization",
     Treatment::LearnGpuMemory,
     "the engine found {free} of {gpu_total_gib} GiB available, less than its fraction; something else "
     "holds memory, or gpuMemory is declared too large",
     "kyuz0/amd-strix-halo-vllm-toolboxes issue 16"},
    {Engine::Vllm, "FractionTooSmall",
     "Available memory on node {node} ({free}/{gpu_total_gib} GiB) on kv cache allocation is less than "
     "requested memory for kv (-{missing}/",
     Treatment::GiveUp,
     "nothing is left of the fraction for the KV cache ({missing} GiB short) once the engine itself is "
     "loaded; raise memory.gpuFraction",
     "recorded: 0.32.0, CPU build"},
    {Engine::Vllm, "KvCacheTooLarge",
     "Available memory on node {node} ({free}/{gpu_total_gib} GiB) on kv cache allocation is less than "
     "requested memory for kv ({wanted}",
     Treatment::BackOff,
     "the KV cache wants {wanted} GiB and {free} of {gpu_total_gib} GiB are available; lower it, or free "
     "memory",
     "recorded: 0.32.0, CPU build"},
    {Engine::Vllm, "NoKvCache", "No available memory for the cache blocks", Treatment::RetryInWindow,
     "nothing was left for the KV cache when the engine measured; if it stays so, raise memory.gpuFraction",
     "vllm/v1/core/kv_cache_utils.py"},
    {Engine::Vllm, "ContextCannotFit", "Cannot auto-fit max_model_len", Treatment::BackOff,
     "not even a short context fits what is left for the KV cache; raise memory.gpuFraction",
     "vllm/v1/core/kv_cache_utils.py"},
    {Engine::Vllm, "ProfilingRace",
     "Error in memory profiling. Initial free memory {before} GiB, current free memory {after} GiB",
     Treatment::RetryInWindow,
     "memory was given back on the node while the engine measured ({before} GiB free before, {after} GiB "
     "after); it is tried again",
     "vllm/v1/worker/gpu_worker.py"},
    // --- vLLM and the GPU ---
    {{},
     "GpuFault",
     "Memory access fault by GPU node",
     Treatment::Quarantine,
     "the GPU faulted; this image, model and quantisation are not started again: change one of them, or "
     "clear the quarantine",
     "ROCm runtime"},
    {{},
     "GpuFault",
     "GPU Hang",
     Treatment::Quarantine,
     "the GPU hung; this image, model and quantisation are not started again: change one of them, or clear "
     "the quarantine",
     "ROCm runtime"},
    {Engine::LlamaCpp, "GpuFault", "ErrorDeviceLost", Treatment::Quarantine,
     "the GPU was lost; this image, model and quantisation are not started again: change one of them, or "
     "clear the quarantine",
     "Vulkan; ggml-org/llama.cpp issue 25664"},
    {{},
     "GpuOutOfMemory",
     "HIP out of memory",
     Treatment::BackOff,
     "the GPU ran out of memory; lower maxSequences, contextLength or memory.gpuFraction",
     "PyTorch on ROCm"},
    {{},
     "GpuOutOfMemory",
     "torch.OutOfMemoryError",
     Treatment::BackOff,
     "the GPU ran out of memory; lower maxSequences, contextLength or memory.gpuFraction",
     "PyTorch"},
    {Engine::Vllm, "UnsupportedQuantization", "torch._scaled_mm", Treatment::GiveUp,
     "this GPU cannot compute with the model's FP8 weights; use another quantisation of it",
     "decision log; vllm/platforms/rocm.py supports_fp8"},
    {Engine::Vllm, "NoGpu", "No HIP GPUs are available", Treatment::BackOff,
     "the engine sees no GPU; look at the node's devices and at devices.supplementalGroups",
     "PyTorch on ROCm"},
    // --- command line and model ---
    {Engine::Vllm, "FlagMismatch", "error: unrecognized arguments: {flag}", Treatment::GiveUp,
     "the image's vLLM does not know {flag}; take it out of extraArgs, or use an image that has it",
     "argparse; recorded: 0.32.0"},
    {Engine::LlamaCpp, "FlagMismatch", "error: invalid argument: {flag}", Treatment::GiveUp,
     "the image's llama-server does not know {flag}; take it out of extraArgs, or use an image that has it",
     "recorded: build 11669"},
    {Engine::Vllm, "FlagMismatch", "invalid tool call parser: {parser} ", Treatment::GiveUp,
     "the image's vLLM has no tool call parser {parser}; set toolCallParser to one that it has",
     "vllm/entrypoints/launchers/launcher.py"},
    {Engine::Vllm, "FlagMismatch", "invalid reasoning parser: {parser} ", Treatment::GiveUp,
     "the image's vLLM has no reasoning parser {parser}; set reasoningParser to one that it has",
     "vllm/entrypoints/launchers/launcher.py"},
    {Engine::LlamaCpp, "ModelUnreadable", "unknown model architecture", Treatment::GiveUp,
     "the image's llama-server does not know the model's architecture; use a newer image, or another model",
     "llama.cpp, src/llama-model.cpp"},
    {Engine::Vllm, "ModelMissing", "Repo id must be in the form", Treatment::AwaitModel,
     "the model's folder is not in the model store", "huggingface_hub; recorded: vLLM 0.32.0"},
    {Engine::LlamaCpp, "ModelMissing", "failed to open GGUF file...No such file or directory",
     Treatment::AwaitModel, "the model's file is not in the model store", "recorded: build 11669"},
    {Engine::LlamaCpp, "ModelUnreadable", "gguf_init_from_reader: failed to read", Treatment::GiveUp,
     "the model's file is cut short or no GGUF; fetch it again, then clear the failure",
     "recorded: build 11669"},
    {Engine::LlamaCpp, "OutOfHostMemory", "failed to allocate CPU buffer of size {bytes}", Treatment::BackOff,
     "{bytes} bytes for one buffer could not be had; lower contextLength, or free memory",
     "recorded: build 11669"},
    {Engine::LlamaCpp, "OutOfHostMemory", "failed to allocate buffer for kv cache", Treatment::BackOff,
     "the KV cache could not be had; lower contextLength, or free memory", "recorded: build 11669"},
    {{},
     "PortInUse",
     "ddress already in use",
     Treatment::BackOff,
     "the tier's port is in use on the node; change port or hostPort",
     "EADDRINUSE"},
    {Engine::Vllm, "SharedMemoryTooSmall",
     "Insufficient space in /dev/shm...: {needed} MiB required, {free} MiB free", Treatment::GiveUp,
     "the engine wants {needed} MiB of shared memory and {free} are free in its /dev/shm; lower "
     "VLLM_MQ_MAX_CHUNK_BYTES_MB in env",
     "recorded: 0.32.0"},
    {Engine::Vllm, "SharedMemoryTooSmall", "Insufficient space in /dev/shm", Treatment::GiveUp,
     "the engine wants more shared memory than its /dev/shm has; lower VLLM_MQ_MAX_CHUNK_BYTES_MB in env",
     "vllm/distributed/device_communicators/shm_broadcast.py"},
    // --- what only follows from something above ---
    {Engine::Vllm, "WorkerDied", "Worker proc {worker} died unexpectedly", Treatment::BackOff,
     "a process of the engine was killed, most often for lack of memory", "recorded: 0.32.0"},
    {Engine::Vllm, "LoadFailed", "WorkerProc failed to start", Treatment::BackOff,
     "the engine could not start; the pod's log says more", "vllm/v1/executor/multiproc_executor.py"},
    // The same without the line above: it was ended before it could say why.
    {Engine::Vllm, "WorkerDied",
     "WorkerProc initialization failed due to an exception in a background process", Treatment::BackOff,
     "a process of the engine was killed, most often for lack of memory", "recorded: 0.32.0"},
    {Engine::Vllm, "EngineDied", "EngineDeadError", Treatment::BackOff,
     "the engine's core died while it served; the API server around it then ended by itself",
     "recorded: 0.32.0"},
    {Engine::Vllm, "EngineDied", "EngineCore encountered a fatal error", Treatment::BackOff,
     "the engine's core died while it served; the API server around it then ended by itself",
     "vllm/v1/engine/core.py"},
    {Engine::LlamaCpp, "LoadFailed", "exiting due to model loading error", Treatment::BackOff,
     "the model could not be loaded; the pod's log says more", "recorded: build 11669"},
    {Engine::Vllm, "LoadFailed", "Engine core initialization failed", Treatment::BackOff,
     "the engine could not start; the pod's log says more", "recorded: 0.32.0"},
};

using Captures = std::map<std::string, std::string, std::less<>>;

bool belongs_to_capture(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-_.,=").find(c) != std::string_view::npos;
}

// What a capture takes: letters, digits and a little more, without the full stop that ends a sentence.
std::string_view captured(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && end < capture_bytes_max && belongs_to_capture(text[end])) ++end;
  while (end > 0 && (text[end - 1] == '.' || text[end - 1] == ',')) --end;
  return text.substr(0, end);
}

// The next piece of a pattern: up to a capture or dots, or all that is left.
struct Piece {
  std::string_view literal, capture;
  bool gap = false;  // any text may follow
};

Piece next_piece(std::string_view& pattern) {
  size_t brace = pattern.find('{'), dots = pattern.find("...");
  size_t cut = std::min(brace, dots);
  Piece piece{pattern.substr(0, cut), {}, false};
  if (cut == std::string_view::npos) {
    pattern = {};
  } else if (cut == brace) {
    size_t close = pattern.find('}', brace);
    piece.capture = pattern.substr(brace + 1, close - brace - 1);
    pattern.remove_prefix(close + 1);
  } else {
    piece.gap = true;
    pattern.remove_prefix(dots + 3);
  }
  return piece;
}

// The pattern's first literal is looked for from `line` on; what follows has to follow.
std::optional<Captures> match(std::string_view line, std::string_view pattern) {
  Captures captures;
  bool anywhere = true;  // the next literal may stand further on
  while (!pattern.empty()) {
    Piece piece = next_piece(pattern);
    size_t at = anywhere ? line.find(piece.literal) : line.starts_with(piece.literal) ? 0 : std::string::npos;
    if (at == std::string_view::npos) return std::nullopt;
    line.remove_prefix(at + piece.literal.size());
    anywhere = piece.gap;
    if (piece.capture.empty()) continue;
    std::string_view text = captured(line);
    if (text.empty()) return std::nullopt;
    captures.emplace(piece.capture, text);
    line.remove_prefix(text.size());
  }
  return captures;
}

// vLLM counts some tokens as 32768.0.
std::string_view told(std::string_view name, std::string_view capture) {
  if (name.ends_with("_tokens") && capture.ends_with(".0")) capture.remove_suffix(2);
  return capture;
}

std::string filled(std::string_view message, const Captures& captures) {
  std::string text;
  while (!message.empty()) {
    Piece piece = next_piece(message);
    text += piece.literal;
    if (piece.gap) text += "...";
    if (auto found = captures.find(piece.capture); found != captures.end())
      text += told(found->first, found->second);
  }
  return text;
}

// "16,256" and "16256" are 16256; "18.09" is 18090 thousandths. Absent when it is no number of a sane size.
std::optional<int64_t> milli_of(std::string_view text) {
  int64_t whole = 0, fraction = 0, scale = 0;
  for (char c : text) {
    if (c == ',') continue;
    if (c == '.' && scale == 0) {
      scale = 1000;
    } else if (c >= '0' && c <= '9') {
      if (scale == 0) {
        whole = whole * 10 + (c - '0');
      } else if (scale > 1) {
        scale /= 10;
        fraction += (c - '0') * scale;
      }
    } else {
      return std::nullopt;
    }
    if (whole > 1'000'000'000'000) return std::nullopt;
  }
  return whole * 1000 + fraction;
}

Diagnosis diagnosis_of(const FailureRow& row, const Captures& captures) {
  Diagnosis diagnosis{std::string(row.failure_class), row.treatment, filled(row.message, captures), {}};
  for (const auto& [name, text] : captures) {
    auto milli = milli_of(text);
    if (!milli) continue;
    if (name == "context_length_tokens") diagnosis.numbers[name] = *milli / 1000;
    if (name == "gpu_total_gib") diagnosis.numbers["gpu_total_gib_milli"] = *milli;
  }
  return diagnosis;
}

}  // namespace

const std::vector<FailureRow>& failure_rows() {
  return rows;
}

std::optional<Diagnosis> diagnose(Engine engine, std::string_view log) {
  if (log.size() > log_bytes_max) log.remove_prefix(log.size() - log_bytes_max);
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < log.size();) {
    size_t end = std::min(log.find('\n', begin), log.size());
    lines.push_back(log.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const FailureRow& row : rows) {
    if (row.engine && *row.engine != engine) continue;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line)
      if (auto captures = match(*line, row.evidence)) return diagnosis_of(row, *captures);
  }
  return std::nullopt;
}

// common/arg.cpp; recorded: build 11669.
bool found_no_gpu(std::string_view log) {
  return log.find("no usable GPU found") != std::string_view::npos;
}

Treatment treatment_of(std::string_view failure_class) {
  for (const FailureRow& row : rows)
    if (row.failure_class == failure_class) return row.treatment;
  return failure_class == names::failure_reboot_loop ? Treatment::GiveUp : Treatment::BackOff;
}

}  // namespace strix::engines
