// Why: one operator process from its start to its end: the composition of app/app.cc in virtual time, with
// passes as fibers. A process that has ended leaves nothing behind but requests on their way.
// May not: remember anything for the next one.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "kube/workqueue.h"
#include "reconcile/node_reconciler.h"
#include "reconcile/stack_reconciler.h"
#include "sim/cluster.h"
#include "sim/defects.h"
#include "sim/lagging_cache.h"
#include "sim/sim_prober.h"
#include "sim/world.h"

namespace strix::sim {

// Owner: Replica.
class Process : public Host {
 public:
  // `ended` is called once, from the timeline, after a crash.
  Process(World& world, std::string name, uint64_t seed, std::function<void()> ended);
  ~Process() override;

  LaggingCache& cache() { return cache_; }
  bool synced() const { return synced_at_ != never; }
  BootMillis synced_at() const { return synced_at_; }
  bool leading() const { return leading_; }
  void lead();
  void lose();  // the lease: writes are refused from now on, and the process ends
  void see_clocks() { now(); }
  void visit_all();  // every key once more, though nothing changed
  void memory_measured(const std::string& node) { add("node/" + node); }
  bool idle() const { return passes_.empty() && !queue_.ready(); }
  int64_t passes_made() const { return passes_made_; }

  bool may_write() const override { return leading_ && !lost_; }
  Fiber& fiber() override { return *current_; }
  void resume(Fiber& fiber) override;
  void crash(const char* why) override;
  void claim() override { world_.rules.claims(++claims_[current_]); }
  bool doomed() const override { return doomed_; }
  void doom() { doomed_ = true; }

 private:
  Now now();
  void add(const std::string& key, kube::Urgency urgency = kube::Urgency::Normal);
  void pump_soon(int64_t millis);
  void pump();
  void pass(const std::string& key);
  void claim_first(const api::NamespacedName& stack);
  LaggingCache::Wakes wakes();
  reconcile::StackReconciler::Ports stack_ports();
  reconcile::NodeReconciler::Ports node_ports();

  struct Events : reconcile::EventSink {
    explicit Events(World& w) : world(w) {}
    void record(const api::InferenceStack&, const reconcile::Event&) override { ++world.events; }
    World& world;
  };

  struct Memory : reconcile::NodeMemory {
    explicit Memory(World& w) : world(w) {}
    std::optional<reconcile::NodeMemoryReading> reading(const std::string& node) const override;
    World& world;
    mutable std::set<std::string> short_once;
  };

  World& world_;
  const std::string name_;
  std::function<void()> ended_;
  Random dice_;
  SteadyClock clock_;
  kube::WorkqueueCore queue_;
  reconcile::Board board_;
  Events events_;
  Memory memory_;
  LaggingCache cache_;
  SimCluster cluster_;
  SimProber prober_;
  DefectiveCluster defective_cluster_;
  DefectiveCache defective_cache_;
  DefectiveProber defective_prober_;
  reconcile::NodeReconciler nodes_;
  reconcile::StackReconciler stacks_;
  bool leading_ = false, lost_ = false, ending_ = false, doomed_ = false;
  BootMillis pump_at_ = never, synced_at_ = never;
  int64_t passes_made_ = 0;
  Fiber* current_ = nullptr;
  std::map<const Fiber*, int> claims_;  // of passes that run
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  std::list<std::unique_ptr<Fiber>> passes_;  // first to go
};

}  // namespace strix::sim
