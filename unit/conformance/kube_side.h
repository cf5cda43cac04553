// Why: a real kube-apiserver, asked through the operator's own client and its own Cluster, as the other side
// of the comparison.
// May not: retry, or answer anything that the server did not.
#pragma once

#include "app/cluster.h"
#include "base/metrics.h"
#include "conformance/side.h"
#include "kube/client.h"

namespace strix::conformance {

class KubeSide : public Side {
 public:
  explicit KubeSide(kube::Config config);

  // The namespace is there, and the garbage collector has noticed our kind of objects. Errors: Timeout.
  Status prepare();

  std::string_view name() const override { return "kube-apiserver"; }
  WallMillis wall() const override;
  void operate(const std::function<void(reconcile::Cluster&)>& what) override { what(cluster_); }
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
  void collect() override {}
  Result<Objects> look() override;
  Status clear() override;

 private:
  Status patch(const std::string& path, kube::Patch kind, std::string body);

  http::Loop loop_;
  metrics::Registry registry_;
  kube::Client client_;
  app::KubeCluster cluster_;
};

}  // namespace strix::conformance
