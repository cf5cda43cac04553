#include "reconcile/gates.h"

#include <fmt/format.h>

#include "api/names.h"

namespace strix::reconcile {

namespace {

std::optional<Verdict> name_taken(const TierContext& c) {
  if (c.pod && !c.pod_is_ours() && !c.pod_is_orphan()) {
    if (c.pod->metadata.deleting())
      return Verdict{"PreviousPodTerminating",
                     fmt::format("waits until pod {} of an earlier stack is gone", c.pod_name())};
    return Verdict{
        "PodNameTaken",
        fmt::format("pod {} exists and belongs to something else; delete or rename it", c.pod_name())};
  }
  auto refused = c.observed->refusals.find(c.tier->name);
  if (refused != c.observed->refusals.end() && !c.pod) return refused->second;
  return std::nullopt;
}

std::string selector_text(const api::StackNode& entry) {
  std::string text;
  for (const auto& [key, value] : entry.selector) text += (text.empty() ? "" : ",") + key + "=" + value;
  return text;
}

std::optional<Verdict> node_unknown(const TierContext& c) {
  const NodeMatch& node = *c.node;
  if (node.one()) return std::nullopt;
  if (node.matches.empty())
    return Verdict{std::string(names::reason_node_not_found),
                   fmt::format("no node has the labels {} of spec.nodes {}", selector_text(*node.entry),
                               node.entry->name)};
  return Verdict{std::string(names::reason_node_ambiguous),
                 fmt::format("{} nodes have the labels {} of spec.nodes {} ({}, {}); one must",
                             node.matches.size(), selector_text(*node.entry), node.entry->name,
                             node.matches[0]->metadata.name, node.matches[1]->metadata.name)};
}

std::optional<Verdict> memory_short(const TierContext& c) {
  if (!c.memory_short) return std::nullopt;
  return Verdict{std::string(names::reason_memory_short), *c.memory_short};
}

std::optional<Verdict> node_not_ready(const TierContext& c) {
  const api::Node& node = *c.node->one();
  if (node.ready) return std::nullopt;
  return Verdict{std::string(names::reason_node_not_ready),
                 fmt::format("node {} is not Ready: {}", node.metadata.name, node.ready_message)};
}

// One line on where a predecessor is; the time is when it got there, so that the text does not age.
std::string where(const TierContext& predecessor) {
  const api::TierStatus* status = predecessor.current;
  if (!status) return fmt::format("{} (not started)", predecessor.tier->name);
  return fmt::format("{} ({} since {})", predecessor.tier->name, status->state, format_time(status->since));
}

std::optional<Verdict> predecessors(const TierContext& c) {
  std::string waiting;
  for (const TierContext* predecessor : c.predecessors) {
    if (!predecessor->wanted || predecessor->serving()) continue;
    // Without an explicit startAfter a tier that cannot start by its own numbers holds nobody up.
    if (c.tier->start_after.empty() && predecessor->memory_short) continue;
    waiting += (waiting.empty() ? "" : ", ") + where(*predecessor);
  }
  if (waiting.empty()) return std::nullopt;
  return Verdict{"Predecessor", "waits until it serves: " + waiting};
}

std::optional<Verdict> finalizer(const TierContext& c) {
  if (c.observed->stack->metadata.has_finalizer(names::finalizer)) return std::nullopt;
  return Verdict{"Preparing", "waits until the stack carries its finalizer"};
}

}  // namespace

const std::vector<Gate>& gates_before_pod() {
  static const std::vector<Gate> gates = {
      {"NameTaken", name_taken},      // somebody else's pod is never touched
      {"NodeUnknown", node_unknown},  // a pod is made for one node, with that node's devices
      {"MemoryShort", memory_short},  // what cannot fit by its own numbers is not started
  };
  return gates;
}

const std::vector<Gate>& gates_before_window() {
  static const std::vector<Gate> gates = {
      {"NodeNotReady", node_not_ready},  // nothing hopeless sits in the window
      {"Predecessor", predecessors},     // rule 4
      {"Finalizer", finalizer},          // a tier that runs is stopped in order
  };
  return gates;
}

std::optional<Verdict> first_that_holds(const std::vector<Gate>& gates, const TierContext& context) {
  for (const Gate& gate : gates)
    if (auto verdict = gate.holds(context)) return verdict;
  return std::nullopt;
}

}  // namespace strix::reconcile
