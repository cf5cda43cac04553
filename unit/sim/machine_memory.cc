#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "sim/machine.h"

// What a machine's memory is measured to be: its engines', and other processes'.
namespace strix::sim {

void Machine::take_memory(int64_t left_bytes, int64_t millis) {
  int64_t bytes = available_bytes() - left_bytes;
  if (bytes <= 0) return;
  story_.tell(name_, "another process takes {} for {} ms", format_gib(bytes), millis);
  foreign_bytes_ += bytes;
  time_.after(millis, [this, bytes] {
    story_.tell(name_, "another process gives back {}", format_gib(bytes));
    foreign_bytes_ -= bytes;
  });
}

int64_t Machine::available_bytes() const {
  constexpr int64_t system_bytes = 2 * gib;
  int64_t left = profile_.unified_memory_bytes - system_bytes - foreign_bytes_;
  for (const auto& process : processes_)
    if (process.holds(time_.boot())) left -= process.gpu_bytes + process.spec.host_bytes;
  return std::max<int64_t>(left, 0);
}

bool Machine::measure() {
  if (!has_agent_ || down()) return false;
  auto before = std::exchange(reading_, reconcile::NodeMemoryReading{available_bytes(), time_.clocks().boot});
  bool was_silent = !before || reading_->at - before->at > reconcile::pressure_stale_millis;
  return was_silent || reading_->available_bytes != before->available_bytes;
}

}  // namespace strix::sim
