// Why: one of the operator's replicas: a process that is started anew whenever it has ended; and the lease,
// which at most one of them holds.
// May not: keep memory across processes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/process.h"

namespace strix::sim {

// Owner: the one thread of a run.
class Replica {
 public:
  Replica(World& world, int index);

  Process* process() { return process_.get(); }
  int64_t passes_made() const { return passes_made_ + (process_ ? process_->passes_made() : 0); }

 private:
  void start();

  World& world_;
  const int index_;
  Random dice_;
  int starts_ = 0;
  int64_t passes_made_ = 0;
  std::unique_ptr<Process> process_;
};

// Gives the lease to a replica that is ready for it, some time after the last holder has ended. Owner: the
// one thread of a run.
class Election {
 public:
  Election(World& world, std::vector<std::unique_ptr<Replica>>& replicas)
      : world_(world), replicas_(replicas), dice_(world.plan.seed, "election") {}

  void look();  // every now and then
  Process* leader();
  void break_up();  // the holder loses it, and lives on for a moment

 private:
  World& world_;
  std::vector<std::unique_ptr<Replica>>& replicas_;
  Random dice_;
  BootMillis free_at_ = 0;
  bool held_ = false;
};

}  // namespace strix::sim
