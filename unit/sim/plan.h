// Why: all that a seed decides before the run begins, as values: the cluster, the stacks, what goes wrong how
// often, and what befalls whom when. A plan can be printed, and made smaller while it still fails.
// May not: know what the operator does with it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "sim/random.h"

namespace strix::sim {

// What may be wrong with the operator on purpose; None for the real one. Told apart by invariants.
enum class Defect {
  None,
  AdmitsWithoutVersion,    // the patch that opens the gate carries no resourceVersion
  DeletesWithoutUid,       // deletes whatever has the name
  TrustsEarlierVouching,   // every gated pod counts as vouched for by this leader
  BoardForgets,            // the node never learns what stacks want
  SkipsLiveList,           // claims on what the cache shows
  SkipsLiveGet,            // claims for the stack as the cache shows it
  ClaimsNothing,           // every entry of the ledger counts as nothing
  IgnoresTerminating,      // a pod that is going counts as gone
  ForgetsVanished,         // a pod that vanished counts as ended
  TwoLeaders,              // both replicas act
  StopsWithoutDrain,       // deletes where it should take clients away first
  TrustsAnyOwner,          // pods of another owner count as its own
  TakesLoadingForServing,  // the window closes when the engine has begun to load
  KeepsFinalizer,          // never lets go of a deleted stack
  NeverTellsStatus,        // the status is not written
  ServesUnasked,           // clients are let in before the engine has answered
  KeepsSilentServing,      // an engine that fell silent keeps its clients
  CreatesUngated,          // pods are made without the scheduling gate
  ForgetsReserved,         // what serves counts as nothing in the ledger
  WritesForever,           // every pass writes a status
  ImagesEverywhere,        // every node is believed to have every image
  CountsSleep,             // deadlines pass while the machine sleeps
  NeverRetries,            // a pass that asks to be called again is not
  ClaimsFirst,             // a stack that wants to stop one tier and start another starts first
  MakesEvictablePods,      // pods do not tolerate a kubelet that stalls
  ForgetsStuck,            // a pod that does not go counts as gone after a while
  OverlooksNode,           // every node counts as Ready
  IgnoresFaults,           // a log that tells of a faulted GPU is not read
  IgnoresPressure,         // what a node's agent measures is not read
  ParksForever,            // a node that ran short of memory counts as short ever after
  Count
};
std::string_view to_string(Defect defect);

enum class Trouble {
  EditFraction,      // one tier's share of the GPU, or its memory
  EditImage,         // one tier's, to one that is nowhere yet
  SwapFractions,     // of two tiers, in one edit
  EditContext,       // one tier's context length
  EditBack,          // an invalid spec, and back after a while
  SwitchTier,        // activation Off, or back to Always
  Suspend,           // or resume
  DeleteBackground,  // and apply again a while later
  DeleteForeground,
  DeleteOrphan,
  ForceDeletePod,  // by a person
  DeletePod,       // by a person, with grace
  ForeignPod,      // somebody's pod with our labels and a tier's name, for a while
  KillEngine,      // dies by itself
  SilenceEngine,   // stops answering for a while
  WedgeEngine,     // stops answering for good, and runs on
  FaultGpu,        // dies of the GPU, and says so in its log; may take all others on it along
  JamEngine,       // the same, and not even SIGKILL ends it, for minutes or until the machine reboots
  RebootNode,
  StallKubelet,
  CordonNode,
  TakeMemory,  // another process takes what is left of the node's memory, for a while
  CrashOperator,
  LoseLease,
  SetClock,   // the clock on the wall jumps, forward or back
  Sleep,      // of the one machine that all is on; the lease is lost in it, or is not
  BreakApi,   // nothing is answered for a while
  StopWatch,  // one replica's informers hear nothing for a while, then list again
  Count
};
std::string_view to_string(Trouble trouble);

struct Incident {
  int64_t at_millis = 0;  // since the run began
  Trouble trouble = Trouble::EditContext;
  int64_t victim = 0;  // which pod, stack, node or replica, modulo how many there are
  int64_t millis = 0;  // how long, where it lasts
  int64_t amount = 0;  // how much, where that matters
};

// In thousandths.
struct Rates {
  int64_t conflict = 0, throttled = 0, unavailable = 0;
  int64_t lost_request = 0, lost_answer = 0;  // Timeout before, and after, it took effect
  int64_t late_request = 0;                   // Timeout, and it takes effect seconds later all the same
  int64_t slow_request = 0;
  int64_t crash = 0;  // at any one write
  int64_t slow_watch = 0, relist = 0, repeat_event = 0;
  int64_t die_loading = 0, hang_loading = 0, ignore_term = 0, leak = 0, rejected = 0, pull = 0;
};

struct Plan {
  uint64_t seed = 0;
  int replicas = 1;
  int64_t storm_millis = 0;
  int64_t latency_millis_max = 4, lag_millis_max = 20;
  Rates rates;
  std::vector<api::NodeProfile> machines;
  std::vector<api::InferenceStack> stacks;
  std::vector<int64_t> applied_at;  // of each stack
  std::vector<Incident> incidents;
};

Plan plan_of(uint64_t seed);
std::string describe(const Plan& plan);

// Tries to take things out of the plan for as long as `fails` says that it still fails as before.
Plan shrink(Plan plan, const std::function<bool(const Plan&)>& fails);

}  // namespace strix::sim
