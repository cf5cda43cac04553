// The process: what has to happen before any thread exists, then the command.

#include <curl/curl.h>
#include <malloc.h>

#include <csignal>
#include <iostream>

#include "app/app.h"
#include "app/options.h"
#include "app/version.h"

namespace {

// 1. Memory goes back to the machine that needs it: one arena for all threads, large buffers by mmap.
void tune_malloc() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

// 2. Signals are waited for by the main thread; every other thread inherits the block. A closed socket is an
//    error to return, not a reason to die.
void block_signals() {
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGTERM);
  sigaddset(&waited, SIGINT);
  pthread_sigmask(SIG_BLOCK, &waited, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int run_offline(const strix::app::Options& options) {
  using Command = strix::app::Options::Command;
  strix::offline::Streams streams{std::cin, std::cout, std::cerr};
  if (options.command == Command::Validate) return strix::offline::validate(options.offline, streams);
  if (options.command == Command::Render) return strix::offline::render(options.offline, streams);
  return strix::offline::plan(options.offline, streams);
}

}  // namespace

int main(int argc, char** argv) {
  tune_malloc();
  strix::app::ParsedOptions parsed = strix::app::parse_options(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  if (parsed.options.command == strix::app::Options::Command::Version) {
    std::cout << strix::app::version_text() << "\n";
    return 0;
  }
  if (parsed.options.command != strix::app::Options::Command::Run) return run_offline(parsed.options);
  block_signals();
  curl_global_init(CURL_GLOBAL_DEFAULT);  // 3. once, before any thread
  int code = strix::app::run(parsed.options.run);
  curl_global_cleanup();
  return code;
}
