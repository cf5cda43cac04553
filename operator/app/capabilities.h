// Why: the capability table in force: the built-in one, behind the rows of a ConfigMap that a person may edit
// while the operator runs.
// May not: take over a table with an error in it: the last good one stays.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "app/events.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "planner/capability_table.h"

namespace strix::app {

// What came of one version of the ConfigMap.
struct OverrideRead {
  std::shared_ptr<const planner::CapabilityTable> table;  // null: it is refused
  size_t rows = 0;                                        // of its own
  std::string complaint;                                  // why it is refused, with line, row and field
};
OverrideRead read_override(const api::ConfigMap& map);

void describe_capability_metrics(metrics::Registry& registry);

// table() and ready() are thread-safe. Owner of the rest: the main thread. The client, the registry and the
// sink outlive it.
class Capabilities {
 public:
  // `name` empty: no ConfigMap, and the built-in table alone.
  Capabilities(kube::Client& client, metrics::Registry& registry, std::string namespace_, std::string name);

  void start();
  void stop();
  // The ConfigMap has been looked for, and read where it is there.
  bool ready() const { return !informer_ || read_once_; }
  std::shared_ptr<const planner::CapabilityTable> table() const;

  // Reads what has changed since the last call, and logs what came of it. True: another table is in force.
  bool refresh();
  // Records what is wrong with the ConfigMap, once for each version of it. For the leader.
  void tell(EventWriter& events);

 private:
  void take(const api::ConfigMap& map);
  void put(std::shared_ptr<const planner::CapabilityTable> table);

  metrics::Registry& registry_;
  const std::string namespace_, name_;
  std::unique_ptr<kube::Informer<api::ConfigMap>> informer_;
  std::string read_version_;                         // of the ConfigMap; empty: there was none
  std::atomic<bool> read_once_ = false;              // it was looked for, and read where it was there
  std::optional<kube::ObjectReference> complained_;  // what tell() has not told yet
  std::string complaint_;
  mutable std::mutex mutex_;
  std::shared_ptr<const planner::CapabilityTable> table_;  // under mutex_
};

}  // namespace strix::app
