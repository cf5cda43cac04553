// Why this file exists: see pool.h.
//
// Layout: a header and 64 fixed slots, each written by one pwrite under flock, so that a process
// killed at any instruction leaves a readable file. Two facts tell whether an owner lives: it holds a
// byte-range lock on its slot, which the kernel drops at its death however that comes, and it
// refreshes a heartbeat. The lock is there because a heartbeat alone would take memory away from an
// instance that merely got no CPU for a second on a busy CI machine; the heartbeat dates the death,
// and serves alone on file systems without such locks. Both work across pid namespaces.
#include "pool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "json.h"

namespace standin {
namespace {

constexpr int kSlots = 64;
constexpr off_t kFirstSlot = 4096;
constexpr char kMagic[8] = {'S', 'T', 'R', 'X', 'P', 'L', '0', '1'};
constexpr uint64_t kDefaultTotal = 124ull << 30;
constexpr uint32_t kLeft = 1, kDeathLogged = 2;

struct Header {
  char magic[8];
  uint64_t total;
};

template <size_t N>
void Copy(char (&to)[N], const std::string& from) {
  std::memset(to, 0, N);
  std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

std::string Hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

struct Pool::Slot {
  uint64_t id, bytes;
  int64_t beat_ms, release_ms;
  uint32_t used, flags;
  char phase[24];
  char model[192];
  static off_t At(int index) { return kFirstSlot + static_cast<off_t>(index) * static_cast<off_t>(sizeof(Slot)); }
};

// Bounded, because a stopped process could sit on the lock: after five seconds we go on without it.
class Pool::Locked {
 public:
  explicit Locked(Pool& pool) : guard_(pool.mutex_), file_(pool.file_) {
    for (int i = 0; i < 5000 && flock(file_, LOCK_EX | LOCK_NB) != 0; ++i) usleep(1000);
  }
  ~Locked() { flock(file_, LOCK_UN); }

 private:
  std::lock_guard<std::mutex> guard_;
  int file_;
};

int64_t WallMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

std::unique_ptr<Pool> Pool::Open(const std::string& path, std::optional<uint64_t> total, bool create, std::string* error) {
  std::unique_ptr<Pool> pool(new Pool);
  if (path.empty()) {
    pool->file_ = memfd_create("pool", MFD_CLOEXEC);
  } else {
    // Containers run as different users, hence the wide mode, which the umask must not narrow.
    pool->file_ = open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0666);
    if (pool->file_ >= 0) {
      (void)fchmod(pool->file_, 0666);
      pool->log_ = open((path + ".log").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
      if (pool->log_ >= 0) (void)fchmod(pool->log_, 0666);
    }
  }
  if (pool->file_ < 0) {
    *error = path + ": " + std::strerror(errno);
    return nullptr;
  }
  if (getrandom(&pool->id_, sizeof pool->id_, 0) != sizeof pool->id_ || pool->id_ == 0) pool->id_ = static_cast<uint64_t>(WallMilliseconds()) ^ static_cast<uint64_t>(getpid()) << 48;
  Locked locked(*pool);
  Header header{};
  const bool fresh = pread(pool->file_, &header, sizeof header, 0) != sizeof header || std::memcmp(header.magic, kMagic, sizeof kMagic) != 0;
  if (fresh || (total && *total != header.total)) {
    if (fresh && ftruncate(pool->file_, Slot::At(kSlots)) != 0) {
      *error = path + ": " + std::strerror(errno);
      return nullptr;
    }
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.total = total.value_or(kDefaultTotal);
    (void)!pwrite(pool->file_, &header, sizeof header, 0);
  }
  return pool;
}

Pool::~Pool() {
  if (log_ >= 0) close(log_);
  if (file_ >= 0) close(file_);
}

bool Pool::Held(int index) const {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = Slot::At(index);
  lock.l_len = 1;
  return fcntl(file_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Pool::View Pool::Reap() {
  View view;
  Header header{};
  (void)!pread(file_, &header, sizeof header, 0);
  view.total = header.total;
  const int64_t now = WallMilliseconds();
  Slot slots[kSlots];
  if (pread(file_, slots, sizeof slots, kFirstSlot) != sizeof slots) return view;
  for (int i = 0; i < kSlots; ++i) {
    Slot& slot = slots[i];
    if (!slot.used) continue;
    const std::string model(slot.model, strnlen(slot.model, sizeof slot.model));
    const int64_t age = now - slot.beat_ms;
    const bool old = age > slot.release_ms || age < -60000;  // a clock that jumped back must not hold memory for ever
    const bool alive = i == mine_ || Held(i);
    if (!alive && !(slot.flags & kDeathLogged) && !(slot.flags & kLeft) && (age > 300 || old)) {
      // 300 ms: three missed heartbeats, so that an owner on a file system without range locks is
      // not called dead between two of them.
      slot.flags |= kDeathLogged;
      Log(slot.id, model, slot.bytes, "died", ",\"last_seen_ms\":" + std::to_string(slot.beat_ms));
      (void)!pwrite(file_, &slot, sizeof slot, Slot::At(i));
    }
    if (!alive && old) {
      Log(slot.id, model, slot.bytes, "released", "");
      slot = {};
      (void)!pwrite(file_, &slot, sizeof slot, Slot::At(i));
      continue;
    }
    view.used += slot.bytes;
    view.entries.push_back({slot.id, slot.bytes, slot.beat_ms, model, std::string(slot.phase, strnlen(slot.phase, sizeof slot.phase)), (alive || age <= 300) && !(slot.flags & kLeft)});
  }
  return view;
}

void Pool::Save() {
  if (mine_ < 0) return;
  Slot slot{};
  slot.id = id_;
  slot.bytes = bytes_;
  slot.beat_ms = WallMilliseconds();
  slot.release_ms = release_ms_;
  slot.used = 1;
  Copy(slot.phase, phase_);
  Copy(slot.model, model_);
  (void)!pwrite(file_, &slot, sizeof slot, Slot::At(mine_));
}

bool Pool::Register(const std::string& model, int64_t release_ms) {
  Locked locked(*this);
  model_ = model;
  release_ms_ = release_ms;
  Reap();
  for (int i = 0; i < kSlots; ++i) {
    Slot slot{};
    if (pread(file_, &slot, sizeof slot, Slot::At(i)) != sizeof slot || slot.used) continue;
    mine_ = i;
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = Slot::At(i);
    lock.l_len = 1;
    (void)fcntl(file_, F_OFD_SETLK, &lock);
    Save();
    return true;
  }
  return false;
}

Pool::View Pool::Look() {
  Locked locked(*this);
  return Reap();
}

bool Pool::Claim(uint64_t bytes, View* before) {
  Locked locked(*this);
  View view = Reap();
  const bool fits = view.used + bytes <= view.total;
  if (before) *before = view;
  if (fits) {
    bytes_ += bytes;
    Save();
  }
  return fits;
}

void Pool::SetPhase(const std::string& phase) {
  Locked locked(*this);
  phase_ = phase;
  Save();
}

void Pool::Beat() {
  Locked locked(*this);
  Save();
  Reap();
}

void Pool::Leave() {
  Locked locked(*this);
  if (mine_ < 0) return;
  phase_ = "leaving";
  Slot slot{};
  slot.id = id_;
  slot.bytes = bytes_;
  slot.beat_ms = WallMilliseconds();
  slot.release_ms = release_ms_;
  slot.used = 1;
  slot.flags = kLeft;
  Copy(slot.phase, phase_);
  Copy(slot.model, model_);
  (void)!pwrite(file_, &slot, sizeof slot, Slot::At(mine_));
  struct flock lock {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = Slot::At(mine_);
  lock.l_len = 1;
  (void)fcntl(file_, F_OFD_SETLK, &lock);
  mine_ = -1;
}

uint64_t Pool::Mine() {
  std::lock_guard<std::mutex> guard(mutex_);
  return bytes_;
}

void Pool::Event(const std::string& what, const std::string& more) {
  std::lock_guard<std::mutex> guard(mutex_);
  Log(id_, model_, bytes_, what, more);
}

void Pool::Log(uint64_t id, const std::string& model, uint64_t bytes, const std::string& what, const std::string& more) {
  if (log_ < 0) return;
  const std::string line = "{\"time_ms\":" + std::to_string(WallMilliseconds()) + ",\"model\":" + Quote(model) + ",\"id\":\"" + Hex(id) + "\",\"what\":" + Quote(what) + ",\"bytes\":" + std::to_string(bytes) + more + "}\n";
  (void)!write(log_, line.data(), line.size());
}

}  // namespace standin
