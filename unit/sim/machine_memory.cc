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

int64_t Machine::context_most_tokens(int gpu_fraction_milli) const {
  return short_of_context_ ? 3'000 + int64_t{10} * gpu_fraction_milli : INT64_MAX;
}

// What vLLM does first: its share has to be free of what the machine really has.
void Machine::measures_free(const std::string& uid) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead || !process->spec.gpu) return;
  int64_t held = 0;
  for (const auto& other : processes_)
    if (&other != process && other.holds(time_.boot())) held += other.gpu_bytes;
  int64_t own = process->gpu_bytes + process->spec.host_bytes;
  int64_t free = std::min(gpu_total_bytes_ - held, available_bytes() + own);
  if (free >= process->gpu_bytes) return;
  auto in_gib = [](int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(gib); };
  process->last_words = fmt::format(
      "ValueError: Free memory on device cuda:0 ({:.2f}/{:.2f} GiB) on startup is less than desired GPU "
      "memory "
      "utilization ({:.2f}, {:.2f} GiB).\n",
      in_gib(std::max<int64_t>(free, 0)), in_gib(gpu_total_bytes_),
      static_cast<double>(process->spec.gpu_fraction_milli) / 1000, in_gib(process->gpu_bytes));
  die(uid, 1, "its share is not free");
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
