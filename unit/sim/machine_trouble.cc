#include "sim/machine.h"

// What befalls one engine.
namespace strix::sim {

namespace {
constexpr int gpu_fault = 134;
}

void Machine::kill(const std::string& uid, int exit_code) {
  die(uid, exit_code, "by itself");
}

void Machine::silence(const std::string& uid, int64_t millis) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead) return;
  story_.tell(name_, "the engine of {} falls silent for {} ms", process->pod.text(), millis);
  process->silent_since = time_.boot();
  process->silent_until = time_.boot() + millis;
}

void Machine::fault_gpu(const std::string& uid, bool resets) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead || !process->spec.gpu) return;
  process->last_words = "Memory access fault by GPU node-1 (Agent handle: 0x5) on address 0x7f.\n";
  process->gpu_faulted = true;
  die(uid, gpu_fault, "its GPU faulted");
  for (auto& other : processes_) {
    if (!resets || other.dead || !other.spec.gpu || other.jammed(time_.boot())) continue;
    other.last_words = "HW Exception by GPU node-1 (Agent handle: 0x5) reason :GPU Hang\n";
    other.gpu_faulted = true;
    time_.after(dice_.between(0, 2'000),
                [this, hit = other.uid] { die(hit, gpu_fault, "its GPU was reset"); });
  }
}

void Machine::wedge(const std::string& uid) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead || process->loading(time_.boot())) return;
  story_.tell(name_, "the engine of {} hangs", process->pod.text());
  process->wedged = true;
}

void Machine::jam(const std::string& uid, int64_t millis) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead) return;
  story_.tell(name_, "the engine of {} hangs in the driver for {} ms: nothing ends it", process->pod.text(),
              millis);
  process->wedged = true;
  process->jammed_until = time_.boot() + millis;
}

}  // namespace strix::sim
