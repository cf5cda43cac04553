// Why: one pass over one stack against the world: observe, decide, act. All thinking is in decide().
// May not: decide anything that decide() could.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "reconcile/board.h"
#include "reconcile/decide.h"
#include "reconcile/expectations.h"
#include "reconcile/ports.h"
#include "reconcile/restarts.h"
#include "reconcile/usage_log.h"

namespace strix::reconcile {

// What the work queue does with the key afterwards.
struct PassResult {
  std::optional<int64_t> retry_after_millis;
  std::optional<Error> error;  // counted, backed off, logged
};

// Thread-safe for different stacks; one stack is passed over by one worker at a time (the work queue sees to
// it).
class StackReconciler {
 public:
  // How long a status waits for what may come right after it.
  static constexpr int64_t status_delay_millis = 25;
  static constexpr int64_t status_delay_unanswered_millis = 250;

  struct Ports {
    Cluster* cluster = nullptr;
    Cache* cache = nullptr;
    Prober* prober = nullptr;
    EventSink* events = nullptr;
    std::function<Now()> clock;
    std::function<void(const std::string& node)> wake_node;
    // The capability table in force; empty: the built-in one.
    std::function<Shared<planner::CapabilityTable>()> capabilities = {};
    // Once for each that a status tells of; empty: nobody counts.
    std::function<void(const api::NamespacedName& stack, const Restart&)> restarted = {};
    // It is no more, and what was counted of it is nobody's; empty: nobody counts.
    std::function<void(const api::NamespacedName& stack)> gone = {};
  };
  StackReconciler(Ports ports, Board& board, api::Policy policy, std::string leader);

  PassResult reconcile(const api::NamespacedName& stack);

 private:
  struct Attempt {                 // at an object that may be refused
    std::string_view verb, taken;  // the second is the reason where its name is somebody else's
    std::string object, tier;
  };
  struct Memory {  // of one stack, between passes
    Expectations expectations;
    std::map<std::string, Refusal> refusals;          // of its pod, by tier, and of pods that pull, by name
    std::map<std::string, Refusal> service_refusals;  // by tier
    bool to_tell = false;                             // of these one is new, and stands in no status yet
    std::map<std::string, std::string> api_keys;      // by pod uid
    // By pod uid: what its log says, read once; absent: nothing that is known.
    std::map<std::string, std::optional<engines::Diagnosis>> diagnoses;
    std::map<std::string, bool> without_gpu;       // by pod uid, of those whose log was read for it
    std::map<std::string, BootMillis> logs_asked;  // by pod uid: when its log was first asked for, in vain
    Shared<planner::Plan> plan;                    // of this generation of this object, by this table
    Shared<planner::CapabilityTable> plan_table;
    std::string plan_uid;
    int64_t plan_generation = 0;
    std::vector<api::Learned> plan_learned;
    UsageLog usage;
    std::string stack_version;                       // after this pass's own writes
    std::optional<BootMillis> status_differs_since;  // from what was written last
  };

  Memory& memory_of(const api::NamespacedName& stack);
  PassResult forget(const api::NamespacedName& stack);
  bool cache_lags(const api::NamespacedName& stack, Memory& memory, Now now) const;
  Observed observe(Shared<api::InferenceStack> stack, Memory& memory, Now now);
  Shared<planner::Plan> plan_of(const api::InferenceStack& stack, Memory& memory);
  std::optional<std::string> log_of(const api::Pod& pod, Observed& observed, Memory& memory);
  void read_logs(Observed& observed, Memory& memory);
  void look_for_gpu(Observed& observed, Memory& memory);
  void read_api_keys(Observed& observed, Memory& memory);
  PassResult act(const Observed& observed, const Decision& decision, Memory& memory);
  void count_restarts(const api::InferenceStack& stack, const api::StackStatus& written) const;
  Status carry_out(const Observed& observed, const Action& action, Memory& memory);
  static int64_t status_delay_left(const Observed& observed, const Decision& decision, Memory& memory);
  static Status remember_refusal(const Error& error, const Attempt& attempt, BootMillis now,
                                 std::map<std::string, Refusal>& refusals, Memory& memory);

  Ports ports_;
  Board& board_;
  api::Policy policy_;
  std::string leader_;
  std::mutex mutex_;  // guards the map, not its values
  std::map<api::NamespacedName, Memory> memories_;
};

}  // namespace strix::reconcile
