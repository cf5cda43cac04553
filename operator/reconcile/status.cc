#include "reconcile/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/conditions.h"
#include "api/names.h"
#include "base/bytes.h"
#include "reconcile/failure.h"

namespace strix::reconcile {

namespace {

using api::Condition;

Condition condition(std::string_view type, bool value, std::string_view reason, std::string message) {
  return Condition{
      std::string(type), value ? "True" : "False", std::string(reason), std::move(message), 0, 0};
}

struct Count {
  int resident = 0, ready = 0, running = 0;
  const api::TierStatus* first_busy = nullptr;  // Starting or WarmingUp
  const api::TierStatus* first_backoff = nullptr;
  const api::TierStatus* first_stopping = nullptr;
  const api::TierStatus* first_silent = nullptr;
  const api::TierStatus* first_waiting = nullptr;
  const api::TierStatus* first_held_back = nullptr;  // GivenUp or Quarantined
  const TierContext* first_refused = nullptr;        // by the plan
  const TierContext* first_short = nullptr;          // the first of these for want of memory
  const TierContext* first_parked = nullptr;         // by the plan
  bool any_parked = false;
};

// What runs as it would be made now goes on, whatever a newer table or catalogue says.
bool refused_by_plan(const TierContext& c) {
  bool runs = c.pod && c.pod_is_ours() && c.pod_is_current() && holds_memory(*c.pod);
  return c.wanted && c.cannot_run && !runs;
}

bool is_held_back(const api::TierStatus& status) {
  return status.state == state::given_up || status.state == state::quarantined ||
         status.reason == names::reason_given_up || status.reason == names::reason_quarantined;
}

Count count_tiers(const StackContext& stack) {
  Count count;
  auto note = [](const api::TierStatus*& slot, const api::TierStatus* status) {
    if (!slot) slot = status;
  };
  for (const auto& c : stack.tiers) {
    const api::TierStatus& status = *c.current;
    if (c.wanted) ++count.resident;
    // Serves, but not what is wanted now: its change waits for something. Or not where its clients look.
    bool outdated = status.state == state::ready && c.pod &&
                    (!c.pod_is_current() || stack.observed.service_refusals.contains(c.tier->name));
    if (c.wanted && status.state == state::ready && !outdated) ++count.ready;
    if (c.pod && c.pod_is_ours()) ++count.running;
    bool refused = refused_by_plan(c);
    if (refused && !count.first_refused) count.first_refused = &c;
    if (refused && !count.first_short && c.cannot_run->reason == names::reason_memory_short)
      count.first_short = &c;
    count.any_parked = count.any_parked || c.parked;
    if (c.parked && !c.pressed() && !count.first_parked) count.first_parked = &c;
    if (status.state == state::starting || status.state == state::warming_up) note(count.first_busy, &status);
    if (status.state == state::back_off) note(count.first_backoff, &status);
    if (status.state == state::stopping || status.state == state::draining)
      note(count.first_stopping, &status);
    if (status.state == state::not_answering) note(count.first_silent, &status);
    if (c.wanted && (outdated || status.state == state::waiting)) note(count.first_waiting, &status);
    if (c.wanted && is_held_back(status)) note(count.first_held_back, &status);
  }
  count.running += static_cast<int>(stack.leftovers.size());
  if (!stack.leftovers.empty()) note(count.first_stopping, stack.leftovers.front().current);
  return count;
}

Condition node_condition(const StackContext& stack) {
  for (const auto& match : stack.nodes) {
    if (match.matches.empty())
      return condition(names::condition_node_ready, false, names::reason_node_not_found,
                       fmt::format("no node has the labels of spec.nodes {}", match.entry->name));
    if (!match.one())
      return condition(names::condition_node_ready, false, names::reason_node_ambiguous,
                       fmt::format("{} nodes have the labels of spec.nodes {}; one must",
                                   match.matches.size(), match.entry->name));
    if (!match.one()->ready)
      return condition(names::condition_node_ready, false, names::reason_node_not_ready,
                       fmt::format("node {}: {}", match.one()->metadata.name, match.one()->ready_message));
  }
  for (const auto* tiers : {&stack.tiers, &stack.leftovers})
    for (const auto& c : *tiers)
      if (c.current->reason == names::reason_node_stuck)
        return condition(names::condition_node_ready, false, names::reason_node_stuck, c.current->message);
  return condition(names::condition_node_ready, true, names::reason_nodes_ready, "");
}

Condition memory_condition(const StackContext& stack, const Count& count) {
  if (count.first_short)
    return condition(names::condition_memory_fits, false, names::reason_memory_short,
                     count.first_short->cannot_run->message);
  if (count.first_parked)
    return condition(names::condition_memory_fits, false, names::reason_parked,
                     count.first_parked->parked->message);
  for (const auto& c : stack.tiers) {
    bool known = c.claim.gpu || c.claim.host_bytes.has_value();
    if (!c.wanted || known) continue;
    Condition unknown = condition(
        names::condition_memory_fits, false, names::reason_memory_unknown,
        fmt::format("what tier {} holds is not declared; set its resources.requests.memory", c.tier->name));
    unknown.status = "Unknown";
    return unknown;
  }
  return condition(names::condition_memory_fits, true, names::reason_memory_fits, "");
}

// The worst of its nodes.
Condition pressure_condition(const StackContext& stack) {
  const PressureThresholds thresholds;
  Condition worst = condition(names::condition_memory_pressure, false, names::reason_memory_available, "");
  PressureLevel level = PressureLevel::None;
  for (const auto& match : stack.nodes) {
    if (!match.one()) continue;
    const std::string& node = match.one()->metadata.name;
    auto told = stack.observed.pressures.find(node);
    PressureLevel here = told == stack.observed.pressures.end() ? PressureLevel::Unknown : told->second.level;
    if (here == PressureLevel::Unknown && level == PressureLevel::None && worst.status == "False") {
      worst = condition(names::condition_memory_pressure, false, names::reason_not_measured,
                        fmt::format("nobody measures what is available on node {}", node));
      worst.status = "Unknown";
    }
    if (here <= level) continue;
    level = here;
    bool acts = here == PressureLevel::Acting;
    int64_t below = acts ? thresholds.act_available_bytes : thresholds.warn_available_bytes;
    worst = condition(
        names::condition_memory_pressure, true,
        acts ? names::reason_memory_pressure : names::reason_memory_low,
        fmt::format("node {} has less than {} available; {}", node, format_gib(below),
                    acts ? "the tier of the lowest priority is parked" : "no tier is started there"));
  }
  return worst;
}

std::string_view held_back_reason(const api::TierStatus& tier) {
  bool quarantined = tier.state == state::quarantined || tier.reason == names::reason_quarantined;
  return quarantined ? names::reason_quarantined : names::reason_given_up;
}

// The one reason for Ready being False, the most telling first.
Condition not_ready(const StackContext& stack, const Count& count, const Condition& node) {
  auto say = [](std::string_view reason, const api::TierStatus& tier) {
    return condition(names::condition_ready, false, reason,
                     tier.message.empty() ? tier.name : fmt::format("{}: {}", tier.name, tier.message));
  };
  if (stack.observed.stack->metadata.deleting())
    return condition(names::condition_ready, false, names::reason_deleting,
                     fmt::format("{} pods are left", count.running));
  if (stack.observed.stack->spec.suspend)
    return condition(names::condition_ready, false, names::reason_stopping,
                     fmt::format("{} pods are left", count.running));
  if (node.status == "False") return condition(names::condition_ready, false, node.reason, node.message);
  if (count.first_busy) return say(names::reason_starting, *count.first_busy);
  if (count.first_backoff) return say(names::reason_backing_off, *count.first_backoff);
  if (count.first_silent) return say(names::serving_not_answering, *count.first_silent);
  if (count.first_stopping) return say(names::reason_stopping, *count.first_stopping);
  if (count.first_refused)
    return condition(names::condition_ready, false, count.first_refused->cannot_run->reason,
                     count.first_refused->cannot_run->message);
  if (count.first_held_back) return say(held_back_reason(*count.first_held_back), *count.first_held_back);
  if (count.first_waiting) return say(names::reason_waiting, *count.first_waiting);
  return condition(names::condition_ready, false, names::reason_waiting, "");
}

std::string parked_word(const StackContext& stack) {
  std::string word;
  for (const auto& c : stack.tiers)
    if (c.parked) word += (word.empty() ? "Parked: " : ",") + c.tier->name;
  return word;
}

std::string summary_word(const StackContext& stack, const Count& count, const Condition& ready) {
  if (stack.observed.stack->metadata.deleting()) return "Deleting";
  if (ready.reason == names::reason_ready_tiers_parked) return parked_word(stack);
  if (ready.status == "True") return ready.reason == names::reason_suspended ? "Suspended" : "Ready";
  if (stack.observed.stack->spec.suspend) return "Suspending";
  if (ready.reason == names::reason_node_not_found || ready.reason == names::reason_node_ambiguous ||
      ready.reason == names::reason_node_not_ready || ready.reason == names::reason_node_stuck)
    return ready.reason;
  if (count.first_busy) return "Starting " + count.first_busy->name;
  if (count.first_backoff) return "BackOff: " + count.first_backoff->name;
  if (count.first_silent) return "NotAnswering: " + count.first_silent->name;
  if (count.first_stopping) return "Stopping " + count.first_stopping->name;
  if (count.first_refused) return count.first_refused->cannot_run->reason;
  if (count.first_held_back)
    return fmt::format("{}: {}", held_back_reason(*count.first_held_back), count.first_held_back->name);
  return "Waiting";
}

void add_memory(const StackContext& stack, api::StackStatus& status) {
  int64_t planned_all = 0, total_all = 0, headroom_all = 0;
  int fraction_all = 0;
  std::string node_names;
  for (const auto& match : stack.nodes) {
    api::NodeMemory memory;
    const api::NodeProfile& profile = stack.plan->node(match.entry->name)->profile;
    memory.node = match.entry->name;
    memory.total_bytes = profile.unified_memory_bytes;
    memory.gpu_total_bytes = profile.gpu_memory_bytes;
    memory.reserved_bytes = profile.system_reserve_bytes;
    for (const auto& c : stack.tiers) {
      if (c.node != &match) continue;
      if (c.wanted && !c.cannot_run) {
        memory.planned_bytes += c.claim.known_bytes();
        fraction_all += c.claim.gpu_fraction_milli;
      }
      if (c.pod && c.pod_is_ours() && holds_memory(*c.pod))
        memory.held_bytes += claim_of(*c.pod).known_bytes();
    }
    memory.headroom_bytes = memory.total_bytes - memory.reserved_bytes - memory.planned_bytes;
    planned_all += memory.planned_bytes;
    total_all += memory.total_bytes;
    headroom_all += memory.headroom_bytes;
    if (match.one()) node_names += (node_names.empty() ? "" : ",") + match.one()->metadata.name;
    status.memory.push_back(memory);
  }
  status.summary.gpu = format_fraction(fraction_all);
  std::string planned = format_gib(planned_all);
  status.summary.pool = planned.substr(0, planned.size() - 2) + "/" + format_gib(total_all);
  status.summary.headroom = format_gib(headroom_all);
  status.summary.nodes = node_names;
}

void put_conditions(const api::InferenceStack& stack, WallMillis now, std::vector<Condition> wanted,
                    api::StackStatus& status) {
  for (auto& c : wanted) c.observed_generation = stack.metadata.generation;
  status.conditions = api::merge_conditions(stack.status.conditions, std::move(wanted), now);
  status.observed_generation = stack.metadata.generation;
}

std::string condition_reason(const api::StackStatus& status, std::string_view type) {
  const Condition* found = api::find_condition(status.conditions, type);
  return found && found->status == "True" ? found->reason : "";
}

// A recommendation is told once.
void figure_events(const api::TierStatus* before, const api::TierStatus& after, std::vector<Event>& events) {
  bool known =
      before && before->recommended && after.recommended && before->recommended->same_as(*after.recommended);
  if (after.recommended && !known)
    events.push_back({false, std::string(names::reason_recommended), "Tune",
                      fmt::format("tier {}: {}", after.name, after.recommended->message)});
}

void tier_events(const api::TierStatus* before, const api::TierStatus& after, std::vector<Event>& events) {
  bool differs = after.reason == names::reason_engine_differs ||
                 (after.state == state::ready && (after.reason == names::reason_service_name_taken ||
                                                  after.reason == names::reason_refused));
  if (differs && !(before && before->reason == after.reason))
    events.push_back(
        {true, std::string(after.reason), "Probe", fmt::format("tier {}: {}", after.name, after.message)});
  bool no_image = after.reason == names::failure_image_pull_failed && after.state != state::back_off;
  if (no_image && !(before && before->reason == after.reason))
    events.push_back({true, after.reason, "Pull", fmt::format("tier {}: {}", after.name, after.message)});
  if (before && before->state == after.state) return;
  if (after.state == state::ready) {
    events.push_back(
        {false, "TierReady", "Start", fmt::format("tier {} serves on {}", after.name, after.endpoint)});
  } else if (after.state == state::starting) {
    events.push_back(
        {false, "TierStarting", "Start",
         fmt::format("tier {} was let into the load window of node {}", after.name, after.node)});
  } else if (after.state == state::back_off) {
    events.push_back({true, "TierFailed", "Restart", fmt::format("tier {}: {}", after.name, after.message)});
  } else if (awaits_model(&after)) {
    events.push_back({true, after.reason, "Start", fmt::format("tier {}: {}", after.name, after.message)});
  } else if (after.state == state::given_up || after.state == state::quarantined) {
    events.push_back({true, after.state == state::given_up ? "TierGivenUp" : "TierQuarantined", "Restart",
                      fmt::format("tier {}: {}", after.name, after.message)});
  } else if (after.state == state::parked) {
    events.push_back({true, "TierParked", "Stop", fmt::format("tier {}: {}", after.name, after.message)});
  } else if (after.state == state::not_answering) {
    events.push_back(
        {true, "TierNotAnswering", "Probe", fmt::format("tier {}: {}", after.name, after.message)});
  } else if (after.state == state::draining) {
    events.push_back({false, "TierDraining", "Stop", fmt::format("tier {} {}", after.name, after.message)});
  }
}

}  // namespace

void complete_status(const StackContext& stack, api::StackStatus& status,
                     std::optional<api::Condition> tuned) {
  const api::InferenceStack& object = *stack.observed.stack;
  Count count = count_tiers(stack);
  status.memory.clear();
  add_memory(stack, status);
  Condition node = node_condition(stack);
  Condition memory = memory_condition(stack, count);
  bool suspended = object.spec.suspend && count.running == 0;
  bool all_serve = !object.spec.suspend && count.resident > 0 && count.ready == count.resident &&
                   node.status == "True" && stack.leftovers.empty();
  bool off = !object.spec.suspend && count.resident == 0 && count.running == 0;
  Condition ready =
      suspended ? condition(names::condition_ready, true, names::reason_suspended, "no tier runs")
      : (all_serve || off) && !object.metadata.deleting()
          ? condition(names::condition_ready, true,
                      count.any_parked ? names::reason_ready_tiers_parked : names::reason_all_tiers_serving,
                      fmt::format("{} of {} tiers serve", count.ready, count.resident))
          : not_ready(stack, count, node);
  status.summary.ready = fmt::format("{}/{}", count.ready, count.resident);
  status.summary.status = summary_word(stack, count, ready);
  std::vector<Condition> wanted{ready};
  bool stalled = (count.first_refused || count.first_held_back) && !object.metadata.deleting();
  if (ready.status != "True" && !stalled)
    wanted.push_back(condition(names::condition_reconciling, true, ready.reason, ready.message));
  if (stalled && count.first_refused)
    wanted.push_back(condition(names::condition_stalled, true, count.first_refused->cannot_run->reason,
                               count.first_refused->cannot_run->message));
  if (stalled && !count.first_refused)
    wanted.push_back(
        condition(names::condition_stalled, true, held_back_reason(*count.first_held_back),
                  fmt::format("{}: {}", count.first_held_back->name, count.first_held_back->message)));
  wanted.push_back(node);
  wanted.push_back(memory);
  if (tuned) wanted.push_back(std::move(*tuned));
  wanted.push_back(pressure_condition(stack));
  put_conditions(object, stack.observed.now.wall, std::move(wanted), status);
}

void complete_invalid_status(const Observed& observed, const std::vector<api::FieldError>& errors,
                             api::StackStatus& status) {
  const api::InferenceStack& stack = *observed.stack;
  size_t resident = status.tiers.empty() ? stack.spec.tiers.size() : 0, ready = 0;
  for (const auto& tier : status.tiers) {
    resident += tier.state != state::off && tier.state != state::parked;
    ready += tier.state == state::ready;
  }
  status.summary.ready = fmt::format("{}/{}", ready, resident);
  status.summary.status = "Invalid";
  std::string message = api::summary_of(errors);
  put_conditions(stack, observed.now.wall,
                 {condition(names::condition_ready, false, names::reason_invalid_spec, message),
                  condition(names::condition_stalled, true, names::reason_invalid_spec, message)},
                 status);
}

std::vector<Event> events_between(const api::StackStatus& before, const api::StackStatus& after) {
  std::vector<Event> events;
  for (const auto& tier : after.tiers) {
    figure_events(before.tier(tier.name), tier, events);
    tier_events(before.tier(tier.name), tier, events);
  }
  std::string pressure = condition_reason(after, names::condition_memory_pressure);
  if (!pressure.empty() && pressure != condition_reason(before, names::condition_memory_pressure))
    events.push_back({true, pressure, "Watch",
                      api::find_condition(after.conditions, names::condition_memory_pressure)->message});
  std::string stalled = condition_reason(after, names::condition_stalled);
  if (!stalled.empty() && stalled != condition_reason(before, names::condition_stalled)) {
    const Condition* why = api::find_condition(after.conditions, names::condition_stalled);
    events.push_back({true, stalled, "Validate", why->message});
  }
  return events;
}

}  // namespace strix::reconcile
