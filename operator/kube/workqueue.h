// Why: reconcilers work on keys, one worker a key at a time, and a key that changes while it is being
// worked on is worked on again: the semantics of client-go's workqueue, which every controller is written
// against.
// May not: hold events or objects (a key is enough: workers look at the world as it is now), or drop a
// key.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/metrics.h"
#include "base/time.h"

namespace strix::kube {

// Later: for keys whose work nobody is waiting for. They are taken when nothing else is ready, and now and
// then besides, so that they never starve.
enum class Urgency { Normal, Later };

struct WorkqueueSettings {
  std::string name;  // the metrics' label
  int64_t failure_initial_millis = 5;
  int64_t failure_ceiling_millis = 60'000;
  // Over all keys together, against our own bugs: this many retries at once, then so many a second.
  int retries_burst = 100;
  int retries_per_second = 10;
};

// The queue without its lock, its waiting and its clock. Owner: Workqueue (under its lock), or a test.
class WorkqueueCore {
 public:
  explicit WorkqueueCore(WorkqueueSettings settings) : settings_(std::move(settings)) {}

  // Each returns whether a worker may have something to take now that it had not before.
  bool add(const std::string& key, BootMillis now, Urgency urgency = Urgency::Normal);
  bool add_after(const std::string& key, int64_t millis, BootMillis now);
  bool done(const std::string& key, BootMillis now);

  // After a failure: waits longer each time until forget(). Returns the delay that was chosen.
  int64_t rate_limit_millis(const std::string& key, BootMillis now);
  void forget(const std::string& key) { failures_.erase(key); }
  int num_requeues(const std::string& key) const;

  // Moves what has become due to the end of the queue; returns how many keys that were.
  size_t promote(BootMillis now);
  // The first key of the queue, which counts as being processed until done().
  std::optional<std::string> take(BootMillis now);
  // The earliest deadline of add_after that has not been moved yet.
  std::optional<BootMillis> next_deadline() const;

  // Nothing is taken in any more; what is queued is still handed out.
  void shut_down();
  bool shutting_down() const { return shutting_down_; }
  // Shut down, and nothing queued or being processed.
  bool drained() const { return shutting_down_ && queued_ == 0 && processing_.empty(); }

  size_t depth() const { return queued_; }
  size_t delayed() const { return deadlines_.size(); }
  size_t processing() const { return processing_.size(); }
  bool ready() const { return queued_ > 0; }
  const WorkqueueSettings& settings() const { return settings_; }

  // What the shell's metrics are made of: how long the key taken last had waited, the one done last had been
  // worked on, and, for all that are being worked on now, the sum and the longest, in milliseconds.
  int64_t last_wait_millis() const { return last_wait_millis_; }
  int64_t last_work_millis() const { return last_work_millis_; }
  std::pair<int64_t, int64_t> unfinished_millis(BootMillis now) const;
  uint64_t adds_total() const { return adds_total_; }
  uint64_t retries_total() const { return retries_total_; }

 private:
  struct Dirty {  // needs work
    BootMillis since = 0;
    Urgency urgency = Urgency::Normal;
  };
  int64_t bucket_millis(BootMillis now);
  void enqueue(const std::string& key, Urgency urgency);
  std::string take_first();

  WorkqueueSettings settings_;
  // A key that became urgent while it stood in later_ stands in both; there its entry means nothing any more.
  std::deque<std::string> ready_, later_;
  size_t queued_ = 0;
  unsigned turn_ = 0;
  std::unordered_map<std::string, Dirty> dirty_;
  std::unordered_map<std::string, BootMillis> processing_;  // being worked on; since when
  std::map<std::string, BootMillis> delayed_;
  std::set<std::pair<BootMillis, std::string>> deadlines_;  // delayed_, by deadline
  std::unordered_map<std::string, int> failures_;
  BootMillis bucket_full_at_ = 0;
  int64_t last_wait_millis_ = 0, last_work_millis_ = 0;
  uint64_t adds_total_ = 0, retries_total_ = 0;
  bool shutting_down_ = false;
};

// The families of all queues together; before the first Workqueue of a registry is made.
void describe_workqueue_metrics(metrics::Registry& registry);

// Thread-safe; owned by app, used by informer handlers (add) and reconcile workers (next, done).
class Workqueue {
 public:
  Workqueue(WorkqueueSettings settings, metrics::Registry& registry);
  Workqueue(const Workqueue&) = delete;
  Workqueue& operator=(const Workqueue&) = delete;

  void add(const std::string& key, Urgency urgency = Urgency::Normal);
  void add_after(const std::string& key, int64_t millis);  // an earlier deadline of the same key wins
  void add_rate_limited(const std::string& key);
  void forget(const std::string& key);
  int num_requeues(const std::string& key) const;

  // Blocks until there is a key, the queue was shut down and is empty, or stop was requested: then nothing.
  std::optional<std::string> next(std::stop_token stop);
  // Must follow every next() that gave a key, whatever came of the work.
  void done(const std::string& key);

  void shut_down();
  // Shuts down and waits until nothing is queued or being worked on; false when the deadline passed first.
  bool shut_down_with_drain(int64_t deadline_millis);

  size_t depth() const;
  // Brings the gauges that depend on time up to date; call it before /metrics is printed.
  void update_metrics();

 private:
  void publish_locked();

  metrics::Registry& registry_;
  const metrics::Labels labels_;
  mutable std::mutex mutex_;
  std::condition_variable_any wakened_;
  WorkqueueCore core_;
  uint64_t adds_published_ = 0, retries_published_ = 0;
};

}  // namespace strix::kube
