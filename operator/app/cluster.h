// Why: reconcile's Cluster port on top of the Kubernetes client: which request each action is, and which
// preconditions it carries.
// May not: decide, or write once leadership may have ended.
#pragma once

#include <functional>
#include <string>

#include "kube/client.h"
#include "reconcile/ports.h"

namespace strix::app {

// Thread-safe, as the client is. `may_write` is asked right before every write.
class KubeCluster : public reconcile::Cluster {
 public:
  KubeCluster(kube::Client& client, std::string watched_namespace, std::function<bool()> may_write);

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
  Result<std::string> read_log(const api::NamespacedName& pod) override;
  Result<std::string> read_secret(const std::string& namespace_, const std::string& name,
                                  const std::string& key) override;

 private:
  Status patch_pod(const reconcile::PodRef& pod, std::string_view subresource, std::string body);
  Status check_leading() const;

  kube::Client& client_;
  std::string watched_namespace_;
  std::function<bool()> may_write_;
};

}  // namespace strix::app
