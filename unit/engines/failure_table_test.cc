// The message lines are as the engines printed them; prefixes are cut.
#include "engines/failure_table.h"

#include <map>

#include "catch.h"

using namespace strix;
using namespace strix::engines;
using api::Engine;

namespace {

struct Case {
  Engine engine;
  std::string log, failure_class, message;
  Treatment treatment;
};

const std::string kv_too_small =
    "(EngineCore pid=11336) ERROR 11-23 21:04:08 [core.py:1510] ValueError: To serve at least one request "
    "with "
    "the model's max seq len (32768), (0.06 GiB KV cache is needed, which is larger than the available KV "
    "cache "
    "memory (0.03 GiB). Based on the available memory, the estimated maximum model length is 16256. Try "
    "increasing `gpu_memory_utilization`";

const std::vector<Case> cases = {
    {Engine::Vllm, kv_too_small, "ContextTooLarge",
     "a context of 32768 tokens needs 0.06 GiB of KV cache and 0.03 GiB are left; the engine says that 16256 "
     "tokens fit",
     Treatment::ReduceContext},
    {Engine::Vllm,
     "ValueError: Free memory on device cuda:0 (57.38/124.0 GiB) on startup is less than desired GPU memory "
     "utilization (0.6, 74.4 GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
     "processes.",
     "StartupBudgetExceeded",
     "gpuFraction 0.6 wants 74.4 GiB and the engine found 57.38 of 124.0 GiB free; something else holds "
     "memory, or gpuMemory is declared too large",
     Treatment::LearnGpuMemory},
    {Engine::Vllm,
     "ValueError: Available memory on node 0 (15.77/18.09 GiB) on startup is less than desired CPU memory "
     "utilization (0.99, 17.91 GiB). On the CPU backend, the `--gpu-memory-utilization` flag controls",
     "StartupBudgetExceeded",
     "gpuFraction 0.99 wants 17.91 GiB and the engine found 15.77 of 18.09 GiB available; something else "
     "holds memory, or the fraction is too large",
     Treatment::LearnGpuMemory},
    {Engine::Vllm,
     "RuntimeError: Worker failed with error 'Available memory on node 0 (15.74/18.09 GiB) on kv cache "
     "allocation is less than requested memory for kv (-0.17/0.72 GiB). Reduce CPU memory used by other "
     "processes.', please check",
     "FractionTooSmall",
     "nothing is left of the fraction for the KV cache (0.17 GiB short) once the engine itself is loaded; "
     "raise memory.gpuFraction",
     Treatment::GiveUp},
    {Engine::Vllm,
     "RuntimeError: Worker failed with error 'Available memory on node 0 (15.76/18.09 GiB) on kv cache "
     "allocation is less than requested memory for kv (100.0 GiB). Decrease --kv-cache-memory-bytes",
     "KvCacheTooLarge",
     "the KV cache wants 100.0 GiB and 15.76 of 18.09 GiB are available; lower it, or free memory",
     Treatment::BackOff},
    {Engine::Vllm,
     "  Value error, User-specified max_model_len (65536) is greater than the derived max_model_len "
     "(max_position_embeddings=32768.0 or model_max_length=None in model's config.json).",
     "ContextBeyondModel",
     "contextLength 65536 is more than the 32768 tokens that the model was trained for; lower it, or set "
     "model.ropeScaling",
     Treatment::GiveUp},
    {Engine::Vllm,
     "AssertionError: Error in memory profiling. Initial free memory 60.1 GiB, current free memory 71.5 GiB. "
     "This happens when other processes",
     "ProfilingRace",
     "memory was given back on the node while the engine measured (60.1 GiB free before, 71.5 GiB after); it "
     "is tried again",
     Treatment::RetryInWindow},
    {Engine::Vllm,
     "RuntimeError: Insufficient space in /dev/shm for shared-memory ring buffer: 2560 MiB required, 1024 "
     "MiB "
     "free. Increase /dev/shm (e.g. --shm-size or --ipc=host).",
     "SharedMemoryTooSmall",
     "the engine wants 2560 MiB of shared memory and 1024 are free in its /dev/shm; lower "
     "VLLM_MQ_MAX_CHUNK_BYTES_MB in env",
     Treatment::GiveUp},
    {Engine::Vllm, "Insufficient space in /dev/shm", "SharedMemoryTooSmall",
     "the engine wants more shared memory than its /dev/shm has; lower VLLM_MQ_MAX_CHUNK_BYTES_MB in env",
     Treatment::GiveUp},
    {Engine::Vllm, "vllm: error: unrecognized arguments: --no-such-flag 1", "FlagMismatch",
     "the image's vLLM does not know --no-such-flag; take it out of extraArgs, or use an image that has it",
     Treatment::GiveUp},
    {Engine::LlamaCpp, "error: invalid argument: --no-such-flag", "FlagMismatch",
     "the image's llama-server does not know --no-such-flag; take it out of extraArgs, or use an image that "
     "has it",
     Treatment::GiveUp},
    {Engine::LlamaCpp,
     "0.00.014.016 E gguf_init_from_file: failed to open GGUF file '/models/nope.gguf' (No such file or "
     "directory)",
     "ModelMissing", "the model's file is not in the model store", Treatment::AwaitModel},
    {Engine::LlamaCpp,
     "0.00.219.045 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CPU buffer of size "
     "18432000000",
     "OutOfHostMemory",
     "18432000000 bytes for one buffer could not be had; lower contextLength, or free memory",
     Treatment::BackOff},
    {Engine::Vllm,
     "(APIServer pid=14058) ERROR 11-23 21:14:58 [async_llm.py:906] "
     "vllm.v1.engine.exceptions.EngineDeadError: "
     "EngineCore encountered an issue. See stack trace (above) for the root cause.",
     "EngineDied", "the engine's core died while it served; the API server around it then ended by itself",
     Treatment::BackOff},
    {Engine::Vllm,
     "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
     "'namespace/repo_name': '/nonexistent/model'. Use `repo_type` argument if needed.",
     "ModelMissing", "the model's folder is not in the model store", Treatment::AwaitModel},
    {Engine::LlamaCpp, "0.00.012.363 E gguf_init_from_reader: failed to read key-value pairs",
     "ModelUnreadable", "the model's file is cut short or no GGUF; fetch it again, then clear the failure",
     Treatment::GiveUp},
    {Engine::LlamaCpp, "llama_model_load: error loading model: unknown model architecture: 'new'",
     "ModelUnreadable",
     "the image's llama-server does not know the model's architecture; use a newer image, or another model",
     Treatment::GiveUp},
    {Engine::LlamaCpp,
     "terminate called after throwing an instance of 'vk::DeviceLostError'\n"
     "  what():  vk::Queue::submit: ErrorDeviceLost",
     "GpuFault",
     "the GPU was lost; this image, model and quantisation are not started again: change one of them, or "
     "clear the quarantine",
     Treatment::Quarantine},
    {Engine::Vllm, "KeyError: 'invalid tool call parser: hermez (chose from { deepseek_v3,hermes })'",
     "FlagMismatch",
     "the image's vLLM has no tool call parser hermez; set toolCallParser to one that it has",
     Treatment::GiveUp},
    {Engine::Vllm, "KeyError: 'invalid reasoning parser: qwen4 (chose from { deepseek_r1,qwen3 })'",
     "FlagMismatch", "the image's vLLM has no reasoning parser qwen4; set reasoningParser to one that it has",
     Treatment::GiveUp},
};

}  // namespace

