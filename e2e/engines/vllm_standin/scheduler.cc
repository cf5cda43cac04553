// Why this file exists: see scheduler.h.
#include "scheduler.h"

#include <chrono>

namespace standin {

void Scheduler::Fill() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < max_running_) {
    Request* next = waiting_.front();
    const int64_t need = Need(*next, 1);
    if (used_ + need > blocks_ && !running_.empty()) break;  // alone it always runs: start-up made sure
    waiting_.pop_front();
    next->blocks = need;
    used_ += need;
    next->running = true;
    running_.push_back(next);
  }
  changed_.notify_all();
}

void Scheduler::Drop(Request& request) {
  running_.remove(&request);
  waiting_.remove(&request);
  used_ -= request.blocks;
  request.blocks = 0;
  request.running = false;
}

bool Scheduler::Wait(std::unique_lock<std::mutex>& lock, Request& request, const std::function<bool()>& go_on) {
  while (!request.running) {
    changed_.wait_for(lock, std::chrono::milliseconds(50));
    if (request.running) break;
    lock.unlock();
    const bool stay = go_on();
    lock.lock();
    if (!stay) {
      Drop(request);
      Fill();
      return false;
    }
  }
  return true;
}

bool Scheduler::Admit(Request& request, const std::function<bool()>& go_on) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(&request);
  Fill();
  return Wait(lock, request, go_on);
}

bool Scheduler::Step(Request& request, const std::function<bool()>& go_on) {
  std::unique_lock lock(mutex_);
  if (!Wait(lock, request, go_on)) return false;
  const int64_t need = Need(request, 1);
  while (need > request.blocks && used_ + need - request.blocks > blocks_ && running_.size() > 1) {
    // Like vLLM: the request that came last gives way, is recomputed later, and goes to the front.
    Request* victim = running_.back();
    ++preemptions_;
    ++victim->preemptions;
    Drop(*victim);
    waiting_.push_front(victim);
    if (victim == &request) {
      if (!Wait(lock, request, go_on)) return false;
      break;
    }
  }
  if (need > request.blocks) {
    used_ += need - request.blocks;
    request.blocks = need;
  }
  ++request.made;
  return true;
}

void Scheduler::Finish(Request& request) {
  std::lock_guard lock(mutex_);
  Drop(request);
  Fill();
}

Scheduler::Gauges Scheduler::Now() {
  std::lock_guard lock(mutex_);
  Gauges now;
  now.running = static_cast<int64_t>(running_.size());
  now.waiting = static_cast<int64_t>(waiting_.size());
  now.preemptions = preemptions_;
  now.usage = blocks_ > 0 ? static_cast<double>(used_) / static_cast<double>(blocks_) : 0;
  return now;
}

}  // namespace standin
