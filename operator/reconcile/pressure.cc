#include "reconcile/pressure.h"

#include <algorithm>
#include <tuple>

#include "reconcile/retry.h"

namespace strix::reconcile {

namespace {

using Stage = PressureTier::Stage;

PressureLevel measured_level(const PressureObserved& observed) {
  const auto& reading = observed.reading;
  if (!reading || observed.now.boot - reading->at > pressure_stale_millis) return PressureLevel::Unknown;
  if (reading->available_bytes < observed.thresholds.act_available_bytes) return PressureLevel::Acting;
  if (reading->available_bytes < observed.thresholds.warn_available_bytes) return PressureLevel::Warning;
  return PressureLevel::None;
}

// Up at once, down when it has been lower for a while; to and from Unknown at once.
void take_level(PressureLevel measured, BootMillis now, PressureMemory& memory) {
  bool known = measured != PressureLevel::Unknown && memory.level != PressureLevel::Unknown;
  bool falls = known && measured < memory.level;
  if (!falls) {
    memory.level = measured;
    memory.lower_since = 0;
    return;
  }
  if (memory.lower_since == 0) memory.lower_since = now;
  if (now - memory.lower_since < pressure_calm_millis) return;
  memory.level = measured;
  memory.lower_since = 0;
}

// The first of them is parked first, and comes back last.
bool goes_before(const PressureTier& a, const PressureTier& b) {
  auto rank = [](const PressureTier& tier) {
    return std::tuple(tier.stage != Stage::Loading, tier.priority, -tier.stack_created, -tier.order);
  };
  auto left = rank(a), right = rank(b);
  return left != right ? left < right : a.pod > b.pod;
}

// Whose memory is not there yet, or not back yet: a measurement now says nothing about the next step.
bool any_on_its_way(const PressureObserved& observed, const PressureMemory& memory) {
  return std::any_of(observed.tiers.begin(), observed.tiers.end(), [&](const PressureTier& tier) {
    bool parked = memory.parked.contains(tier.pod);
    return tier.stage == Stage::Going || (parked && tier.stage != Stage::Absent);
  });
}

void look_again(PressureDecision& decision, int64_t millis) {
  sooner(decision.retry_after_millis, std::max<int64_t>(1, millis));
}

// Only those that are there; and, of what this process sees for the first time, what an earlier one parked.
void take_parked(const PressureObserved& observed, PressureMemory& memory) {
  std::map<std::string, BootMillis> parked;
  std::set<std::string> seen;
  for (const auto& tier : observed.tiers) {
    auto known = memory.parked.find(tier.pod);
    seen.insert(tier.pod);
    if (known != memory.parked.end()) {
      parked.insert(*known);
    } else if (tier.parked && !memory.seen.contains(tier.pod)) {
      parked[tier.pod] = observed.now.boot;
    }
  }
  memory.parked = std::move(parked);
  memory.seen = std::move(seen);
}

void park_one(const PressureObserved& observed, PressureDecision& decision) {
  PressureMemory& memory = decision.memory;
  if (any_on_its_way(observed, memory)) return;
  BootMillis now = observed.now.boot;
  int64_t settles_in = std::max(memory.changed_at, observed.released) + pressure_settle_millis - now;
  bool acted = memory.changed_at != 0 || observed.released != 0;
  if (acted && settles_in > 0) return look_again(decision, settles_in);
  const PressureTier* first = nullptr;
  for (const auto& tier : observed.tiers) {
    bool holds = tier.stage == Stage::Loading || tier.stage == Stage::Running;
    if (holds && !memory.parked.contains(tier.pod) && (!first || goes_before(tier, *first))) first = &tier;
  }
  if (!first) return;
  memory.parked[first->pod] = now;
  memory.changed_at = now;
}

void let_one_back(const PressureObserved& observed, PressureDecision& decision) {
  PressureMemory& memory = decision.memory;
  BootMillis now = observed.now.boot;
  int64_t available = observed.reading->available_bytes;
  std::map<std::string, BootMillis> room;
  const PressureTier* last = nullptr;  // in the order of parking, of those there is room for
  for (const auto& tier : observed.tiers) {
    if (!memory.parked.contains(tier.pod)) continue;
    if (available < observed.thresholds.warn_available_bytes + tier.holds_bytes) continue;
    auto since = memory.room_since.find(tier.pod);
    room[tier.pod] = since == memory.room_since.end() ? now : since->second;
    if (!last || goes_before(*last, tier)) last = &tier;
  }
  memory.room_since = std::move(room);
  bool loads = std::any_of(observed.tiers.begin(), observed.tiers.end(),
                           [](const PressureTier& tier) { return tier.stage == Stage::Loading; });
  if (!last || loads || any_on_its_way(observed, memory)) return;
  BootMillis from = std::max(memory.room_since[last->pod] + pressure_calm_millis,
                             memory.parked[last->pod] + pressure_parked_millis);
  if (from > now) return look_again(decision, from - now);
  memory.parked.erase(last->pod);
  memory.room_since.erase(last->pod);
  memory.changed_at = now;
}

}  // namespace

PressureDecision decide_pressure(const PressureObserved& observed) {
  PressureDecision decision{observed.memory, std::nullopt};
  PressureMemory& memory = decision.memory;
  PressureLevel measured = measured_level(observed);
  BootMillis now = observed.now.boot;
  take_level(measured, now, memory);
  take_parked(observed, memory);
  if (measured != PressureLevel::None) memory.room_since.clear();
  if (measured == PressureLevel::Unknown) return decision;
  look_again(decision, observed.reading->at + pressure_stale_millis + 1 - now);
  if (memory.lower_since != 0) look_again(decision, memory.lower_since + pressure_calm_millis - now);
  if (measured == PressureLevel::Acting) park_one(observed, decision);
  if (measured == PressureLevel::None) let_one_back(observed, decision);
  return decision;
}

}  // namespace strix::reconcile
