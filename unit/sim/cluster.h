// Why: reconcile's Cluster as the network gives it: requests take time, are refused, lost, or late, and the
// process may die in any of them. Which precondition each write carries is as in app/cluster.cc.
// May not: decide what a request does; the API server does, when it arrives.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "reconcile/ports.h"
#include "sim/fiber.h"
#include "sim/random.h"
#include "sim/world.h"

namespace strix::sim {

// The process that the requests come from.
class Host {
 public:
  virtual ~Host() = default;
  virtual bool may_write() const = 0;
  virtual Fiber& fiber() = 0;             // that runs now
  virtual void resume(Fiber& fiber) = 0;  // when its answer is there
  virtual void crash(const char* why) = 0;
  virtual void claim() = 0;         // the pass that runs opens a window
  virtual bool doomed() const = 0;  // ends at its next write that opens a window, which arrives late
};

// Owner: one operator process. What is on its way outlives it.
class SimCluster : public reconcile::Cluster {
 public:
  SimCluster(World& world, Host& host, std::string name, uint64_t seed)
      : world_(world), host_(host), name_(std::move(name)), dice_(seed, name_) {}

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
  Result<std::string> read_log(const api::NamespacedName& pod);
  Result<std::string> read_secret(const std::string& namespace_, const std::string& name,
                                  const std::string& key) override;

 private:
  struct Fate {
    int64_t there_millis = 1, back_millis = 1;
    bool arrives = true;
    std::optional<Error> refused;   // by the server, instead of an effect
    std::optional<Error> answered;  // instead of the server's answer
  };
  Fate draw_fate(bool write);
  template <class T>
  Result<T> exchange(bool write, std::string what, std::function<Result<T>()> effect, bool opens = false);
  template <class T>
  Result<T> send(const Fate& fate, std::string what, std::function<Result<T>()> effect);
  Facts facts_of(const reconcile::PodRef& pod, const std::string& stack) const;

  World& world_;
  Host& host_;
  const std::string name_;
  Random dice_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // gone with the process
  // The last live list and read of each pass that is under way: several are, on as many nodes.
  std::map<const Fiber*, BootMillis> listed_;
  std::map<std::pair<const Fiber*, api::NamespacedName>, BootMillis> read_;
};

}  // namespace strix::sim
