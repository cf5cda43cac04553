#include "kube/workqueue.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "kube/backoff.h"

namespace strix::kube {

// --- the core ---------------------------------------------------------------------------------------

namespace {

// One key of so many is taken from those that may wait.
constexpr unsigned later_turn = 8;

}  // namespace

bool WorkqueueCore::add(const std::string& key, BootMillis now, Urgency urgency) {
  if (shutting_down_) return false;
  auto [dirty, fresh] = dirty_.emplace(key, Dirty{now, urgency});
  bool more_urgent = !fresh && urgency == Urgency::Normal && dirty->second.urgency == Urgency::Later;
  if (!fresh && !more_urgent) return false;
  dirty->second.urgency = urgency;
  if (fresh) ++adds_total_;
  if (processing_.count(key) > 0) return false;  // done() queues it again
  if (more_urgent) --queued_;
  enqueue(key, urgency);
  return true;
}

void WorkqueueCore::enqueue(const std::string& key, Urgency urgency) {
  (urgency == Urgency::Normal ? ready_ : later_).push_back(key);
  ++queued_;
}

std::string WorkqueueCore::take_first() {
  auto stale = [&](const std::string& key) {
    auto dirty = dirty_.find(key);
    return dirty == dirty_.end() || dirty->second.urgency == Urgency::Normal || processing_.count(key) > 0;
  };
  while (!later_.empty() && stale(later_.front())) later_.pop_front();
  bool from_later = !later_.empty() && (ready_.empty() || ++turn_ % later_turn == 0);
  std::deque<std::string>& queue = from_later ? later_ : ready_;
  INVARIANT(!queue.empty());
  std::string key = std::move(queue.front());
  queue.pop_front();
  --queued_;
  return key;
}

bool WorkqueueCore::add_after(const std::string& key, int64_t millis, BootMillis now) {
  if (shutting_down_) return false;
  ++retries_total_;
  if (millis <= 0) return add(key, now);
  BootMillis at = now + millis;
  auto [entry, fresh] = delayed_.emplace(key, at);
  if (!fresh) {
    if (entry->second <= at) return false;
    deadlines_.erase({entry->second, key});
    entry->second = at;
  }
  deadlines_.emplace(at, key);
  return deadlines_.begin()->second == key;  // whoever waits has to wait for less
}

bool WorkqueueCore::done(const std::string& key, BootMillis now) {
  auto worked_on = processing_.find(key);
  INVARIANT(worked_on != processing_.end());
  last_work_millis_ = now - worked_on->second;
  processing_.erase(worked_on);
  if (auto dirty = dirty_.find(key); dirty != dirty_.end()) {
    enqueue(key, dirty->second.urgency);
    return true;
  }
  return shutting_down_ && processing_.empty();
}

int64_t WorkqueueCore::rate_limit_millis(const std::string& key, BootMillis now) {
  int& failures = failures_[key];
  int64_t own =
      exponential_millis(settings_.failure_initial_millis, 2.0, failures, settings_.failure_ceiling_millis);
  ++failures;
  return std::max(own, bucket_millis(now));
}

// A token bucket, kept as the time at which it is full again.
int64_t WorkqueueCore::bucket_millis(BootMillis now) {
  int64_t token_millis = 1000 / std::max(1, settings_.retries_per_second);
  bucket_full_at_ = std::max(bucket_full_at_, now) + token_millis;
  return std::max<int64_t>(0, bucket_full_at_ - now - token_millis * settings_.retries_burst);
}

int WorkqueueCore::num_requeues(const std::string& key) const {
  auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

size_t WorkqueueCore::promote(BootMillis now) {
  size_t moved = 0;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    std::string key = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    delayed_.erase(key);
    if (add(key, now)) ++moved;
  }
  return moved;
}

std::optional<std::string> WorkqueueCore::take(BootMillis now) {
  promote(now);
  if (queued_ == 0) return std::nullopt;
  std::string key = take_first();
  auto dirty = dirty_.find(key);
  INVARIANT(dirty != dirty_.end());
  last_wait_millis_ = now - dirty->second.since;
  dirty_.erase(dirty);
  bool alone = processing_.emplace(key, now).second;
  INVARIANT(alone);
  return key;
}

std::optional<BootMillis> WorkqueueCore::next_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

void WorkqueueCore::shut_down() {
  shutting_down_ = true;
  delayed_.clear();
  deadlines_.clear();
}

std::pair<int64_t, int64_t> WorkqueueCore::unfinished_millis(BootMillis now) const {
  int64_t sum = 0;
  int64_t longest = 0;
  for (const auto& [key, since] : processing_) {
    sum += now - since;
    longest = std::max(longest, now - since);
  }
  return {sum, longest};
}

// --- the shell --------------------------------------------------------------------------------------

namespace {

double seconds(int64_t millis) {
  return static_cast<double>(millis) / 1000.0;
}

// The condition variable counts on a clock that stands still while the machine sleeps. A wait for a deadline
// is therefore never longer than this, so that after a resume the deadline is late by no more.
constexpr int64_t nap_millis_max = 5'000;
constexpr int64_t idle_millis_max = 60'000;

}  // namespace

void describe_workqueue_metrics(metrics::Registry& registry) {
  const std::vector<double> bounds{0.001, 0.01, 0.1, 1, 10, 100, 1000};
  registry.describe("workqueue_depth", "gauge", "Keys that wait for a worker.");
  registry.describe("workqueue_adds_total", "counter", "Keys added.");
  registry.describe("workqueue_retries_total", "counter", "Keys added with a delay.");
  registry.describe_histogram("workqueue_queue_duration_seconds", "How long keys waited for a worker.",
                              bounds);
  registry.describe_histogram("workqueue_work_duration_seconds", "How long keys were worked on.", bounds);
  registry.describe("workqueue_unfinished_work_seconds", "gauge",
                    "How long the keys that are being worked on have been, together.");
  registry.describe("workqueue_longest_running_processor_seconds", "gauge",
                    "How long the key that is being worked on for longest has been.");
}

Workqueue::Workqueue(WorkqueueSettings settings, metrics::Registry& registry)
    : registry_(registry), labels_{{"name", settings.name}}, core_(std::move(settings)) {
  registry_.set("workqueue_depth", labels_, 0);
  registry_.add("workqueue_adds_total", labels_, 0);
  registry_.add("workqueue_retries_total", labels_, 0);
}

void Workqueue::add(const std::string& key, Urgency urgency) {
  std::lock_guard lock(mutex_);
  if (core_.add(key, boot_now(), urgency)) wakened_.notify_one();
  publish_locked();
}

void Workqueue::add_after(const std::string& key, int64_t millis) {
  std::lock_guard lock(mutex_);
  if (core_.add_after(key, millis, boot_now())) wakened_.notify_one();
  publish_locked();
}

void Workqueue::add_rate_limited(const std::string& key) {
  std::lock_guard lock(mutex_);
  BootMillis now = boot_now();
  if (core_.add_after(key, core_.rate_limit_millis(key, now), now)) wakened_.notify_one();
  publish_locked();
}

void Workqueue::forget(const std::string& key) {
  std::lock_guard lock(mutex_);
  core_.forget(key);
}

int Workqueue::num_requeues(const std::string& key) const {
  std::lock_guard lock(mutex_);
  return core_.num_requeues(key);
}

std::optional<std::string> Workqueue::next(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    BootMillis now = boot_now();
    if (auto key = core_.take(now)) {
      // This worker may be away for long: another one has to look after the rest, and after the deadlines.
      if (core_.ready() || core_.next_deadline()) wakened_.notify_one();
      registry_.observe("workqueue_queue_duration_seconds", labels_, seconds(core_.last_wait_millis()));
      publish_locked();
      return key;
    }
    if (core_.shutting_down()) break;
    auto deadline = core_.next_deadline();
    int64_t millis = deadline ? std::clamp<int64_t>(*deadline - now, 1, nap_millis_max) : idle_millis_max;
    wakened_.wait_for(lock, stop, std::chrono::milliseconds(millis), [&] {
      return core_.ready() || core_.shutting_down() || core_.next_deadline() != deadline;
    });
  }
  return std::nullopt;
}

