// Why: `kubectl describe` shows events; the API server keeps them in etcd. So repetitions are counted
// instead of written again, a storm is summarised, and an object that changes too often is silenced.
// May not: make anybody wait, or let an event decide anything: what people must see is in status too.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/metrics.h"
#include "base/result.h"
#include "base/time.h"

namespace strix::kube {

class Client;

struct ObjectReference {
  std::string api_version, kind, namespace_, name, uid, resource_version;
};

struct EventInput {
  ObjectReference regarding;
  bool warning = false;
  std::string reason;  // CamelCase, at most 128 bytes
  std::string action;  // CamelCase: what was done or tried
  std::string note;    // for people; cut to 1024 bytes
};

struct RecorderSettings {
  std::string reporting_controller;  // a qualified name: "inference.strix.dev/operator"
  std::string reporting_instance;    // at most 128 bytes
  int similar_max = 10;              // different notes with everything else equal, then they are combined
  int64_t similar_window_millis = 600'000;
  int burst = 25;  // events of one object at once, then one in every
  int64_t refill_millis = 300'000;
  size_t remembered_max = 4096;  // entries of each memory; the least recently used is forgotten
  size_t queue_max = 256;
};

// An event to be sent: the first of its kind is created, its repetitions patch the count.
struct EventWrite {
  std::string namespace_, name;
  std::string create_body;  // also for the case that the server has forgotten it
  std::string patch_body;   // empty: it was never created
};

// A map that forgets what was not used for longest. Owner: EventCore.
template <class T>
class Remembered {
 public:
  explicit Remembered(size_t entries_max) : entries_max_(entries_max) {}
  T* find(const std::string& key) {
    auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }
  T& insert(const std::string& key, T value) {
    erase(key);
    if (entries_.size() >= entries_max_) {
      by_key_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, std::move(value));
    by_key_[key] = entries_.begin();
    return entries_.front().second;
  }
  void erase(const std::string& key) {
    auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    entries_.erase(found->second);
    by_key_.erase(found);
  }
  size_t size() const { return entries_.size(); }

 private:
  size_t entries_max_;
  std::list<std::pair<std::string, T>> entries_;  // most recently used first
  std::unordered_map<std::string, typename std::list<std::pair<std::string, T>>::iterator> by_key_;
};

// Combines, counts and filters. Owner: the recorder's thread, or a test.
class EventCore {
 public:
  explicit EventCore(RecorderSettings settings);

  // What to send for this event; nothing when the object has used up its events.
  std::optional<EventWrite> record(const EventInput& input, Now now);

 private:
  struct Similar {
    std::set<uint64_t> notes;  // hashes; at most similar_max + 1
    BootMillis last = 0;
  };
  struct Bucket {
    double tokens = 0;
    BootMillis at = 0;
  };
  struct Sent {
    std::string name;
    Now first;
    BootMillis last = 0;
    int count = 0;
    bool created = false;  // otherwise it was filtered each time
  };

  bool spend(const std::string& object, BootMillis now);
  bool combined(const std::string& alike, const std::string& note, BootMillis now);
  Sent& count(const std::string& key, const EventInput& input, Now now);
  std::string create_body(const EventInput& input, const Sent& sent, WallMillis now) const;

  RecorderSettings settings_;
  Remembered<Similar> similar_;
  Remembered<Bucket> buckets_;
  Remembered<Sent> sent_;
  uint64_t sequence_ = 0;
};

// Cut at a character's boundary so that it has at most this many bytes, with "..." where something was cut.
std::string cut_note(const std::string& note, size_t bytes_max = 1024);

// What a recorder needs from the world.
struct EventPorts {
  std::function<Status(const std::string& namespace_, std::string body)> create;
  std::function<Status(const std::string& namespace_, const std::string& name, std::string body)> patch;
  std::function<Now()> now;
};
// Each call takes at most a few seconds. The client must outlive the recorder.
EventPorts event_ports(Client& client, std::string field_manager);

// Owns one thread, which starts with the object. record() may be called by any thread and never waits for
// I/O.
class Recorder {
 public:
  Recorder(EventPorts ports, RecorderSettings settings, metrics::Registry& registry);
  ~Recorder();  // as flush_and_stop(0)
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Queued; when the queue is full the oldest is dropped and counted.
  void record(EventInput input);
  // Sends what is queued, for at most this long (and one request), then ends. Later events are dropped.
  void flush_and_stop(int64_t deadline_millis);

 private:
  struct Queued {
    EventInput input;
    Now at;
  };
  static constexpr int tries_max = 4;

  void run(std::stop_token stop);
  std::optional<Queued> next(const std::stop_token& stop);
  void send(const Queued& queued, const std::stop_token& stop);
  Status send_once(const EventWrite& write);
  bool pause(int64_t millis, const std::stop_token& stop);
  void take_note(const Status& status);
  void dropped(std::string_view cause, size_t events = 1);

  const EventPorts ports_;
  const RecorderSettings settings_;
  metrics::Registry& registry_;
  EventCore core_;  // the thread's
  std::mutex mutex_;
  std::condition_variable_any wakened_;
  std::deque<Queued> queue_;  // under mutex_
  bool closed_ = false;       // under mutex_
  bool finished_ = false;     // under mutex_
  std::string last_failure_;  // the thread's
  std::jthread thread_;       // last: it uses all of the above
};

}  // namespace strix::kube