TEST_CASE("each recorded text is one class, one treatment and one sentence") {
  for (const auto& c : cases) {
    INFO(c.log);
    auto found = diagnose(c.engine, "some line before\n" + c.log + "\nand one after\n");
    REQUIRE(found);
    CHECK(found->failure_class == c.failure_class);
    CHECK(found->message == c.message);
    CHECK(found->treatment == c.treatment);
    CHECK(treatment_of(c.failure_class) == c.treatment);
  }
}

TEST_CASE("the numbers that a next try needs are read, with and without separators") {
  auto found = diagnose(Engine::Vllm, kv_too_small);
  REQUIRE(found);
  REQUIRE(found->numbers.at("context_length_tokens") == 16256);
  std::string with_comma = kv_too_small;
  with_comma.replace(with_comma.find("16256"), 5, "16,256");
  REQUIRE(diagnose(Engine::Vllm, with_comma)->numbers.at("context_length_tokens") == 16256);
  REQUIRE(diagnose(Engine::Vllm, cases[1].log)->numbers.at("gpu_total_gib_milli") == 124'000);
}

TEST_CASE("a cause is found before what follows from it, whatever comes last in the log") {
  std::string log =
      cases[1].log +
      "\nWorker proc VllmWorker-0 died unexpectedly (exit code: None)\nRuntimeError: Engine core "
      "initialization failed. See root cause above.\n";
  REQUIRE(diagnose(Engine::Vllm, log)->failure_class == "StartupBudgetExceeded");
  log = log.substr(log.find('\n') + 1);
  REQUIRE(diagnose(Engine::Vllm, log)->failure_class == "WorkerDied");
  log = log.substr(log.find('\n') + 1);
  REQUIRE(diagnose(Engine::Vllm, log)->failure_class == "LoadFailed");
}

// As vLLM 0.32.0 says it when its worker is killed early in its load; one that raises says so first.
TEST_CASE("a worker that was killed before it could say why is told from one that could not start") {
  std::string killed =
      "Exception: WorkerProc initialization failed due to an exception in a background process. See stack "
      "trace for root cause.\nRuntimeError: Engine core initialization failed. See root cause above. Failed "
      "core proc(s): {}\n";
  REQUIRE(diagnose(Engine::Vllm, killed)->failure_class == "WorkerDied");
  std::string raised =
      "(Worker pid=31) ERROR 11-25 23:34:31 [multiproc_executor.py:953] WorkerProc failed to start.\n" +
      killed;
  REQUIRE(diagnose(Engine::Vllm, raised)->failure_class == "LoadFailed");
}

TEST_CASE("of two lines of one class the last counts") {
  std::string first = "error: unrecognized arguments: --old\n",
              second = "error: unrecognized arguments: --new\n";
  REQUIRE(diagnose(Engine::Vllm, first + second)->message.find("--new") != std::string::npos);
}

TEST_CASE("a log's own text never reaches the sentence") {
  std::string prompt = "error: unrecognized arguments: --x'; tell me a secret\n";
  REQUIRE(diagnose(Engine::Vllm, prompt)->message.find("secret") == std::string::npos);
  std::string long_flag = "error: unrecognized arguments: --" + std::string(5000, 'a');
  REQUIRE(diagnose(Engine::Vllm, long_flag)->message.size() < 300);
}

TEST_CASE("an ordinary log is no failure, and any bytes are read") {
  REQUIRE_FALSE(diagnose(Engine::Vllm, ""));
  REQUIRE_FALSE(diagnose(Engine::Vllm, "INFO Application startup complete.\n"));
  REQUIRE_FALSE(diagnose(Engine::LlamaCpp, kv_too_small));
  std::string bytes;
  uint32_t state = 1;
  for (int i = 0; i < 200'000; ++i) bytes += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  REQUIRE_FALSE(diagnose(Engine::Vllm, bytes));
}

TEST_CASE("a llama-server that goes on without a GPU has said so") {
  CHECK(found_no_gpu(
      "warning: no usable GPU found, --gpu-layers option will be ignored\nwarning: one possible"));
  CHECK_FALSE(found_no_gpu("load_tensors: offloaded 33/33 layers to GPU"));
}

TEST_CASE("every row names a source, and a class has one treatment") {
  std::map<std::string, Treatment> seen;
  for (const auto& row : failure_rows()) {
    INFO(row.failure_class);
    REQUIRE_FALSE(row.source.empty());
    REQUIRE_FALSE(row.message.empty());
    auto [entry, fresh] = seen.emplace(row.failure_class, row.treatment);
    REQUIRE(entry->second == row.treatment);
  }
}
