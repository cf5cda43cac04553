#include "sim/replica.h"

namespace strix::sim {

Replica::Replica(World& world, int index)
    : world_(world), index_(index), dice_(world.plan.seed, fmt::format("replica{}", index)) {
  start();
}

void Replica::start() {
  std::string name = fmt::format("op{}.{}", index_, ++starts_);
  world_.story.tell(name, "starts");
  process_ = std::make_unique<Process>(world_, name, world_.plan.seed, [this] {
    passes_made_ += process_->passes_made();
    process_.reset();
    world_.time.after(dice_.between(50, 3'000), [this] { start(); });
  });
}

Process* Election::leader() {
  for (auto& replica : replicas_)
    if (Process* process = replica->process(); process && process->may_write()) return process;
  return nullptr;
}

void Election::look() {
  bool all_lead = world_.defect == Defect::TwoLeaders;
  if (leader() && !all_lead) {
    held_ = true;
    return;
  }
  BootMillis now = world_.time.boot();
  if (held_) free_at_ = now + (dice_.chance(300) ? dice_.between(2'000, 15'000) : dice_.between(0, 2'000));
  held_ = false;
  if (now < free_at_) return;
  size_t first = static_cast<size_t>(dice_.between(0, 100)) % replicas_.size();
  for (size_t i = 0; i < replicas_.size(); ++i) {
    Process* process = replicas_[(first + i) % replicas_.size()]->process();
    if (!process || !process->synced() || process->leading()) continue;
    process->lead();
    world_.rules.leader_changed(process->synced_at());
    if (!all_lead) return;
  }
}

void Election::break_up() {
  if (Process* process = leader()) process->lose();
}

}  // namespace strix::sim
