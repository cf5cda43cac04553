// Why this file exists: see log.h. Everything goes to one stream: two would reach a container's log in
// no certain order, and the distance of a cause from the end is what tests measure.
#include "log.h"

#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <mutex>

namespace standin {
namespace {

struct Frame {
  const char* file;
  int line;
  const char* function;
  const char* code;
};

constexpr char kPackages[] = "/opt/vllm/lib/python3.11/site-packages/";
constexpr char kPython[] = "/opt/python/lib/python3.11/";

const std::vector<Frame> kFrontEnd = {
    {"/opt/vllm/bin/vllm", 8, "<module>", "sys.exit(main())"},
    {"vllm/entrypoints/cli/main.py", 120, "main", "args.dispatch_function(args)"},
    {"vllm/entrypoints/cli/serve.py", 156, "cmd", "uvloop.run(run_server(args))"},
    {"uvloop/__init__.py", 92, "run", "return runner.run(wrapper())"},
    {"asyncio/runners.py", 118, "run", "return self._loop.run_until_complete(task)"},
    {"uvloop/loop.pyx", 1515, "uvloop.loop.Loop.run_until_complete", ""},
    {"uvloop/__init__.py", 48, "wrapper", "return await main"},
    {"vllm/entrypoints/launchers/api_server/entry.py", 177, "run_server", "await run_server_worker(listen_address, sock, args, **uvicorn_kwargs)"},
    {"vllm/entrypoints/launchers/api_server/entry.py", 195, "run_server_worker", "async with build_async_engine_client("},
    {"contextlib.py", 210, "__aenter__", "return await anext(self.gen)"},
};
const std::vector<Frame> kConfiguration = {
    {"vllm/entrypoints/launchers/api_server/entry.py", 61, "build_async_engine_client", "async with build_async_engine_client_from_engine_args("},
    {"contextlib.py", 210, "__aenter__", "return await anext(self.gen)"},
    {"vllm/entrypoints/launchers/api_server/entry.py", 83, "build_async_engine_client_from_engine_args", "vllm_config = engine_args.create_engine_config(usage_context=usage_context)"},
    {"vllm/engine/arg_utils.py", 2240, "create_engine_config", "model_config = self.create_model_config()"},
    {"vllm/engine/arg_utils.py", 1955, "create_model_config", "return ModelConfig("},
    {"pydantic/_internal/_dataclasses.py", 121, "__init__", "s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)"},
};
const std::vector<Frame> kModelPath = {
    {"vllm/entrypoints/launchers/api_server/entry.py", 53, "build_async_engine_client", "engine_args = AsyncEngineArgs.from_cli_args(args)"},
    {"vllm/engine/arg_utils.py", 1938, "from_cli_args", "engine_args = cls("},
    {"vllm/engine/arg_utils.py", 914, "__post_init__", "self.model = get_model_path(self.model, self.revision)"},
    {"vllm/transformers_utils/repo_utils.py", 301, "get_model_path", "return hf_api().snapshot_download("},
    {"huggingface_hub/utils/_validators.py", 85, "_inner_fn", "validate_repo_id(arg_value)"},
};
const std::vector<Frame> kWaitForEngine = {
    {"vllm/entrypoints/launchers/api_server/entry.py", 61, "build_async_engine_client", "async with build_async_engine_client_from_engine_args("},
    {"contextlib.py", 210, "__aenter__", "return await anext(self.gen)"},
    {"vllm/entrypoints/launchers/api_server/entry.py", 95, "build_async_engine_client_from_engine_args", "async_llm = AsyncLLM.from_vllm_config("},
    {"vllm/v1/engine/async_llm.py", 255, "from_vllm_config", "return cls("},
    {"vllm/v1/engine/async_llm.py", 184, "__init__", "self.engine_core = EngineCoreClient.make_async_mp_client("},
    {"vllm/tracing/otel.py", 175, "sync_wrapper", "return func(*args, **kwargs)"},
    {"vllm/v1/engine/core_client.py", 167, "make_async_mp_client", "return AsyncMPClient("},
    {"vllm/tracing/otel.py", 175, "sync_wrapper", "return func(*args, **kwargs)"},
    {"vllm/v1/engine/core_client.py", 1120, "__init__", "super().__init__("},
    {"vllm/v1/engine/core_client.py", 682, "__init__", "with launch_core_engines("},
    {"contextlib.py", 144, "__exit__", "next(self.gen)"},
    {"vllm/v1/engine/utils.py", 1351, "launch_core_engines", "wait_for_engine_startup("},
    {"vllm/v1/engine/utils.py", 1431, "wait_for_engine_startup", "raise RuntimeError("},
};
const std::vector<Frame> kCore = {
    {"vllm/v1/engine/core.py", 1482, "run_engine_core", "engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)"},
    {"vllm/tracing/otel.py", 175, "sync_wrapper", "return func(*args, **kwargs)"},
    {"vllm/v1/engine/core.py", 1194, "__init__", "super().__init__("},
};
const std::vector<Frame> kBootstrap = {
    {"multiprocessing/process.py", 314, "_bootstrap", "self.run()"},
    {"multiprocessing/process.py", 108, "run", "self._target(*self._args, **self._kwargs)"},
    {"vllm/v1/engine/core.py", 1514, "run_engine_core", "raise e"},
};
const std::vector<Frame> kExecutor = {
    {"vllm/v1/engine/core.py", 144, "__init__", "self.model_executor = executor_class(vllm_config)"},
    {"vllm/v1/executor/abstract.py", 126, "__init__", "self._init_executor()"},
};
const std::vector<Frame> kCaches = {
    {"vllm/v1/engine/core.py", 157, "__init__", "kv_cache_config = self._initialize_kv_caches(vllm_config)"},
    {"vllm/tracing/otel.py", 175, "sync_wrapper", "return func(*args, **kwargs)"},
};
const std::vector<Frame> kWorkerMain = {
    {"vllm/v1/executor/multiproc_executor.py", 920, "worker_main", "worker = WorkerProc(*args, **kwargs)"},
    {"vllm/tracing/otel.py", 175, "sync_wrapper", "return func(*args, **kwargs)"},
    {"vllm/v1/executor/multiproc_executor.py", 671, "__init__", "wrapper.init_worker(all_kwargs)"},
    {"vllm/v1/worker/worker_base.py", 338, "init_worker", "self.worker = worker_class(**kwargs)"},
    {"vllm/v1/worker/cpu_worker.py", 83, "__init__", "raise ValueError("},
};

std::vector<Frame> SiteFrames(Site site, bool cpu_build) {
  const bool executor = site == Site::kInitDevice || site == Site::kLoadModel;
  std::vector<Frame> out = executor ? kExecutor : kCaches;
  auto add = [&](const char* file, int line, const char* function, const char* code) { out.push_back({file, line, function, code}); };
  if (cpu_build && site != Site::kKvConfig) {
    if (executor) {
      add("vllm/v1/executor/multiproc_executor.py", 215, "_init_executor", "self.workers = WorkerProc.wait_for_ready(unready_workers)");
      add("vllm/v1/executor/multiproc_executor.py", 815, "wait_for_ready", "raise e from None");
    } else {
      add("vllm/v1/engine/core.py", 315, "_initialize_kv_caches", "available_gpu_memory = self.model_executor.determine_available_memory()");
      add("vllm/v1/executor/abstract.py", 163, "determine_available_memory", "return self.collective_rpc(\"determine_available_memory\")");
      add("vllm/v1/executor/multiproc_executor.py", 455, "collective_rpc", "return future if non_block else future.result()");
      add("concurrent/futures/_base.py", 449, "result", "return self.__get_result()");
      add("vllm/v1/executor/multiproc_executor.py", 444, "get_response", "raise RuntimeError(");
    }
    return out;
  }
  switch (site) {
    case Site::kInitDevice:
      add("vllm/v1/executor/uniproc_executor.py", 46, "_init_executor", "self.driver_worker.init_device()");
      add("vllm/v1/worker/worker_base.py", 312, "init_device", "self.worker.init_device()");
      add("vllm/v1/worker/gpu_worker.py", 286, "init_device", "self.requested_memory = request_memory(init_snapshot, self.cache_config)");
      add("vllm/v1/worker/utils.py", 394, "request_memory", "raise ValueError(");
      break;
    case Site::kLoadModel:
      add("vllm/v1/executor/uniproc_executor.py", 47, "_init_executor", "self.driver_worker.load_model()");
      add("vllm/v1/worker/gpu_worker.py", 331, "load_model", "self.model_runner.load_model(load_dummy_weights=load_dummy_weights)");
      add("vllm/v1/worker/gpu_model_runner.py", 4671, "load_model", "self.model = model_loader.load_model(");
      break;
    case Site::kProfile:
      add("vllm/v1/engine/core.py", 315, "_initialize_kv_caches", "available_gpu_memory = self.model_executor.determine_available_memory()");
      add("vllm/v1/executor/abstract.py", 163, "determine_available_memory", "return self.collective_rpc(\"determine_available_memory\")");
      add("vllm/v1/executor/uniproc_executor.py", 80, "collective_rpc", "result = run_method(self.driver_worker, method, args, kwargs)");
      add("vllm/v1/worker/gpu_worker.py", 469, "determine_available_memory", "assert self.init_snapshot.free_memory >= free_gpu_memory, (");
      break;
    case Site::kKvConfig:
      add("vllm/v1/engine/core.py", 326, "_initialize_kv_caches", "kv_cache_configs = get_kv_cache_configs(");
      add("vllm/v1/core/kv_cache_utils.py", 2642, "get_kv_cache_configs", "_check_enough_kv_cache_memory(");
      add("vllm/v1/core/kv_cache_utils.py", 1030, "_check_enough_kv_cache_memory", "raise ValueError(");
      break;
    case Site::kKvAllocate:
      add("vllm/v1/engine/core.py", 341, "_initialize_kv_caches", "self.model_executor.initialize_from_config(kv_cache_configs)");
      add("vllm/v1/worker/gpu_worker.py", 588, "initialize_from_config", "self.model_runner.initialize_kv_cache(kv_cache_config)");
      add("vllm/v1/worker/gpu_model_runner.py", 6212, "_allocate_kv_cache_tensors", "tensor = torch.zeros(kv_cache_tensor.size, dtype=torch.int8, device=self.device)");
      break;
  }
  return out;
}

std::string Traceback(const std::vector<Frame>& frames) {
  std::string out = "Traceback (most recent call last):";
  for (const Frame& frame : frames) {
    const std::string file = frame.file;
    const bool package = file.rfind("vllm/", 0) == 0 || file.rfind("pydantic/", 0) == 0 || file.rfind("huggingface_hub/", 0) == 0 || file.rfind("uvloop/__", 0) == 0;
    const bool standard = file.rfind("asyncio/", 0) == 0 || file.rfind("multiprocessing/", 0) == 0 || file.rfind("concurrent/", 0) == 0 || file == "contextlib.py";
    out += "\n  File \"" + std::string(package ? kPackages : standard ? kPython : "") + file + "\", line " + std::to_string(frame.line) + ", in " + frame.function;
    const std::string code = frame.code;
    if (code.empty()) continue;
    out += "\n    " + code;
    // Python underlines the part of a line that failed where that is not the whole of it.
    const size_t from = code.rfind("return ", 0) == 0 ? 7 : code.find(" = ") != std::string::npos ? code.find(" = ") + 3 : std::string::npos;
    if (from != std::string::npos && code.back() == ')') out += "\n    " + std::string(from, ' ') + std::string(code.size() - from, '^');
  }
  return out;
}

std::vector<Frame> Joined(std::vector<Frame> head, const std::vector<Frame>& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

void Write(const std::string& text) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> guard(mutex);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

}  // namespace

int Pid(Role role) { return static_cast<int>(getpid()) + (role == Role::kApiServer ? 0 : role == Role::kEngineCore ? 30 : 43); }

void Say(Role role, const char* level, const std::string& where, const std::string& message) {
  char stamp[32];
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  strftime(stamp, sizeof stamp, "%m-%d %H:%M:%S", &parts);
  const std::string prefix = std::string("(") + (role == Role::kApiServer ? "APIServer" : role == Role::kEngineCore ? "EngineCore" : "Worker") + " pid=" + std::to_string(Pid(role)) + ") " + level + " " + stamp + " [" + where + "] ";
  std::string out;
  size_t start = 0;
  while (start <= message.size()) {
    const size_t end = std::min(message.find('\n', start), message.size());
    out += prefix + message.substr(start, end - start) + "\n";
    start = end + 1;
  }
  Write(out);
}

void Raw(const std::string& line) { Write(line + "\n"); }

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string Gib(double bytes) {
  std::string text = Fixed(bytes / (1 << 30), 2);
  if (text.back() == '0') text.pop_back();
  return text == "-0.0" ? "0.0" : text;
}

std::string Grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int at = static_cast<int>(text.size()) - 3; at > 0 && text[static_cast<size_t>(at) - 1] != '-'; at -= 3) text.insert(static_cast<size_t>(at), ",");
  return text;
}

