// Why: the rules of DESIGN.md section 3 as checks on what is true, not on what the operator believes. The
// first that is broken ends the run.
// May not: be told why something was done, or forgive an operator what it could have known.
//
// Which rule is checked where:
//   pressure          check_pressure (somebody is parked), admitted (nobody is started)
//   1 load window     created (the gate), admitted and served (window_free), admitted (node_fit, stuck_free)
//   2 ledger          check_memory, against what engines truly hold, whenever anything was written
//   3 release first   admitted (released_first), claims (one in a pass)
//   4 order           admitted (order_kept)
//   5 one pod         created (nobody restarts or evicts it), admitted (what vanished), deleted, served,
//   adopted 6 fresh facts     admitted (still_wanted), deleted (uid and version) 7 settled Run::stay_settled:
//   no write, read, event in an hour of visits 8 faults          deleted (back_off_kept) 9 truth served,
//   check_silence, deleted (drains), settled_stack (what status says) 10 it settles     check_settled, after
//   every storm; the storms crash at any write
#pragma once

#include <map>
#include <optional>
#include <string>

#include "planner/plan.h"
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
  void node_changed(const Shared<api::Node>& before, const Shared<api::Node>& after);
  void stack_changed(const Shared<api::InferenceStack>& before, const Shared<api::InferenceStack>& after);

  // --- what an operator's write did, right after it took effect
  void created(const api::Pod& pod, const std::string& body);
  void told(const api::NamespacedName& stack, const api::StackStatus& status);  // by a write of a status
  void claims(int in_this_pass);  // the window was opened, or was to be, so often in one pass
  void admitted(const api::Pod& pod, const Facts& facts);
  void served(const api::Pod& before, bool serving, bool draining, const Facts& facts);
  void deleted(const api::Pod& before, const reconcile::PodRef& given);
  void adopted(const api::Pod& before);

  // `knows_since`: since when its informers have watched.
  void leader_changed(BootMillis knows_since);
  void check_memory();    // after every step
  void check_silence();   // now and then
  void check_pressure();  // whenever the machines' agents have measured
  void check_settled();   // at the end: everything runs, or its status names the wait

 private:
  struct Life {  // of one pod
    BootMillis holds_window_since = 0, loading_since = 0, draining_since = 0, silent_since = 0;
    bool holds_window = false, by_operator = false, by_late_drain = false, vanished = false, serving = false;
    BootMillis created_at = 0, vanished_at = 0, brought_at = 0;
  };
  void created_pull(const api::Pod& pod, const std::string& body);
  void window_free(const api::Pod& pod, BootMillis listed, bool drains);
  void vanished_ended(const api::Pod& pod, const Machine& machine, BootMillis listed);
  void stuck_free(const api::Pod& pod, BootMillis listed);
  void node_fit(const api::Pod& pod);
  void memory_free(const api::Pod& pod);
  void fault_kept(const api::Pod& pod);
  void fault_read(const api::Pod& pod, const api::InferenceStack& stack);
  bool context_refused(const api::InferenceStack& stack, const api::Tier& tier) const;
  bool given_up(const api::InferenceStack& stack, const api::Tier& tier) const;
  bool quarantined(const api::InferenceStack& stack, const api::Tier& tier) const;
  bool pressed(const api::InferenceStack& stack, const api::Tier& tier);
  bool acted_since(const std::string& machine, BootMillis since);  // a tier may have been parked there
  void released_first(const api::Pod& pod, const Facts& facts);
  void order_kept(const api::Pod& pod);
  bool has_served(const api::InferenceStack& stack, const std::string& tier) const;
  bool may_be_overtaken(const api::InferenceStack& stack, const planner::Plan& plan, const api::Tier& tier);
  bool image_failed(const std::string& node, const std::string& image) const;
  bool image_awaited(const api::InferenceStack& stack, const std::string& node, const api::Tier& tier);
  void back_off_kept(const api::Pod& pod, const api::Tier& tier);
  int64_t passed_since(BootMillis boot, WallMillis wall) const;
  void still_wanted(const api::Pod& pod, const Facts& facts);
  void ours(const api::Pod& pod, const char* verb);
  Shared<api::InferenceStack> owner_of(const api::Pod& pod) const;
  void settled_stack(const api::InferenceStack& stack);
  bool excused(const api::InferenceStack& stack, const api::TierStatus& tier) const;

  struct Low {  // of a machine's memory
    BootMillis warned_since = 0, acting_since = 0, acted_at = 0;
    int64_t running = 0;  // pods that could be parked
  };

  static constexpr int64_t heard_of_nodes_millis = 20'000;  // a late watch, and a late request after it

  World& world_;
  std::optional<Violation> broken_;
  std::map<std::string, Life> lives_;               // by pod uid
  std::map<std::string, BootMillis> tier_served_;   // by "namespace/stack-tier"
  std::map<std::string, BootMillis> image_failed_;  // by "node image"
  std::map<api::NamespacedName, BootMillis> stack_edited_;
  std::map<std::string, BootMillis> node_unfit_since_;  // not Ready, or cordoned
  std::map<std::string, Low> low_;                      // by machine
  std::map<std::string, BootMillis> pressed_until_;     // by "namespace/stack-tier", as status told
  BootMillis leader_since_ = 0, knows_since_ = 0;
};

}  // namespace strix::sim
