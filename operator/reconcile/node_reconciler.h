// Why: one pass over one node's load window against the world. It is the only caller of admit_pod, and it
// repeats the decision on live reads before it calls (rule 6).
// May not: decide anything that decide_window() could.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "reconcile/board.h"
#include "reconcile/stack_reconciler.h"
#include "reconcile/window.h"

namespace strix::reconcile {

// Thread-safe for different nodes; one node is passed over by one worker at a time.
class NodeReconciler {
 public:
  struct Ports {
    Cluster* cluster = nullptr;
    Cache* cache = nullptr;
    std::function<Now()> clock;
    std::function<void(const api::NamespacedName& stack)> wake_stack;
    const NodeMemory* memory = nullptr;  // null: no node has an agent
  };
  NodeReconciler(Ports ports, Board& board, std::string leader);

  PassResult reconcile(const std::string& node);

  // From the pod informer: remembers what ended without a word and when memory was given back.
  void pod_changed(const api::Pod* before, const api::Pod* after);

 private:
  struct Memory {
    BootMillis released = 0;
    std::vector<VanishedHold> vanished;
    std::string boot_id;    // what vanished is gone for good when it changes
    bool was_away = false;  // its kubelet, when last seen
    PressureMemory pressure;
    std::vector<PodRef> unanswered;  // let in, or told to drain, by a patch whose outcome is not known
    // By pod uid: what we let in, or may have, and the cache still shows as gated. Should it vanish before
    // the cache has seen that, this is all that is known of it.
    std::map<std::string, VanishedHold> let_in;
    std::map<std::string, Refusal> refusals;  // of patches, by pod uid

    void vanish(VanishedHold hold, BootMillis now) {
      hold.until = now + hold.patience_millis;
      vanished.push_back(std::move(hold));
    }
  };

  NodeObserved observe(const std::string& node);
  std::optional<int64_t> look_at_pressure(NodeObserved& observed);
  Status fence(const std::string& node);
  void remember_refusal(const NodeObserved& seen, const PodRef& pod, const Error& error);
  PassResult grant(const NodeObserved& seen, const WindowRequest& request);
  Result<bool> still_wanted(const WindowRequest& request);
  Status open(const NodeObserved& now, const WindowRequest& request);

  Ports ports_;
  Board& board_;
  std::string leader_;
  BootMillis started_;
  std::mutex mutex_;
  std::map<std::string, Memory> memories_;
};

}  // namespace strix::reconcile
