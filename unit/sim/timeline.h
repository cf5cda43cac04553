// Why: virtual time: what happens next is the earliest thing that was put down, and nothing takes time by
// itself.
// May not: read a clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "base/steady_clock.h"

namespace strix::sim {

// Owner: the one thread of a run.
class Timeline {
 public:
  // 2026-02-03T04:05:06.789Z, an hour after the machine came up.
  static constexpr WallMillis wall_begin = 1'770'091'506'789;
  static constexpr BootMillis boot_begin = 3'600'000;

  Now now() const { return {wall_of(boot_), boot_}; }
  // As a process reads them: boot() is the time in which all were awake.
  Clocks clocks() const { return {wall_of(boot_), boot_ + asleep_, boot_}; }
  // What a clock on the wall shows at that time, or would have shown, had it always gone as it goes now.
  WallMillis wall_of(BootMillis boot) const { return wall_begin + wall_ahead_ + (boot - boot_begin); }
  void set_clock(int64_t millis) { wall_ahead_ += millis; }
  // Everything stands still, and only clocks go on.
  void sleep(int64_t millis) {
    wall_ahead_ += millis;
    asleep_ += millis;
  }
  bool has_slept() const { return asleep_ > 0; }
  BootMillis boot() const { return boot_; }

  void at(BootMillis when, std::function<void()> what) {
    items_.push_back({std::max(when, boot_), ++sequence_, std::move(what)});
    std::push_heap(items_.begin(), items_.end(), later);
  }
  void after(int64_t millis, std::function<void()> what) { at(boot_ + millis, std::move(what)); }

  BootMillis next() const {
    return items_.empty() ? std::numeric_limits<BootMillis>::max() : items_.front().when;
  }
  // Lets the next thing happen.
  void step() {
    std::pop_heap(items_.begin(), items_.end(), later);
    Item item = std::move(items_.back());
    items_.pop_back();
    boot_ = item.when;
    item.what();
  }

 private:
  struct Item {
    BootMillis when = 0;
    uint64_t sequence = 0;
    std::function<void()> what;
  };
  static bool later(const Item& a, const Item& b) {
    return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
  }

  BootMillis boot_ = boot_begin;
  int64_t wall_ahead_ = 0, asleep_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Item> items_;
};

}  // namespace strix::sim
