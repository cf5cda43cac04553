// Why: a failing run is told as a story: one line for each thing that happened, when and by whom. While
// nobody listens it costs nothing.
// May not: influence what happens.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "sim/timeline.h"

namespace strix::sim {

// Owner: the one thread of a run.
class Story {
 public:
  Story(const Timeline& time, bool told) : time_(time), told_(told) {}

  template <class... Args>
  void tell(std::string_view actor, fmt::format_string<Args...> text, Args&&... args) {
    if (told_) add(actor, fmt::format(text, std::forward<Args>(args)...));
  }
  bool told() const { return told_; }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void add(std::string_view actor, const std::string& text) {
    int64_t millis = time_.boot() - Timeline::boot_begin;
    lines_.push_back(fmt::format("{:>5}.{:03} s  {:<10} {}", millis / 1000, millis % 1000, actor, text));
  }

  const Timeline& time_;
  bool told_ = false;
  std::vector<std::string> lines_;
};

}  // namespace strix::sim
