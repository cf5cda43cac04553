// Why: the part of a Kubernetes API server that the operator depends on, in memory: versions, uids,
// preconditions, graceful deletion, finalizers, the rule of scheduling gates, status apart from spec, and the
// garbage collector.
// May not: fail at random, be late, or know who asks; sim/cluster.h is the way to it that does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core.h"
#include "api/inference_stack.h"
#include "base/result.h"
#include "reconcile/ports.h"
#include "sim/story.h"
#include "sim/timeline.h"

namespace strix::sim {

using reconcile::Shared;

// One kind's objects, and how they came to be as they are: informers read the history at their own pace.
template <class T>
struct Table {
  struct Entry {
    api::NamespacedName key;
    Shared<T> after;  // null: gone
  };
  std::map<api::NamespacedName, Shared<T>> objects;
  std::vector<Entry> history;
  std::vector<std::function<void(const Shared<T>& before, const Shared<T>& after)>> watchers;

  Shared<T> find(const api::NamespacedName& key) const {
    auto found = objects.find(key);
    return found == objects.end() ? nullptr : found->second;
  }
};

struct Preconditions {
  enum class Of { Patch, Delete };
  std::string uid, resource_version;  // empty: none
  Of of = Of::Patch;
};

// What the kubelet and the scheduler read of a pod, which the operator never reads back.
struct PodSpec {
  std::string hostname;  // of the nodeSelector
  bool gpu = false;
  int gpu_fraction_milli = 0;  // as the engine's own flag has it
  int64_t host_bytes = 0;
  int64_t context_length_tokens = 0;
  bool always_pulls = false;
};

// What the garbage collector puts on an owner for as long as it has to act.
inline constexpr std::string_view orphan_finalizer = "orphan", foreground_finalizer = "foregroundDeletion";

bool owned_by(const api::ObjectMeta& meta, const std::string& uid);

enum class Propagation { Background, Foreground, Orphan };

// Owner: the one thread of a run. Every call is one atomic step.
class ApiServer {
 public:
  ApiServer(Timeline& time, Story& story) : time_(time), story_(story) {}

  Table<api::InferenceStack> stacks;
  Table<api::Pod> pods;
  Table<api::Service> services;
  Table<api::Node> nodes;

  // --- pods
  Status create_pod(const std::string& body);
  // `change` answers whether it changed anything: a patch that does not makes no new version.
  Status patch_pod(const api::NamespacedName& key, const Preconditions& given,
                   const std::function<bool(api::Pod&)>& change);
  // The scheduler's word.
  Status bind_pod(const api::NamespacedName& key, const std::string& node);
  Status adopt_pod(const api::NamespacedName& key, const Preconditions& given,
                   const api::OwnerReference& owner);
  Status set_pod_finalizers(const api::NamespacedName& key, const std::vector<std::string>& finalizers);
  // Without a grace period: the pod's own.
  Status delete_pod(const api::NamespacedName& key, const Preconditions& given,
                    std::optional<int64_t> grace_seconds = {});
  const PodSpec& spec_of(const std::string& uid) const { return specs_.at(uid); }

  // --- services
  Status create_service(const std::string& body);
  Status patch_service(const api::NamespacedName& key, const std::string& body);
  Status delete_service(const api::NamespacedName& key, const Preconditions& given);

  // --- stacks
  Status create_stack(api::InferenceStack stack);
  // `change` answers whether it changed anything.
  Status edit_stack(const api::NamespacedName& key, const std::function<bool(api::StackSpec&)>& change);
  Status annotate_stack(const api::NamespacedName& key, const std::string& name, const std::string& value);
  Status delete_stack(const api::NamespacedName& key, Propagation propagation);
  Result<std::string> set_finalizers(const api::NamespacedName& key, const Preconditions& given,
                                     const std::vector<std::string>& finalizers);
  Result<std::string> apply_status(const api::NamespacedName& key, const std::string& resource_version,
                                   const api::StackStatus& status);

  // --- nodes
  void put_node(api::Node node);

  // One round of the garbage collector. True when it changed something.
  bool collect();

  int64_t version() const { return version_; }

 private:
  template <class T>
  void commit(Table<T>& table, T object);
  template <class T>
  void erase(Table<T>& table, const api::NamespacedName& key);
  template <class T>
  Result<Shared<T>> find(const Table<T>& table, const api::NamespacedName& key,
                         const Preconditions& given) const;
  Status touch(api::InferenceStack stack, bool changed);
  void begin_life(api::ObjectMeta& meta);
  void finish_if_free(const api::NamespacedName& stack);
  bool collect_for(const api::InferenceStack& owner);
  bool collect_ownerless();

  Timeline& time_;
  Story& story_;
  int64_t version_ = 1000;
  int64_t uids_ = 0;
  std::map<std::string, PodSpec> specs_;  // by uid
  std::set<std::string> untouched_;       // stacks that nobody has written since they were made, by uid
  std::map<api::NamespacedName, std::string> applied_;  // the last status of each stack, as JSON
};

template <class T>
void ApiServer::commit(Table<T>& table, T object) {
  object.metadata.resource_version = std::to_string(++version_);
  api::NamespacedName key = object.metadata.key();
  Shared<T> before = table.find(key), after = std::make_shared<const T>(std::move(object));
  table.objects[key] = after;
  table.history.push_back({key, after});
  for (const auto& watcher : table.watchers) watcher(before, after);
}

template <class T>
void ApiServer::erase(Table<T>& table, const api::NamespacedName& key) {
  Shared<T> before = table.find(key);
  ++version_;
  table.objects.erase(key);
  table.history.push_back({key, nullptr});
  for (const auto& watcher : table.watchers) watcher(before, nullptr);
}

// Cut to whole seconds, as metav1.Time is on the wire.
inline WallMillis whole_seconds(WallMillis wall) {
  return wall / 1000 * 1000;
}

}  // namespace strix::sim
