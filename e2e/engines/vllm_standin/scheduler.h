// Why this file exists: a product reads how many requests run and wait, how full the KV cache is and
// how often requests were preempted. Those figures must follow from load, as in vLLM, not be made up:
// so requests really queue here, really take blocks, and really lose them when there are none left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

namespace standin {

class Scheduler {
 public:
  struct Request {
    int64_t prompt = 0, made = 0, blocks = 0;
    int preemptions = 0;
    bool running = false;
  };
  struct Gauges {
    int64_t running = 0, waiting = 0, preemptions = 0;
    double usage = 0;
  };

  Scheduler(int64_t max_running, int64_t blocks, int64_t block_size) : max_running_(max_running), blocks_(blocks), block_size_(block_size) {}

  // Waits until the request runs. False where `go_on` said no first; the request is then gone.
  bool Admit(Request& request, const std::function<bool()>& go_on);
  // Room for one more token; may preempt another request, or this one, which then waits again.
  bool Step(Request& request, const std::function<bool()>& go_on);
  void Finish(Request& request);
  Gauges Now();

 private:
  int64_t Need(const Request& request, int64_t more) const { return (request.prompt + request.made + more + block_size_ - 1) / block_size_; }
  void Fill();
  void Drop(Request& request);
  bool Wait(std::unique_lock<std::mutex>& lock, Request& request, const std::function<bool()>& go_on);

  const int64_t max_running_, blocks_, block_size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Request*> running_, waiting_;  // in the order of admission
  int64_t used_ = 0, preemptions_ = 0;
};

}  // namespace standin
