// Why: what a node that runs out of memory gives up, and when it may have it back. The ledger keeps what
// tiers are told to hold within the machine; this is for what it cannot know: other processes, and engines
// that take more than they were told. The kubelet's eviction, cgroups and earlyoom do not see what the GPU
// maps.
// May not: do I/O, or guess: without a measurement nothing is parked and nothing comes back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core.h"
#include "base/bytes.h"
#include "base/time.h"

namespace strix::reconcile {

enum class PressureLevel {
  Unknown,  // nobody measures, or the last measurement is too old
  None,
  Warning,  // nothing more is started
  Acting,   // tiers are parked, one after another
};

// Of MemAvailable. Warning lies above acting, so that there is time between the two.
struct PressureThresholds {
  int64_t warn_available_bytes = 3 * gib;
  int64_t act_available_bytes = 3 * gib / 2;
};

struct NodeMemoryReading {
  int64_t available_bytes = 0;  // MemAvailable, which falls as the GPU maps memory
  BootMillis at = 0;
  bool operator==(const NodeMemoryReading&) const = default;
};

// A tier that has its place on the node, from whichever stack.
struct PressureTier {
  enum class Stage { Absent, Loading, Running, Going };  // what its pod does
  std::string pod;                                       // "namespace/name"
  api::NamespacedName stack;
  WallMillis stack_created = 0;
  int priority = 50;
  int order = 0;            // in its stack's start order
  int64_t holds_bytes = 0;  // when it runs, by plan
  bool parked = false;      // by pressure, as its stack's status says
  Stage stage = Stage::Absent;

  // What its stack knows is the same; the stage is the node's to see.
  bool same_as(const PressureTier& other) const {
    return pod == other.pod && stack == other.stack && priority == other.priority && order == other.order &&
           holds_bytes == other.holds_bytes && parked == other.parked;
  }
};

// What one process remembers of a node between two looks at it. Lost with the process: every wait then begins
// anew, and who is parked is read off `PressureTier::parked`.
struct PressureMemory {
  PressureLevel level = PressureLevel::Unknown;
  BootMillis lower_since = 0;                    // since when the level would be a lower one
  BootMillis changed_at = 0;                     // when a tier was last parked or let back
  std::set<std::string> seen;                    // whose `PressureTier::parked` was taken over
  std::map<std::string, BootMillis> parked;      // by pod: since when
  std::map<std::string, BootMillis> room_since;  // by pod: since when there is room for it to come back
};

struct PressureObserved {
  Now now;
  std::optional<NodeMemoryReading> reading;
  PressureThresholds thresholds;
  std::vector<PressureTier> tiers;
  BootMillis released = 0;  // when a tier's memory was last given back
  PressureMemory memory;
};

struct PressureDecision {
  PressureMemory memory;  // its `parked` is who is to be parked now
  std::optional<int64_t> retry_after_millis;
};

// What a node's stacks are told.
struct NodePressure {
  PressureLevel level = PressureLevel::Unknown;
  std::set<std::string> parked;  // pods
  bool operator==(const NodePressure&) const = default;
};

// An agent measures every second or so; one that has said nothing for this long has measured nothing.
inline constexpr int64_t pressure_stale_millis = 60'000;
// The level falls after so long below it, and a tier comes back after so long with room for it.
inline constexpr int64_t pressure_calm_millis = 60'000;
// A tier that was parked stays so for at least this long: its load is the dearest thing on the machine.
inline constexpr int64_t pressure_parked_millis = 5 * 60'000;
// After memory was given back, or a tier was parked, its effect is awaited before another one is parked.
inline constexpr int64_t pressure_settle_millis = 10'000;

// At most one tier is parked or let back by one decision, and none while another one is on its way. Parked
// first: the one that loads, since nothing else can be stopped before its window closes; then the lowest
// priority, ties: the younger stack, then the later in start order. Comes back first: the reverse, among
// those there is room for.
PressureDecision decide_pressure(const PressureObserved& observed);

}  // namespace strix::reconcile
