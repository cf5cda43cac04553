// Why: an invariant that cannot fail proves nothing. These stand between the reconcilers and their ports, and
// are wrong on purpose in one way each.
// May not: touch the reconcilers, or do anything while the defect is None.
#pragma once

#include <string>

#include "sim/cluster.h"
#include "sim/lagging_cache.h"
#include "sim/sim_prober.h"

namespace strix::sim {

// Owner: one operator process.
class DefectiveCluster : public reconcile::Cluster {
 public:
  DefectiveCluster(World& world, SimCluster& inner, LaggingCache& cache)
      : world_(world), inner_(inner), cache_(cache) {}

  Status create_pod(const std::string& namespace_, const std::string& body) override;
  Status delete_pod(const reconcile::PodRef& pod) override;
  Status set_serving(const reconcile::PodRef& pod, bool serving, std::string_view reason,
                     const std::string& message, WallMillis now) override;
  Status admit_pod(const reconcile::PodRef& pod, const std::string& boot_id, WallMillis now) override;
  Status vouch_for_pod(const reconcile::PodRef& pod, const std::string& leader) override;
  Status adopt_pod(const reconcile::PodRef& pod, const api::InferenceStack& stack) override;
  Status note_claim(const reconcile::PodRef& pod, const std::string& claim) override;
  Status create_service(const std::string& namespace_, const std::string& body) override;
  Status apply_service(const std::string& namespace_, const std::string& name,
                       const std::string& body) override;
  Status delete_service(const std::string& namespace_, const std::string& name,
                        const std::string& uid) override;
  Result<std::string> set_finalizer(const api::InferenceStack& stack, bool present) override;
  Result<std::string> apply_status(const api::InferenceStack& stack, const std::string& resource_version,
                                   const api::StackStatus& status) override;
  Result<api::InferenceStack> read_stack(const api::NamespacedName& name) override;
  Result<std::vector<api::Pod>> read_admitted_pods(const std::string& kubernetes_node) override;
  Result<std::string> read_log(const api::NamespacedName& pod);
  Result<std::string> read_secret(const std::string& namespace_, const std::string& name,
                                  const std::string& key) override;

 private:
  World& world_;
  SimCluster& inner_;
  LaggingCache& cache_;
  int64_t statuses_ = 0;
};

// Owner: one operator process.
class DefectiveCache : public reconcile::Cache {
 public:
  DefectiveCache(World& world, LaggingCache& inner, std::string identity)
      : world_(world), inner_(inner), identity_(std::move(identity)) {}

  Shared<api::InferenceStack> stack(const api::NamespacedName& name) const override;
  std::vector<api::NamespacedName> stack_names() const override;
  std::vector<Shared<api::Pod>> pods_of_stack(const api::NamespacedName& stack) const override;
  std::vector<Shared<api::Pod>> pull_pods_of_stack(const api::NamespacedName& stack) const override;
  std::vector<Shared<api::Pod>> pods_of_node(const std::string& kubernetes_node) const override;
  std::vector<Shared<api::Node>> nodes() const override;
  std::vector<Shared<api::Service>> services_of_stack(const api::NamespacedName& stack) const override;

 private:
  World& world_;
  LaggingCache& inner_;
  const std::string identity_;
};

// Owner: one operator process.
class DefectiveProber : public reconcile::Prober {
 public:
  DefectiveProber(World& world, SimProber& inner) : world_(world), inner_(inner) {}
  void watch(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets) override {
    inner_.watch(stack, std::move(targets));
  }
  std::optional<reconcile::ProbeReading> reading(const std::string& uid) const override;

 private:
  World& world_;
  SimProber& inner_;
};

}  // namespace strix::sim
