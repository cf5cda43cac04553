// Why: what observing and acting need from the world, as interfaces: the reconcilers see no HTTP, no curl and
// no cache implementation, and the simulation and the tests stand in for all of it.
// May not: decide; each call does one thing and says how it went.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/core.h"
#include "api/inference_stack.h"
#include "base/result.h"
#include "base/time.h"
#include "engines/engine.h"
#include "reconcile/pressure.h"
#include "tuning/meter.h"

namespace strix::reconcile {

// --- the cluster, written ---------------------------------------------------------------------------

struct PodRef {
  api::NamespacedName name;
  std::string uid, resource_version;
};

struct Event {
  bool warning = false;
  std::string reason;  // CamelCase, the same words as in status
  std::string action;  // what the operator did or tried
  std::string note;    // one sentence
};

// Blocking; thread-safe. Every write is refused with Canceled once leadership may have ended.
class Cluster {
 public:
  virtual ~Cluster() = default;

  virtual Status create_pod(const std::string& namespace_, const std::string& body) = 0;
  // Carries uid and resourceVersion as preconditions: a pod that changed meanwhile is not deleted.
  virtual Status delete_pod(const PodRef& pod) = 0;
  // Sets the readiness gate's condition. Precondition: the uid.
  virtual Status set_serving(const PodRef& pod, bool serving, std::string_view reason,
                             const std::string& message, WallMillis now) = 0;
  // Removes the scheduling gate and labels the pod as admitted, in one patch, with its node's boot ID.
  // Preconditions: uid and version.
  virtual Status admit_pod(const PodRef& pod, const std::string& boot_id, WallMillis now) = 0;
  // Puts our identity on a gated pod, so that a late patch of an earlier leader is refused.
  virtual Status vouch_for_pod(const PodRef& pod, const std::string& leader) = 0;
  // Makes the stack the controller of a pod that lost its owner (deleted with --cascade=orphan).
  virtual Status adopt_pod(const PodRef& pod, const api::InferenceStack& stack) = 0;
  // What the ledger counts for it. Preconditions: uid and version.
  virtual Status note_claim(const PodRef& pod, const std::string& claim) = 0;

  // AlreadyExists when somebody else has a Service of that name: it is left alone.
  virtual Status create_service(const std::string& namespace_, const std::string& body) = 0;
  // `body` is a merge patch that carries the uid.
  virtual Status apply_service(const std::string& namespace_, const std::string& name,
                               const std::string& body) = 0;
  virtual Status delete_service(const std::string& namespace_, const std::string& name,
                                const std::string& uid) = 0;

  // Both are refused when the stack is no longer at that version, and answer with its new one.
  virtual Result<std::string> set_finalizer(const api::InferenceStack& stack, bool present) = 0;
  virtual Result<std::string> apply_status(const api::InferenceStack& stack,
                                           const std::string& resource_version,
                                           const api::StackStatus& status) = 0;

  // Live reads, past every cache: what a claim is decided on.
  virtual Result<api::InferenceStack> read_stack(const api::NamespacedName& name) = 0;
  virtual Result<std::vector<api::Pod>> read_admitted_pods(const std::string& kubernetes_node) = 0;
  // The end of what the engine's container wrote; for classification only, as it may hold prompts.
  virtual Result<std::string> read_log(const api::NamespacedName& pod) = 0;
  virtual Result<std::string> read_secret(const std::string& namespace_, const std::string& name,
                                          const std::string& key) = 0;
};

// --- the cluster, as last seen -----------------------------------------------------------------------

template <typename T>
using Shared = std::shared_ptr<const T>;

// Thread-safe; every answer is a snapshot that nobody changes.
class Cache {
 public:
  virtual ~Cache() = default;
  virtual Shared<api::InferenceStack> stack(const api::NamespacedName& name) const = 0;
  virtual std::vector<api::NamespacedName> stack_names() const = 0;
  // Those that run tiers, and those that pull images for them.
  virtual std::vector<Shared<api::Pod>> pods_of_stack(const api::NamespacedName& stack) const = 0;
  virtual std::vector<Shared<api::Pod>> pull_pods_of_stack(const api::NamespacedName& stack) const = 0;
  // Every pod with our labels whose annotation or assignment names this node, owned or orphaned.
  virtual std::vector<Shared<api::Pod>> pods_of_node(const std::string& kubernetes_node) const = 0;
  virtual std::vector<Shared<api::Node>> nodes() const = 0;
  virtual std::vector<Shared<api::Service>> services_of_stack(const api::NamespacedName& stack) const = 0;
};

// What the nodes' agents measured last. Thread-safe. A reading that crosses a threshold of
// PressureThresholds, after which a parked tier would have room, or that comes after a silence wakes the
// node's key.
class NodeMemory {
 public:
  virtual ~NodeMemory() = default;
  // Absent: nobody measures there.
  virtual std::optional<NodeMemoryReading> reading(const std::string& kubernetes_node) const = 0;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void record(const api::InferenceStack& stack, const Event& event) = 0;
};

// --- the tiers, asked --------------------------------------------------------------------------------

enum class ProbePhase {
  NotListening,  // connection refused, or no answer at all yet
  Loading,       // the engine says that it loads
  WarmingUp,     // healthy; the one-token completion has not worked yet
  Serving,       // healthy and warmed up
  NotAnswering,  // was serving; has failed several times in a row since
};

struct ProbeReading {
  ProbePhase phase = ProbePhase::NotListening;
  std::string
      detail;  // "warm-up answered 500": for messages; no text of the engine's that could hold a prompt
  WallMillis since = 0;  // when this phase began
  engines::Report report;
  std::optional<engines::Load> load;  // only while draining; absent: unknown, which counts as busy
  std::optional<tuning::Interval> interval =
      {};             // the latest that ended of what it is used for, where observed
  bool told = false;  // `report` is all that the engine will say
  // Of NotAnswering: since when its health check has failed so often in a row that it will not come back by
  // itself; 0: it may.
  WallMillis wedged_since = 0;
  bool operator==(const ProbeReading&) const = default;
};

struct ProbeTarget {
  std::string uid;  // of the pod: a new pod is a new target
  api::NamespacedName stack;
  std::string pod_ip;
  api::Tier tier;
  std::string api_key;  // sent as a bearer token; never logged
  // What the pod's condition says already (the operator restarted): starts as Serving, or as NotAnswering.
  bool was_serving = false, was_silent = false;
  bool draining = false;  // read the load too, often
  bool observe = false;   // what it is used for is read, twice a minute
};

// Thread-safe. A change of a reading wakes the stack that the target belongs to.
class Prober {
 public:
  virtual ~Prober() = default;
  // The whole set of a stack's targets: new ones start, missing ones stop, known ones go on.
  virtual void watch(const api::NamespacedName& stack, std::vector<ProbeTarget> targets) = 0;
  virtual std::optional<ProbeReading> reading(const std::string& uid) const = 0;
};

}  // namespace strix::reconcile
