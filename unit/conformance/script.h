// Why: one random sequence of requests, as values: what the operator, the kubelet, the scheduler and people
// ask of an API server, and what each of them believes when it asks.
// May not: know an answer; the same sequence is played to two servers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace strix::conformance {

enum class Verb {
  CreateStack,
  EditContext,  // one tier's contextLength
  EditSuspend,
  AnnotateStack,
  DeleteStack,
  SetFinalizer,
  ApplyStatus,
  ReadStack,
  CreatePod,
  AdmitPod,
  VouchForPod,
  AdoptPod,
  NoteClaim,
  SetServing,
  Drain,
  DeletePod,
  ReadAdmitted,
  CreateService,
  ApplyService,
  DeleteService,
  BindPod,           // the scheduler
  RunPod,            // the kubelet: its engine runs
  EndPod,            // the kubelet: its engine has ended
  FinishPod,         // the kubelet: it is gone
  PersonDeletesPod,  // with one grace period or another
  HoldPod,           // somebody's finalizer
  ReleasePod,
  Count
};
std::string_view to_string(Verb verb);

// What the caller takes for the object's uid and resourceVersion.
enum class Belief { Current, StaleVersion, EarlierLife, NobodysUid, NoVersion, Count };
std::string_view to_string(Belief belief);

struct Step {
  Verb verb = Verb::CreateStack;
  int stack = 0, tier = 0;  // which object; names are used again and again
  Belief belief = Belief::Current;
  int64_t number = 0;  // what to write
};

inline constexpr int stack_count = 2, tier_count = 2;

std::string stack_name(int stack);
std::string tier_name(int tier);
std::string describe(const Step& step);

// Begins with a stack and pods that run, so that what follows meets something.
std::vector<Step> script_of(uint64_t seed);

}  // namespace strix::conformance
