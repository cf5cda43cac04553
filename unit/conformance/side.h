// Why: one of the two API servers that are compared: the operator's requests go through its own port,
// everybody else's through the calls below.
// May not: compare, or hide a difference.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reconcile/ports.h"
#include "sim/api_server.h"

namespace strix::conformance {

// Everything that there is, in the order of names.
struct Objects {
  std::vector<api::InferenceStack> stacks;
  std::vector<api::Pod> pods;
  std::vector<api::Service> services;
};

struct PodReport {
  std::string phase;  // Running, Succeeded, Failed
  int exit_code = 0;
  WallMillis when = 0;
};

// All objects are in this namespace.
inline constexpr const char* ns = "llm";

// Owner: the one thread of the comparison.
class Side {
 public:
  virtual ~Side() = default;
  virtual std::string_view name() const = 0;
  virtual WallMillis wall() const = 0;

  // As the operator does it.
  virtual void operate(const std::function<void(reconcile::Cluster&)>& what) = 0;

  // A person. `manifest` is the whole object as JSON.
  virtual Status create_stack(const std::string& manifest) = 0;
  virtual Status edit_context(const std::string& stack, int tier, int64_t tokens) = 0;
  virtual Status edit_suspend(const std::string& stack, bool suspend) = 0;
  virtual Status annotate_stack(const std::string& stack, const std::string& name,
                                const std::string& value) = 0;
  virtual Status delete_stack(const std::string& stack, sim::Propagation propagation) = 0;
  virtual Status delete_pod(const std::string& pod, const sim::Preconditions& given,
                            std::optional<int64_t> grace_seconds) = 0;
  virtual Status set_pod_finalizers(const std::string& pod, const std::vector<std::string>& finalizers) = 0;

  // Scheduler and kubelet.
  virtual Status bind_pod(const std::string& pod, const std::string& node) = 0;
  virtual Status report_pod(const std::string& pod, const std::string& uid, const PodReport& report) = 0;

  // Until the garbage collector has nothing left to do, where it does not act by itself.
  virtual void collect() = 0;
  virtual Result<Objects> look() = 0;
  virtual Status clear() = 0;  // nothing is left
};

}  // namespace strix::conformance
