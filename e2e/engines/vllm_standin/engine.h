// Why this file exists: this is the part that behaves like vLLM's engine: it takes memory in the order
// that makes two starts at once go wrong, checks what vLLM checks in vLLM's words, and dies in its ways.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "faults.h"
#include "metrics.h"
#include "model.h"
#include "pool.h"
#include "scheduler.h"
#include "settings.h"

namespace standin {

class Engine {
 public:
  Engine(const Options& options, const Knobs& knobs, Pool& pool, Faults& faults) : options(options), knobs(knobs), pool(pool), faults(faults) {}

  const Options& options;
  const Knobs& knobs;
  Pool& pool;
  Faults& faults;

  // What the load found out. Written before `ready` is set, constant from then on.
  Model model;
  int64_t max_model_len = 0, block_size = 16, blocks = 0, max_num_seqs = 256;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Metrics> metrics;

  std::atomic<bool> ready{false};
  std::atomic<bool> core_dead{false};  // the engine is gone, its API server still answers
  std::atomic<int> open_streams{0};

  // Prints, claims and checks until the engine could serve, or ends the process. Runs on a thread of its own.
  void Load();
  // Ends the process in the way `kind` names; returns only where that takes time, as with engine-died.
  void Die(const std::string& kind);
  // Orderly: what vLLM does on SIGTERM.
  [[noreturn]] void Terminate();
  [[noreturn]] void Exit(int code);

  double SinceStart() const;
  std::optional<double> SinceReady() const;
  void FirstHealthAnswer();
  void FirstCompletion();

 private:
  using Clock = std::chrono::steady_clock;
  [[noreturn]] void Fail(int site, const std::string& cause);
  [[noreturn]] void FailBeforeEngine(const std::vector<std::string>& lines, bool configuration);
  void Until(double part_of_load);
  void CheckConfiguration();
  void OpenDevice();
  void ClaimInSteps(uint64_t bytes, int steps, double from, double to, int site);
  std::string OutOfMemory(uint64_t bytes);

  const Clock::time_point started_ = Clock::now();
  std::atomic<int64_t> ready_at_{-1};  // milliseconds after the start
  std::mutex exit_;
  std::atomic<bool> health_told_{false}, completion_told_{false};
  std::once_flag proven_;
};

}  // namespace standin
