// Why: reconcile's Cache port on top of four informers, and which change wakes whom.
// May not: write, or decode: api/codec.h does.
#pragma once

#include <functional>
#include <string>

#include "kube/client.h"
#include "kube/informer.h"
#include "reconcile/ports.h"

namespace strix::app {

// Reading is thread-safe. The wakes are called on the loop's thread and must only enqueue.
class InformerCache : public reconcile::Cache {
 public:
  struct Wakes {
    std::function<void(const api::NamespacedName&)> stack;
    std::function<void(const api::NamespacedName&)> stack_later;  // nobody waits for what this brings
    std::function<void()> every_stack;
    std::function<void(const std::string& node)> node;
    std::function<void(const api::Pod* before, const api::Pod* after)> pod_changed;
  };
  InformerCache(kube::Client& client, metrics::Registry& registry, const std::string& watched_namespace,
                Wakes wakes);

  void start();
  void stop();
  bool synced() const;

  reconcile::Shared<api::InferenceStack> stack(const api::NamespacedName& name) const override;
  std::vector<api::NamespacedName> stack_names() const override;
  std::vector<reconcile::Shared<api::Pod>> pods_of_stack(const api::NamespacedName& stack) const override;
  std::vector<reconcile::Shared<api::Pod>> pull_pods_of_stack(
      const api::NamespacedName& stack) const override;
  std::vector<reconcile::Shared<api::Pod>> pods_of_node(const std::string& kubernetes_node) const override;
  std::vector<reconcile::Shared<api::Node>> nodes() const override;
  std::vector<reconcile::Shared<api::Service>> services_of_stack(
      const api::NamespacedName& stack) const override;

 private:
  kube::Informer<api::InferenceStack> stacks_;
  kube::Informer<api::Pod> pods_;
  kube::Informer<api::Node> nodes_;
  kube::Informer<api::Service> services_;
};

}  // namespace strix::app
