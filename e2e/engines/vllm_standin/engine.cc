// Why this file exists: see engine.h. The arithmetic is vLLM's:
//   requested = ceil(total * fraction), refused at once where less than that is free;
//   KV = requested - weights - overhead - what the pool changed since the init snapshot by others' doing.
// A neighbour that claims in between makes KV small or negative; one that releases makes it too big, or,
// where it gives back more than we took, trips vLLM's assertion. The CPU build looks at itself only and
// finds out when it allocates.
#include "engine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "log.h"

namespace standin {
namespace {

// Parts of the load time at which things happen; imports come first and take no memory.
constexpr double kSnapshot = 0.10, kLoaded = 0.70, kProfiled = 0.85, kCached = 0.95;

int At(Site site) { return static_cast<int>(site); }

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

}  // namespace

double Engine::SinceStart() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

std::optional<double> Engine::SinceReady() const {
  const int64_t at = ready_at_;
  if (at < 0) return std::nullopt;
  return SinceStart() - static_cast<double>(at) / 1000;
}

void Engine::Until(double part) {
  while (SinceStart() < part * knobs.load_seconds) Sleep(std::min(0.02, std::max(0.0, part * knobs.load_seconds - SinceStart())));
}

void Engine::Exit(int code) {
  exit_.lock();  // never unlocked: the first one to leave decides the code
  pool.Event("exit", ",\"code\":" + std::to_string(code));
  pool.Leave();
  _exit(code);
}

void Engine::Fail(int site, const std::string& cause) {
  EngineFailedToStart(static_cast<Site>(site), cause, !knobs.gpu);
  Exit(1);
}

void Engine::FailBeforeEngine(const std::vector<std::string>& lines, bool configuration) {
  FrontEndFailed(lines, configuration);
  Exit(1);
}

std::string Engine::OutOfMemory(uint64_t bytes) {
  const Pool::View now = pool.Look();
  if (!knobs.gpu) return "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate " + std::to_string(bytes) + " bytes. Error code 12 (Cannot allocate memory)";
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return "torch.OutOfMemoryError: HIP out of memory. Tried to allocate " + (mib < 1024 ? Fixed(mib, 2) + " MiB" : Fixed(mib / 1024, 2) + " GiB") + ". GPU 0 has a total capacity of " +
         Fixed(static_cast<double>(now.total) / (1 << 30), 2) + " GiB of which " + Fixed(static_cast<double>(now.Free()) / (1 << 30), 2) + " GiB is free. Of the allocated memory " +
         Fixed(static_cast<double>(pool.Mine()) / (1 << 30), 2) +
         " GiB is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_HIP_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)";
}

void Engine::ClaimInSteps(uint64_t bytes, int steps, double from, double to, int site) {
  for (int i = 0; i < steps; ++i) {
    const uint64_t count = static_cast<uint64_t>(steps);
    const uint64_t step = bytes / count + (i == 0 ? bytes % count : 0);
    if (!pool.Claim(step)) {
      if (!knobs.gpu) {
        // There is no allocator that says no: the kernel kills the worker.
        Say(Role::kEngineCore, "ERROR", "multiproc_executor.py:315", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.");
        Fail(At(Site::kKvConfig), "RuntimeError: cancelled");
      }
      Fail(site, OutOfMemory(step));
    }
    Until(from + (to - from) * (i + 1) / steps);
  }
}

void Engine::OpenDevice() {
  if (knobs.device.empty() && !faults.Strikes("no-gpu")) return;
  const int device = knobs.device.empty() ? -1 : open(knobs.device.c_str(), O_RDWR | O_CLOEXEC);
  // The descriptor stays open for as long as we live, as an engine's does.
  if (device < 0 || faults.Strikes("no-gpu")) FailBeforeEngine({"RuntimeError: No HIP GPUs are available"}, true);
}

void Engine::CheckConfiguration() {
  Model::Problem problem = model.Load(options, knobs);
  if (faults.Strikes("missing-model")) problem = Model::Problem::kNotARepository;
  if (problem == Model::Problem::kNotARepository)
    FailBeforeEngine({"huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '" + options.model + "'. Use `repo_type` argument if needed."}, false);
  if (problem == Model::Problem::kNotCached)
    FailBeforeEngine({"huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass 'local_files_only=False' as input."}, false);
  if (problem == Model::Problem::kUnreadable)
    FailBeforeEngine({"pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                      "  Value error, Invalid repository ID or local directory specified: '" + options.model + "'."}, true);
  if (options.auto_tool_choice && options.tool_call_parser.empty()) FailBeforeEngine({"TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser"}, false);
  if (options.tensor_parallel_size > 1)
    FailBeforeEngine({"pydantic_core._pydantic_core.ValidationError: 1 validation error for ParallelConfig",
                      "  Value error, World size (" + std::to_string(options.tensor_parallel_size) + ") is larger than the number of available GPUs (1) in this node."}, true);
  Info(Role::kApiServer, "model.py:733", "Resolved architecture: " + model.architecture);

  int64_t wanted = options.max_model_len.value_or(model.max_positions);
  const char* allow = std::getenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN");
  const bool too_long = wanted > model.max_positions && !(allow && std::strcmp(allow, "1") == 0);
  if (too_long || faults.Strikes("context-beyond-model")) {
    FailBeforeEngine({"pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                      "  Value error, User-specified max_model_len (" + std::to_string(wanted) + ") is greater than the derived max_model_len (max_position_embeddings=" +
                          PythonFloat(static_cast<double>(model.max_positions)) +
                          " or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. "
                          "If the model uses relative position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array out-of-bounds error. "
                          "[type=value_error, input_value=ArgsKwargs((), {'model': ...nderer_num_workers': 1}), input_type=ArgsKwargs]",
                      "    For further information visit https://errors.pydantic.dev/2.14/v/value_error"}, true);
  }
  max_model_len = wanted == -1 ? model.max_positions : wanted;
  Info(Role::kApiServer, "model.py:2152", "Using max model len " + std::to_string(max_model_len));
  if (options.enforce_eager)
    Warn(Role::kApiServer, "vllm.py:1703", "Enforce eager set, disabling torch.compile, CUDAGraphs, and JIT kernel warmup. This is equivalent to setting -cc.mode=none -cc.cudagraph_mode=none and --kernel_config.enable_jit_warmup=False");
}

void Engine::Load() {
  const auto banner = [](const std::string& text) { Info(Role::kApiServer, "api_utils.py:347", text); };
  banner("");
  banner("       █     █     █▄   ▄█");
  banner(" ▄▄ ▄█ █     █     █ ▀▄▀ █  version " + knobs.version);
  banner("  █▄█▀ █     █     █     █  model   " + options.model);
  banner("   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀");
  banner("");
  Info(Role::kApiServer, "api_utils.py:286", "non-default args: " + options.not_default);
  OpenDevice();
  CheckConfiguration();
  pool.SetPhase("importing");
  ClaimInSteps(knobs.host_bytes, 2, 0, kSnapshot, At(Site::kInitDevice));
  Until(kSnapshot);

  Info(Role::kEngineCore, "core.py:133",
       "Initializing a V1 LLM engine (v" + knobs.version + ") with config: model='" + options.model + "', speculative_config=None, tokenizer='" + options.model + "', dtype=" + (options.dtype == "float32" ? "torch.float32" : "torch.bfloat16") +
           ", max_seq_len=" + std::to_string(max_model_len) + ", load_format=" + options.load_format + ", tensor_parallel_size=1, quantization=" + (options.quantization.empty() ? "None" : options.quantization) +
           ", enforce_eager=" + (options.enforce_eager ? "True" : "False") + ", kv_cache_dtype=" + options.kv_cache_dtype + ", device_config=" + (knobs.gpu ? "cuda" : "cpu") + ", seed=0, served_model_name=" + options.served_names[0] +
           ", enable_prefix_caching=" + (options.prefix_caching ? "True" : "False") + ", enable_chunked_prefill=True");

  // The init snapshot and the check against it.
  pool.SetPhase("snapshot");
  const Pool::View before = pool.Look();
  const uint64_t mine_before = pool.Mine();
  const auto requested = static_cast<uint64_t>(std::ceil(static_cast<double>(before.total) * options.utilization));
  const std::string sizes = "(" + Gib(static_cast<double>(before.Free())) + "/" + Gib(static_cast<double>(before.total)) + " GiB) on startup is less than desired ";
  pool.Event("snapshot", ",\"free\":" + std::to_string(before.Free()) + ",\"requested\":" + std::to_string(requested));
  const bool short_of_memory = faults.Strikes("startup-budget") || before.Free() < requested;
  if (short_of_memory && knobs.gpu)
    Fail(At(Site::kInitDevice), "ValueError: Free memory on device cuda:0 " + sizes + "GPU memory utilization (" + PythonFloat(options.utilization) + ", " + Gib(static_cast<double>(requested)) + " GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.");
  if (short_of_memory && !options.kv_cache_memory_bytes)  // the CPU build checks where it derives KV from it
    Fail(At(Site::kInitDevice), "ValueError: Available memory on node 0 " + sizes + "CPU memory utilization (" + PythonFloat(options.utilization) + ", " + Gib(static_cast<double>(requested)) +
                                    " GiB). On the CPU backend, the `--gpu-memory-utilization` flag controls the fraction of CPU memory reserved (despite its name). To resolve: decrease `--gpu-memory-utilization` (e.g. `--gpu-memory-utilization 0.5`) or reduce CPU memory used by other processes.");

  pool.SetPhase("loading");
  const char* runner = knobs.gpu ? "gpu_model_runner.py:4655" : "cpu_model_runner.py:68";
  const Role worker = knobs.gpu ? Role::kEngineCore : Role::kWorker;
  Info(worker, runner, "Starting to load model " + options.model + "...");
  if (faults.Strikes("unsupported-quant")) Fail(At(Site::kLoadModel), "RuntimeError: torch._scaled_mm requires MI300+ or CUDA sm_89+");
  ClaimInSteps(model.weight_bytes, 20, kSnapshot, kLoaded, At(Site::kLoadModel));
  if (knobs.gpu) Info(worker, "gpu_model_runner.py:4698", "Model loading took " + Gib(static_cast<double>(model.weight_bytes)) + " GiB memory and " + Fixed((kLoaded - kSnapshot) * knobs.load_seconds, 6) + " seconds");
  pool.Event("weights_loaded");
  if (faults.Strikes("worker-died")) {
    Say(Role::kEngineCore, "ERROR", "multiproc_executor.py:315", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.");
    Fail(At(Site::kKvConfig), "RuntimeError: cancelled");
  }

  // The dummy forward pass, and what the device lost meanwhile.
  pool.SetPhase("profiling");
  ClaimInSteps(model.overhead_bytes, 5, kLoaded, kProfiled, At(Site::kProfile));
  const Pool::View after = pool.Look();
  const auto own = static_cast<int64_t>(pool.Mine() - mine_before);
  const int64_t others = static_cast<int64_t>(after.used) - static_cast<int64_t>(before.used) - own;
  int64_t kv = 0;
  if (options.kv_cache_memory_bytes) {
    kv = *options.kv_cache_memory_bytes;
    const std::string size = Gib(static_cast<double>(kv));
    if (knobs.gpu)
      Info(worker, "gpu_worker.py:452", "Initial free memory " + Gib(static_cast<double>(before.Free())) + " GiB, reserved " + size +
               " GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling. This does not respect the gpu_memory_utilization config. Only use kv_cache_memory_bytes config when you want manual control of KV cache memory size. If OOM'ed, check the difference of initial free memory between the current run and the previous run where kv_cache_memory_bytes is suggested and update it correspondingly.");
    if (!knobs.gpu && static_cast<int64_t>(after.Free()) < kv)
      Fail(At(Site::kKvAllocate), "ValueError: Available memory on node 0 (" + Gib(static_cast<double>(after.Free())) + "/" + Gib(static_cast<double>(after.total)) + " GiB) on kv cache allocation is less than requested memory for kv (" + size +
                                      " GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by other processes.");
    if (!knobs.gpu) Info(worker, "cpu_worker.py:260", "Explicitly set (" + size + "/" + Gib(static_cast<double>(after.total)) + ") GiB for KV cache on node 0.");
  } else if (knobs.gpu) {
    if (faults.Strikes("profiling-race") || after.Free() >= before.Free())
      Fail(At(Site::kProfile), "AssertionError: Error in memory profiling. Initial free memory " + Gib(static_cast<double>(before.Free())) + " GiB, current free memory " + Gib(static_cast<double>(after.Free())) +
                                   " GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.");
    kv = static_cast<int64_t>(requested) - own - others;
    if (faults.Strikes("no-kv")) kv = -(1ll << 30);
    Info(worker, "gpu_worker.py:645", "Available KV cache memory: " + Gib(static_cast<double>(kv)) + " GiB");
  } else {
    kv = static_cast<int64_t>(requested) - own;
    if (faults.Strikes("no-kv")) kv = -(1ll << 30);
    if (kv <= 0 || static_cast<int64_t>(after.Free()) < kv)
      Fail(At(Site::kKvAllocate), "ValueError: Available memory on node 0 (" + Gib(static_cast<double>(after.Free())) + "/" + Gib(static_cast<double>(after.total)) + " GiB) on kv cache allocation is less than requested memory for kv (" +
                                      Gib(static_cast<double>(kv)) + "/" + Gib(static_cast<double>(requested)) + " GiB). Reduce CPU memory used by other processes.");
    Info(worker, "cpu_worker.py:260", "Auto set (" + Gib(static_cast<double>(kv)) + "/" + Gib(static_cast<double>(after.total)) + ") GiB for KV cache on node 0, with " + Gib(static_cast<double>(requested)) +
             " GiB requested memory for the worker. " + Gib(static_cast<double>(own)) + " GiB memory was consumed by non-kv usages.");
  }
  pool.Event("profiled", ",\"kv\":" + std::to_string(kv) + ",\"others\":" + std::to_string(others));

  // Blocks, and whether one request of full length fits.
  block_size = options.block_size > 0 ? options.block_size : knobs.gpu ? 16 : 128;
  const int64_t page = block_size * model.kv_bytes_per_token;
  if (kv <= 0) Fail(At(Site::kKvConfig), "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.");
  blocks = options.num_gpu_blocks_override.value_or(kv / page);
  // One block is never handed out (vLLM keeps it as the null block), and its estimate leaves it out.
  const int64_t estimate = std::max<int64_t>(0, (kv / page - 1) * block_size);
  if (options.max_model_len == -1) {
    const bool none = faults.Strikes("cannot-auto-fit");
    if (none || estimate <= 0) Fail(At(Site::kKvConfig), "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try increasing `gpu_memory_utilization`.");
    if (estimate >= max_model_len) {
      Info(Role::kEngineCore, "kv_cache_utils.py:2190", "Auto-fit max_model_len: full model context length " + std::to_string(max_model_len) + " fits in available GPU memory");
    } else {
      Info(Role::kEngineCore, "kv_cache_utils.py:2198", "Auto-fit max_model_len: reduced from " + std::to_string(max_model_len) + " to " + std::to_string(estimate) + " to fit in available GPU memory (" + Gib(static_cast<double>(kv)) + " GiB available for KV cache)");
      max_model_len = estimate;
    }
  }
  const int64_t needed = (max_model_len + block_size - 1) / block_size * page;
  const bool too_large = faults.Strikes("context-too-large");
  if (too_large || needed > kv) {
    const int64_t told = too_large ? std::min(estimate, max_model_len / 2) : estimate;
    Fail(At(Site::kKvConfig), "ValueError: To serve at least one request with the model's max seq len (" + std::to_string(max_model_len) + "), (" + Gib(static_cast<double>(needed)) +
                                  " GiB KV cache is needed, which is larger than the available KV cache memory (" + Gib(static_cast<double>(kv)) + " GiB). Based on the available memory, the estimated maximum model length is " + std::to_string(told) +
                                  ". Try increasing `gpu_memory_utilization` " + (knobs.gpu ? "" : "(which also controls CPU memory on the CPU backend) ") +
                                  "or decreasing `max_model_len` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.");
  }
  const double concurrency = static_cast<double>(blocks) / static_cast<double>((max_model_len + block_size - 1) / block_size);
  Info(Role::kEngineCore, "kv_cache_utils.py:2327", std::string(knobs.gpu ? "GPU" : "CPU") + " KV cache size: " + Grouped(blocks * block_size) + " tokens, Maximum concurrency for " + Grouped(max_model_len) + " tokens per request: " + Fixed(concurrency, 2) + "x");

  pool.SetPhase("allocating");
  ClaimInSteps(static_cast<uint64_t>(kv / page * page), 4, kProfiled, kCached, At(Site::kKvAllocate));
  if (!options.enforce_eager && knobs.graph_bytes > 0) {
    // On top of what was requested: ROCm's estimate of graph memory is always 0.
    ClaimInSteps(knobs.graph_bytes, 1, kCached, kCached, At(Site::kKvAllocate));
    Info(worker, "gpu_model_runner.py:5910", "Graph capturing finished in 1 secs, took " + Fixed(static_cast<double>(knobs.graph_bytes) / (1 << 30), 2) + " GiB");
  }
  Until(1.0);
  Info(Role::kEngineCore, "core.py:402", "init engine (profile, create kv cache, warmup model) took " + Fixed((1 - kLoaded) * knobs.load_seconds, 2) + " s");
  while (faults.never_ready) Sleep(0.05);

  const bool big = before.total >= (70ull << 30);
  max_num_seqs = options.max_num_seqs.value_or(knobs.gpu && big ? 1024 : 256);
  const auto labels = [&] {
    const std::string kv_flag = options.kv_cache_memory_bytes ? std::to_string(*options.kv_cache_memory_bytes) : "None";
    const std::string size = std::to_string(block_size);
    const auto yes = [](bool value) { return std::string(value ? "True" : "False"); };
    return "_block_size_resolved=\"True\",block_size=\"" + size + "\",cache_dtype=\"" + options.kv_cache_dtype + "\",cache_hit_alignment_tokens=\"None\",effective_attention_block_size=\"" + size +
           "\",enable_mamba_shared_prefix_checkpoint=\"False\",enable_prefix_caching=\"" + yes(options.prefix_caching) + "\",engine=\"0\",gpu_memory_utilization=\"" + PythonFloat(options.utilization) +
           "\",hash_block_size=\"None\",is_attention_free=\"False\",kv_cache_dtype_skip_layers=\"[]\",kv_cache_layout=\"None\",kv_cache_max_concurrency=\"" + PythonFloat(concurrency) + "\",kv_cache_memory_bytes=\"" + kv_flag +
           "\",kv_cache_size_tokens=\"" + std::to_string(blocks * block_size) + "\",kv_offloading_backend=\"native\",kv_offloading_size=\"None\",kv_sharing_fast_prefill=\"False\",mamba_block_size=\"None\",mamba_cache_dtype=\"auto\",mamba_cache_mode=\"none\",mamba_page_size_padded=\"None\",mamba_ssm_cache_dtype=\"auto\",num_cpu_blocks=\"None\",num_gpu_blocks=\"" +
           std::to_string(blocks) + "\",num_gpu_blocks_override=\"" + (options.num_gpu_blocks_override ? std::to_string(*options.num_gpu_blocks_override) : "None") +
           "\",prefix_cache_retention_interval=\"0\",prefix_caching_hash_algo=\"sha256\",prefix_match_unit=\"None\",replayssm_buffer_len=\"16\",skip_page_size_padded=\"None\",sliding_window=\"None\",swa_bounded_replay=\"True\",use_kda_recoverssm=\"False\",use_replayssm=\"False\",user_specified_block_size=\"" + yes(options.block_size > 0) + "\"";
  };
  scheduler = std::make_unique<Scheduler>(max_num_seqs, blocks, block_size);
  metrics = std::make_unique<Metrics>(options.served_names[0], max_model_len, labels());
  pool.SetPhase("serving");
  pool.Event("loaded", ",\"kv_tokens\":" + std::to_string(blocks * block_size) + ",\"max_model_len\":" + std::to_string(max_model_len));
  Info(Role::kApiServer, "entry.py:136", "Supported tasks: ['generate']");
  Info(Role::kApiServer, "entry.py:140", "Starting vLLM server on http://" + options.host + ":" + std::to_string(options.port));
  Info(Role::kApiServer, "launcher.py:186", "Available routes are:");
  for (const char* route : {"/load, Methods: GET", "/version, Methods: GET", "/health, Methods: GET", "/metrics, Methods: GET", "/v1/models, Methods: GET", "/ping, Methods: GET", "/ping, Methods: POST", "/v1/chat/completions, Methods: POST", "/v1/completions, Methods: POST"})
    Info(Role::kApiServer, "launcher.py:195", std::string("Route: ") + route);
  Raw("INFO:     Started server process [" + std::to_string(getpid()) + "]\nINFO:     Waiting for application startup.\nINFO:     Application startup complete.");
  ready_at_ = static_cast<int64_t>(SinceStart() * 1000);
  ready = true;
}

void Engine::FirstHealthAnswer() {
  if (!health_told_.exchange(true)) pool.Event("first_health_answer");
  if (completion_told_) std::call_once(proven_, [this] { pool.Event("ready"); });
}

void Engine::FirstCompletion() {
  if (!completion_told_.exchange(true)) pool.Event("first_completion_answer");
  if (health_told_) std::call_once(proven_, [this] { pool.Event("ready"); });
}

void Engine::Terminate() {
  Info(Role::kApiServer, "launcher.py:254", "[shutdown] API server: shutdown triggered");
  Info(Role::kApiServer, "launcher.py:270", "[shutdown] API server: stopping engine client mode=abort timeout=0s");
  Info(Role::kEngineCore, "core.py:1454", "[shutdown] EngineCore: trigger received signal=SIGTERM");
  Info(Role::kApiServer, "core_client.py:777", "[shutdown] MPClient: complete");
  Raw("INFO:     Shutting down\nINFO:     Waiting for application shutdown.\nINFO:     Application shutdown complete.");
  Exit(0);
}

void Engine::Die(const std::string& kind) {
  pool.Event("fault", ",\"kind\":\"" + kind + "\"");
  const bool first = getpid() == 1;
  if (kind == "sigkill" || kind == "cgroup-oom") {
    // A process that is number 1 of its namespace cannot kill itself; a container's exit code is the same.
    exit_.lock();
    if (kind == "cgroup-oom") {
      std::ifstream in("/sys/fs/cgroup/memory.max");
      uint64_t limit = 0;
      // Only where there is a limit, and a small one: nobody's machine is to suffer.
      if (in >> limit && limit > 0 && limit <= (8ull << 30))
        for (uint64_t done = 0; done < limit + (64ull << 20); done += 4ull << 20) {
          void* block = mmap(nullptr, 4ull << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          if (block == MAP_FAILED) break;
          std::memset(block, 1, 4ull << 20);
        }
    }
    if (!first) kill(getpid(), SIGKILL);
    _exit(137);
  }
  if (kind == "gpu-fault" || kind == "gpu-hang") {
    Raw(kind == "gpu-fault" ? "Memory access fault by GPU node-1 (Agent handle: 0x55d0c1a3f2b0) on address 0x7f3a1c400000. Reason: Page not present or supervisor privilege."
                            : "HW Exception by GPU node-1 (Agent handle: 0x55d0c1a3f2b0) reason :GPU Hang");
    exit_.lock();
    if (first) _exit(134);
    signal(SIGABRT, SIG_DFL);
    std::abort();
  }
  if (kind == "exit0" || kind == "exit1") {
    Raw("INFO:     Shutting down\nINFO:     Waiting for application shutdown.\nINFO:     Application shutdown complete.");
    Exit(kind == "exit0" ? 0 : 1);
  }
  if (!ready) {
    // Before it is ready, the engine's death is a failed start.
    if (kind == "engine-died") {
      Say(Role::kEngineCore, "ERROR", "multiproc_executor.py:315", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.");
      Fail(At(Site::kKvConfig), "RuntimeError: cancelled");
    }
    Fail(At(Site::kProfile), OutOfMemory(2ull << 30));
  }
  const bool out_of_memory = kind == "oom" || kind == "engine-oom";
  EngineDied(out_of_memory ? OutOfMemory(2ull << 30) : "", open_streams > 0);
  if (kind == "oom") Exit(1);
  // The memory was the engine's, so it goes with it, late as ever; the API server answers 503 until its
  // watchdog looks, and then leaves with 0.
  core_dead = true;
  pool.Event("died");
  pool.Leave();
  Sleep(2.0);
  Raw("INFO:     Shutting down\nINFO:     Waiting for application shutdown.\nINFO:     Application shutdown complete.\nINFO:     Finished server process [" + std::to_string(getpid()) + "]");
  Exit(0);
}

}  // namespace standin
