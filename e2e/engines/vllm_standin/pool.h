// Why this file exists: on unified memory all engines draw from one pool, and what one of them does
// changes what the next one measures. No CI machine has such a pool, so it is a file that every
// instance of the stand-in, in whatever container, maps its claims into. The same file's log is what
// a test reads to prove in which order things happened.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace standin {

int64_t WallMilliseconds();

// One handle per process. Every method may be called from any thread; each takes the file's lock for
// the few microseconds that it needs.
class Pool {
 public:
  struct Entry {
    uint64_t id = 0;
    uint64_t bytes = 0;
    int64_t beat_ms = 0;
    std::string model, phase;
    bool alive = false;
  };
  struct View {
    uint64_t total = 0;
    uint64_t used = 0;
    std::vector<Entry> entries;
    uint64_t Free() const { return used < total ? total - used : 0; }
  };

  // An empty path gives a pool of one's own in memory. `total` is written to the file where given;
  // otherwise the file's own total stands, or 124 GiB in a new file. With `create` false a file that
  // is not there is an error.
  static std::unique_ptr<Pool> Open(const std::string& path, std::optional<uint64_t> total, bool create, std::string* error);
  ~Pool();

  bool Register(const std::string& model, int64_t release_ms);
  // What everybody holds. Entries whose owner is gone for long enough are dropped here.
  View Look();
  // Adds to this instance's claim. False, and nothing claimed, where the pool would overflow.
  bool Claim(uint64_t bytes, View* before = nullptr);
  void SetPhase(const std::string& phase);
  void Beat();
  // The owner is gone from now on, though its process may live: the claim ages from here.
  void Leave();
  uint64_t Mine();

  // Appends one line to the log. `more` is either empty or JSON fields that begin with a comma.
  void Event(const std::string& what, const std::string& more = "");

 private:
  Pool() = default;
  struct Slot;
  class Locked;
  void Log(uint64_t id, const std::string& model, uint64_t bytes, const std::string& what, const std::string& more);
  bool Held(int index) const;
  View Reap();
  void Save();

  std::mutex mutex_;
  int file_ = -1;
  int log_ = -1;
  int mine_ = -1;  // index of our slot
  uint64_t id_ = 0, bytes_ = 0;
  int64_t release_ms_ = 1000;
  std::string model_, phase_;
};

}  // namespace standin
