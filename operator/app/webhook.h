// Why: the admission webhook of this process: its port, its certificates, and what it says of a stack, put
// together from serve/ and the Kubernetes client.
// May not: hold logic that could live in a folder below.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/options.h"
#include "kube/client.h"
#include "planner/capability_table.h"
#include "serve/rotation.h"
#include "serve/webhook.h"

namespace strix::app {

// Owner: the main thread. Serves whether or not this process leads.
class Webhook {
 public:
  // What the reconciler judges by, too.
  struct Measures {
    api::Policy policy;
    std::function<std::shared_ptr<const planner::CapabilityTable>()> capabilities;  // any thread
  };
  // Opens the port; until start() it shows no certificate and so takes no request. Errors: those of the port.
  // The client and the registry outlive it.
  static Result<std::unique_ptr<Webhook>> open(const RunOptions& options, Measures measures,
                                               kube::Client& client, metrics::Registry& registry);
  void start();
  void stop();  // no review is answered after it; what is asked below still is
  ~Webhook() { stop(); }

  std::optional<std::string> not_ready() const;  // why the port shows no certificate yet
  void update_metrics() const;

 private:
  Webhook(const RunOptions& options, Measures measures, kube::Client& client, metrics::Registry& registry);

  const serve::Admission admission_;
  metrics::Registry& registry_;
  kube::Client client_;
  const std::shared_ptr<serve::Identity> identity_ = std::make_shared<serve::Identity>();
  const std::shared_ptr<serve::PortLoad> load_ = std::make_shared<serve::PortLoad>();
  std::unique_ptr<serve::Rotation> rotation_;
  std::unique_ptr<serve::Listener> listener_;
};

// Engines, models and quantisations that are known not to work together, as errors.
serve::Opinion opinion_of_combinations(const api::InferenceStack& stack,
                                       const planner::CapabilityTable& capabilities);

// What the plan of a valid stack finds that keeps tiers from running, as warnings: a spec that does not fit
// is legal, and may be on its way to another machine.
serve::Opinion opinion_of_plan(const api::InferenceStack& stack,
                               const planner::CapabilityTable& capabilities);

}  // namespace strix::app
