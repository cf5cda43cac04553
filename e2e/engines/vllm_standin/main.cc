// Why this file exists: end-to-end tests need an engine that behaves like vLLM towards whoever runs it
// (command line, log, port, exit codes) and towards its neighbours on shared memory, but needs no GPU,
// no Python and no gigabytes. The product under test is told nothing of it: the image is simply another
// one whose `vllm` is this program. `vllm pool` is for the tests themselves.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "engine.h"
#include "json.h"
#include "log.h"
#include "pool.h"
#include "server.h"
#include "settings.h"

namespace standin {
namespace {

std::atomic<int> g_signal{0};
void OnSignal(int number) { g_signal = number; }

void SleepMilliseconds(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

int Serve(const std::vector<std::string>& arguments) {
  const Knobs knobs = Knobs::FromEnvironment();
  const Options options = ParseServe(arguments, knobs);
  Faults faults(knobs.die, knobs.control, options.served_names[0]);
  faults.Poll();
  if (faults.Strikes("flag-mismatch")) UsageError("vllm", "unrecognized arguments: --no-such-flag 1");

  std::string error;
  const std::unique_ptr<Pool> pool = Pool::Open(knobs.pool_path, knobs.pool_bytes, true, &error);
  if (!pool || !pool->Register(options.served_names[0], static_cast<int64_t>(knobs.release_seconds * 1000))) {
    std::fprintf(stderr, "stand-in: no place in the pool: %s\n", error.c_str());
    return 64;
  }
  pool->Event("start", ",\"fraction\":" + PythonFloat(options.utilization) + ",\"port\":" + std::to_string(options.port));

  // A handler, not the default action: number 1 of a container gets only signals that it handles.
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);

  Engine engine(options, knobs, *pool, faults);
  Server server(engine);
  if (!server.Bind()) {
    FrontEndFailed({"OSError: [Errno " + std::to_string(errno) + "] " + std::strerror(errno)}, false);
    engine.Exit(1);
  }
  std::atomic<const char*> fault{nullptr};  // what a request set off; told apart from `faults` to die on the main thread
  server.on_fault = [&](const std::string& kind) {
    fault = strdup(kind.c_str());
    while (!engine.core_dead) SleepMilliseconds(5);
  };
  std::thread([&] {
    for (;;) {
      pool->Beat();
      SleepMilliseconds(100);
    }
  }).detach();
  std::thread([&] { engine.Load(); }).detach();

  bool listening = false;
  for (int tick = 0;; ++tick) {
    if (engine.ready && !listening) {
      listening = true;
      server.Listen();
    }
    if (g_signal != 0) {
      if (!engine.ready && knobs.ignore_term_while_loading) {
        g_signal = 0;  // swallowed, as the real one does: it may even become ready later
        pool->Event("term_ignored");
      } else {
        pool->Event("term");
        if (engine.ready) engine.Terminate();
        engine.Exit(0);
      }
    }
    if (tick % 5 == 0) faults.Poll();
    if (const auto kind = faults.Due(engine.SinceStart(), engine.SinceReady())) engine.Die(*kind);
    if (const char* kind = fault.exchange(nullptr)) engine.Die(kind);
    SleepMilliseconds(10);
  }
}

int ShowPool(const std::vector<std::string>& arguments) {
  std::string file, model = "neighbour", error;
  std::optional<uint64_t> total, hold;
  double seconds = 1e9;
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string &flag = arguments[i], &value = arguments[i + 1];
    if (flag == "--file") file = value;
    else if (flag == "--total") total = Bytes(value);
    else if (flag == "--hold") hold = Bytes(value);
    else if (flag == "--seconds") seconds = std::strtod(value.c_str(), nullptr);
    else if (flag == "--model") model = value;
    else file.clear();
  }
  if (file.empty()) {
    std::fputs("usage: vllm pool --file FILE [--total BYTES] [--hold BYTES [--seconds S] [--model NAME]]\n", stderr);
    return 2;
  }
  const std::unique_ptr<Pool> pool = Pool::Open(file, total, total.has_value(), &error);
  if (!pool) {
    std::fprintf(stderr, "vllm pool: %s\n", error.c_str());
    return 1;
  }
  if (hold) {
    // Somebody who uses memory and is no vLLM; it gives back at once when it ends.
    struct sigaction action {};
    action.sa_handler = OnSignal;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    if (!pool->Register(model, 0) || !pool->Claim(*hold)) return 1;
    pool->SetPhase("holding");
    pool->Event("hold");
    for (double left = seconds; left > 0 && g_signal == 0; left -= 0.05) {
      if (static_cast<int>(left * 20) % 2 == 0) pool->Beat();
      SleepMilliseconds(50);
    }
    pool->Leave();
    SleepMilliseconds(2);
    pool->Look();
    return 0;
  }
  const Pool::View view = pool->Look();
  std::string entries;
  for (const Pool::Entry& entry : view.entries)
    entries += (entries.empty() ? "" : ",") + std::string("{\"model\":") + Quote(entry.model) + ",\"bytes\":" + std::to_string(entry.bytes) + ",\"phase\":" + Quote(entry.phase) + ",\"alive\":" + (entry.alive ? "true" : "false") + "}";
  std::printf("{\"time_ms\":%lld,\"total\":%llu,\"used\":%llu,\"entries\":[%s]}\n", static_cast<long long>(WallMilliseconds()), static_cast<unsigned long long>(view.total), static_cast<unsigned long long>(view.used), entries.c_str());
  return 0;
}

}  // namespace
}  // namespace standin

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "serve") return standin::Serve(arguments);
  if (command == "pool") return standin::ShowPool(arguments);
  if (command == "--version" || command == "-v") return std::puts(standin::Knobs::FromEnvironment().version.c_str()), 0;
  standin::UsageError("vllm", command.empty() ? "the following arguments are required: subparser" : "argument subparser: invalid choice: '" + command + "' (choose from 'chat', 'complete', 'serve', 'launch', 'bench', 'collect-env', 'run-batch')");
}
