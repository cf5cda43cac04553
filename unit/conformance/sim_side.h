// Why: the simulation's API server and its Cluster, without any trouble, as one side of the comparison.
// May not: change what the simulation answers.
#pragma once

#include "conformance/side.h"
#include "sim/cluster.h"
#include "sim/world.h"

namespace strix::conformance {

class SimSide : public Side, private sim::Host {
 public:
  SimSide();

  std::string_view name() const override { return "simulation"; }
  WallMillis wall() const override { return world_.time.now().wall; }
  void operate(const std::function<void(reconcile::Cluster&)>& what) override;
  Status create_stack(const std::string& manifest) override;
  Status edit_context(const std::string& stack, int tier, int64_t tokens) override;
  Status edit_suspend(const std::string& stack, bool suspend) override;
  Status annotate_stack(const std::string& stack, const std::string& name, const std::string& value) override;
  Status delete_stack(const std::string& stack, sim::Propagation propagation) override;
  Status delete_pod(const std::string& pod, const sim::Preconditions& given,
                    std::optional<int64_t> grace_seconds) override;
  Status set_pod_finalizers(const std::string& pod, const std::vector<std::string>& finalizers) override;
  Status bind_pod(const std::string& pod, const std::string& node) override;
  Status report_pod(const std::string& pod, const std::string& uid, const PodReport& report) override;
  void collect() override;
  Result<Objects> look() override;
  Status clear() override;

  sim::ApiServer& server() { return world_.server; }

 private:
  // The host of the one process that there is.
  bool may_write() const override { return true; }
  sim::Fiber& fiber() override { return *current_; }
  void resume(sim::Fiber& fiber) override { fiber.resume(); }
  void crash(const char*) override {}
  void claim() override {}
  bool doomed() const override { return false; }

  sim::World world_;
  sim::SimCluster cluster_;
  sim::Fiber* current_ = nullptr;
};

}  // namespace strix::conformance
