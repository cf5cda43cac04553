// Why: the rules of DESIGN.md section 3 as checks on what is true, not on what the operator believes. The
// first that is broken ends the run.
// May not: be told why something was done, or forgive an operator what it could have known.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/api_server.h"
#include "sim/machine.h"

namespace strix::sim {

struct World;

struct Violation {
  std::string rule;  // "1 one load window per node"
  std::string what;
};

// When the operator last looked at what it acts on now.
struct Facts {
  BootMillis pods_listed = 0, stack_read = 0;
};

// Owner: the one thread of a run.
class Rules {
 public:
  explicit Rules(World& world) : world_(world) {}

  const std::optional<Violation>& broken() const { return broken_; }
  void fail(std::string rule, std::string what);

  // --- what changed, whoever changed it
  void pod_changed(const Shared<api::Pod>& before, const Shared<api::Pod>& after);
  void stack_changed(const Shared<api::InferenceStack>& before, const Shared<api::InferenceStack>& after);

  // --- what an operator's write did, right after it took effect
  void created(const api::Pod& pod);
  void admitted(const api::Pod& pod, const Facts& facts);
  void served(const api::Pod& before, bool serving, bool draining, const Facts& facts);
  void deleted(const api::Pod& before, const reconcile::PodRef& given);
  void adopted(const api::Pod& before);

  // `knows_since`: since when its informers have watched.
  void leader_changed(BootMillis knows_since);
  void check_memory();   // after every step
  void check_silence();  // now and then
  void check_settled();  // at the end: everything runs, or its status names the wait

 private:
  struct Life {  // of one pod
    BootMillis holds_window_since = 0, served_until = 0, draining_since = 0, silent_since = 0;
    bool holds_window = false, by_operator = false, by_late_drain = false, vanished = false, serving = false;
    BootMillis vanished_at = 0;
  };
  void window_free(const api::Pod& pod, BootMillis listed, bool drains);
  void order_kept(const api::Pod& pod);
  void back_off_kept(const api::Pod& pod, const api::Tier& tier);
  void still_wanted(const api::Pod& pod, const Facts& facts);
  void ours(const api::Pod& pod, const char* verb);
  Shared<api::InferenceStack> owner_of(const api::Pod& pod) const;
  void settled_stack(const api::InferenceStack& stack);
  bool excused(const api::InferenceStack& stack, const api::TierStatus& tier) const;

  World& world_;
  std::optional<Violation> broken_;
  std::map<std::string, Life> lives_;                            // by pod uid
  std::map<std::string, BootMillis> tier_served_, tier_failed_;  // by "namespace/stack-tier"
  std::map<std::string, std::string> tier_failed_hash_;
  std::map<api::NamespacedName, BootMillis> stack_edited_;
  BootMillis leader_since_ = 0, knows_since_ = 0;
};

}  // namespace strix::sim