void Workqueue::done(const std::string& key) {
  std::lock_guard lock(mutex_);
  if (core_.done(key, boot_now())) wakened_.notify_all();
  registry_.observe("workqueue_work_duration_seconds", labels_, seconds(core_.last_work_millis()));
  publish_locked();
}

void Workqueue::shut_down() {
  std::lock_guard lock(mutex_);
  core_.shut_down();
  wakened_.notify_all();
}

bool Workqueue::shut_down_with_drain(int64_t deadline_millis) {
  std::unique_lock lock(mutex_);
  core_.shut_down();
  wakened_.notify_all();
  return wakened_.wait_for(lock, std::chrono::milliseconds(deadline_millis), [&] { return core_.drained(); });
}

size_t Workqueue::depth() const {
  std::lock_guard lock(mutex_);
  return core_.depth();
}

void Workqueue::update_metrics() {
  std::lock_guard lock(mutex_);
  auto [sum, longest] = core_.unfinished_millis(boot_now());
  registry_.set("workqueue_unfinished_work_seconds", labels_, seconds(sum));
  registry_.set("workqueue_longest_running_processor_seconds", labels_, seconds(longest));
  publish_locked();
}

void Workqueue::publish_locked() {
  registry_.set("workqueue_depth", labels_, static_cast<double>(core_.depth()));
  registry_.add("workqueue_adds_total", labels_, static_cast<double>(core_.adds_total() - adds_published_));
  registry_.add("workqueue_retries_total", labels_,
                static_cast<double>(core_.retries_total() - retries_published_));
  adds_published_ = core_.adds_total();
  retries_published_ = core_.retries_total();
}

}  // namespace strix::kube