void EngineFailedToStart(Site site, const std::string& cause, bool cpu_build) {
  std::string told = cause;
  if (cpu_build && site != Site::kKvConfig) {
    const bool starting = site == Site::kInitDevice || site == Site::kLoadModel;
    Say(Role::kWorker, "ERROR", starting ? "multiproc_executor.py:953" : "multiproc_executor.py:1063", (starting ? "WorkerProc failed to start.\n" : "WorkerProc hit an exception.\n") + Traceback(kWorkerMain) + "\n" + cause);
    const std::string words = cause.substr(std::min(cause.size(), cause.find(": ") + 2));
    told = starting ? "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause."
                    : "RuntimeError: Worker failed with error '" + words + "', please check the stack trace above for the root cause";
  }
  const std::vector<Frame> inside = SiteFrames(site, cpu_build);
  Say(Role::kEngineCore, "ERROR", "core.py:1510", "EngineCore failed to start.\n" + Traceback(Joined(kCore, inside)) + "\n" + told);
  if (cpu_build) {
    Say(Role::kEngineCore, "ERROR", "multiproc_executor.py:315", "Worker proc VllmWorker-0 died unexpectedly (exit code: None), shutting down executor.");
    Info(Role::kEngineCore, "multiproc_executor.py:479", "[shutdown] Executor: waiting for worker exit count=1");
  }
  Raw("Process EngineCore:");
  Raw(Traceback(Joined(Joined(kBootstrap, kCore), inside)) + "\n" + told);
  Raw(Traceback(Joined(kFrontEnd, kWaitForEngine)));
  Raw("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}");
  Raw("/opt/python/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects to clean up at shutdown\n"
      "  warnings.warn('resource_tracker: There appear to be %d '");
}

