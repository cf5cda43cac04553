// Why: what befalls a run from outside: people, machines, the network.
// May not: do anything that a real cluster's people, machines and network do not do.
#pragma once

#include <memory>
#include <vector>

#include "sim/replica.h"
#include "sim/world.h"

namespace strix::sim {

// Owner: the one thread of a run.
class Troubles {
 public:
  Troubles(World& world, std::vector<std::unique_ptr<Replica>>& replicas, Election& election)
      : world_(world), replicas_(replicas), election_(election) {}

  void apply_stacks();
  void befall(const Incident& incident);
  void end();  // what lasts too long is taken back

 private:
  void edit(const Incident& incident);
  void remove(const Incident& incident);
  void pods(const Incident& incident);
  void machines(const Incident& incident);
  void doom(const Incident& incident);
  void after_doom(const Incident& incident);
  void see_clocks(const Incident& incident);
  void operators(const Incident& incident);
  void apply(size_t index);
  void foreign_pod(const Incident& incident);
  Shared<api::Pod> pod(int64_t victim) const;

  World& world_;
  std::vector<std::unique_ptr<Replica>>& replicas_;
  Election& election_;
  std::vector<api::NamespacedName> foreign_;
};

}  // namespace strix::sim
