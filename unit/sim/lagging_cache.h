// Why: reconcile's Cache on four informers, each at its own moment of the past; which change wakes whom is as
// in app/cache.cc.
// May not: read the API server's tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reconcile/ports.h"
#include "sim/informer.h"

namespace strix::sim {

// Owner: one operator process.
class LaggingCache : public reconcile::Cache {
 public:
  struct Wakes {
    std::function<void(const api::NamespacedName&)> stack;
    std::function<void(const api::NamespacedName&)> stack_later;
    std::function<void()> every_stack;
    std::function<void(const std::string& node)> node;
    std::function<void(const api::Pod* before, const api::Pod* after)> pod_changed;
  };
  LaggingCache(World& world, uint64_t seed, const std::string& name, Wakes wakes);

  void list();
  void written_stack() { stacks_.written(); }
  void written_pod() { pods_.written(); }
  void written_node() { nodes_.written(); }
  void written_service() { services_.written(); }
  void be_deaf(int64_t millis);

  Shared<api::InferenceStack> stack(const api::NamespacedName& name) const override;
  std::vector<api::NamespacedName> stack_names() const override;
  std::vector<Shared<api::Pod>> pods_of_stack(const api::NamespacedName& stack) const override;
  std::vector<Shared<api::Pod>> pull_pods_of_stack(const api::NamespacedName& stack) const override;
  std::vector<Shared<api::Pod>> pods_of_node(const std::string& kubernetes_node) const override;
  std::vector<Shared<api::Node>> nodes() const override;
  std::vector<Shared<api::Service>> services_of_stack(const api::NamespacedName& stack) const override;

 private:
  Random dice_;
  Wakes wakes_;
  Informer<api::InferenceStack> stacks_;
  Informer<api::Pod> pods_;
  Informer<api::Node> nodes_;
  Informer<api::Service> services_;
};

}  // namespace strix::sim
