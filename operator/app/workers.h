// Why: the threads that take keys from the work queue and make passes: the one place where a pass's result
// becomes a retry, a metric and a log line.
// May not: look into a pass.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "kube/workqueue.h"
#include "reconcile/node_reconciler.h"
#include "reconcile/stack_reconciler.h"

namespace strix::app {

// One queue holds both kinds of keys, so that a single bound holds for all work.
std::string stack_key(const api::NamespacedName& stack);
std::string node_key(const std::string& node);

void describe_worker_metrics(metrics::Registry& registry);

// Owned by the main thread; each worker thread owns the key that it took until it is done with it.
class Workers {
 public:
  Workers(kube::Workqueue& queue, reconcile::StackReconciler& stacks, reconcile::NodeReconciler& nodes,
          metrics::Registry& registry);
  ~Workers() { stop(); }

  void start(int count);
  void stop();  // lets passes under way finish

 private:
  void work(std::stop_token stop);
  reconcile::PassResult pass(const std::string& key);
  void note(const std::string& key, const reconcile::PassResult& result);

  kube::Workqueue& queue_;
  reconcile::StackReconciler& stacks_;
  reconcile::NodeReconciler& nodes_;
  metrics::Registry& registry_;
  std::mutex mutex_;
  std::map<std::string, std::string> last_errors_;  // by key: the same error is logged once
  std::vector<std::jthread> threads_;
};

}  // namespace strix::app