void FrontEndFailed(const std::vector<std::string>& last_lines, bool configuration) {
  Raw(Traceback(Joined(kFrontEnd, configuration ? kConfiguration : kModelPath)));
  for (const std::string& line : last_lines) Raw(line);
}

void EngineDied(const std::string& cause, bool stream_open) {
  const std::vector<Frame> output = {
      {"vllm/v1/engine/async_llm.py", 849, "output_handler", "outputs = await engine_core.get_output_async()"},
      {"vllm/v1/engine/core_client.py", 1235, "get_output_async", "raise self._format_exception(outputs) from None"},
  };
  const std::vector<Frame> stream = {
      {"vllm/entrypoints/openai/completion/serving.py", 306, "completion_stream_generator", "async for prompt_idx, res in result_generator:"},
      {"vllm/utils/async_utils.py", 104, "merge_async_iterators", "async for item in iterator:  # type: ignore[union-attr]"},
      {"vllm/v1/engine/async_llm.py", 767, "generate", "out = q.get_nowait() or await q.get()"},
      {"vllm/v1/engine/output_processor.py", 92, "get", "raise output"},
  };
  const std::string dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.";
  if (!cause.empty()) {
    const std::vector<Frame> busy = {
        {"vllm/v1/engine/core.py", 1493, "run_engine_core", "engine_core.run_busy_loop()"},
        {"vllm/v1/engine/core.py", 1521, "run_busy_loop", "self._process_engine_step()"},
        {"vllm/v1/worker/gpu_model_runner.py", 3987, "execute_model", "model_output = self._model_forward("},
    };
    Say(Role::kEngineCore, "ERROR", "core.py:1519", "EngineCore encountered a fatal error.\n" + Traceback(busy) + "\n" + cause);
  }
  Info(Role::kWorker, "multiproc_executor.py:843", "Parent process exited, terminating worker queues");
  Info(Role::kApiServer, "utils.py:628", "[shutdown] Process manager: send sigterm to process EngineCore");
  Warn(Role::kApiServer, "core_client.py:817", "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup");
  Info(Role::kApiServer, "core_client.py:770", "[shutdown] MPClient: start timeout=default");
  Info(Role::kApiServer, "core_client.py:772", "[shutdown] MPClient: stopping engine manager");
  Info(Role::kApiServer, "core_client.py:774", "[shutdown] MPClient: engine manager stopped");
  Info(Role::kApiServer, "core_client.py:775", "[shutdown] MPClient: cleaning up background resources");
  Info(Role::kApiServer, "core_client.py:777", "[shutdown] MPClient: complete");
  Say(Role::kApiServer, "ERROR", "async_llm.py:906", "AsyncLLM output_handler failed.\n" + Traceback(output) + "\n" + dead);
  if (stream_open) Say(Role::kApiServer, "ERROR", "serving.py:500", "Error in completion stream generator.\n" + Traceback(Joined(stream, output)) + "\n" + dead);
}

}  // namespace standin
