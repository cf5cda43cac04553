#include "reconcile/gates.h"

#include <fmt/format.h>

#include "api/names.h"
#include "reconcile/failure.h"

namespace strix::reconcile {

namespace {

std::optional<Verdict> name_taken(const TierContext& c) {
  if (c.pod && !c.pod_is_ours() && !c.pod_is_orphan()) {
    if (c.pod->metadata.deleting())
      return Verdict{names::reason_previous_pod_terminating,
                     fmt::format("waits until pod {} of an earlier stack is gone", c.pod_name())};
    return Verdict{
        names::reason_pod_name_taken,
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

std::optional<Verdict> cannot_run(const TierContext& c) {
  return c.cannot_run;
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

// The kubelet tries again by itself, and the window is not for that.
std::optional<Verdict> image_failed(const TierContext& c) {
  if (!c.image.failed || c.image.present) return std::nullopt;
  return Verdict{names::failure_image_pull_failed, c.image.message};
}

std::optional<Verdict> image_pulling(const TierContext& c) {
  if (c.image.present) return std::nullopt;
  return Verdict{names::reason_image_pulling, c.image.message};
}

bool awaits_image(const TierContext& c) {
  bool may_start = !c.pod || stage_of(*c.pod) == PodStage::Gated;
  return may_start && image_failed(c);
}

// It cannot run as the plan says, or for want of its model or its image, or while its node is stuck; or it
// has named one that it waits for, of which that is true. Names make no circle: that is an error of the spec.
bool not_soon(const TierContext& c) {
  if (c.cannot_run || held_back(c) || awaits_model(c.current) || awaits_image(c)) return true;
  if (c.current && c.current->reason == names::reason_node_stuck) return true;
  return !c.tier->start_after.empty() &&
         std::any_of(c.predecessors.begin(), c.predecessors.end(), [](const TierContext* predecessor) {
           return predecessor->wanted && !predecessor->serving() && not_soon(*predecessor);
         });
}

std::optional<Verdict> predecessors(const TierContext& c) {
  std::string waiting;
  for (const TierContext* predecessor : c.predecessors) {
    if (!predecessor->wanted || predecessor->serving()) continue;
    // It holds nobody up who has not named it.
    if (c.tier->start_after.empty() && not_soon(*predecessor)) continue;
    waiting += (waiting.empty() ? "" : ", ") + where(*predecessor);
  }
  if (waiting.empty()) return std::nullopt;
  return Verdict{names::reason_predecessor, "waits until it serves: " + waiting};
}

std::optional<Verdict> finalizer(const TierContext& c) {
  if (c.observed->stack->metadata.has_finalizer(names::finalizer)) return std::nullopt;
  return Verdict{names::reason_preparing, "waits until the stack carries its finalizer"};
}

std::optional<Verdict> back_off(const TierContext& c) {
  WallMillis next = next_try(c);
  if (next <= c.observed->now.wall) return std::nullopt;
  const api::Failure& failure = *c.last->last_failure;
  return Verdict{failure.failure_class,
                 fmt::format("{} at {}; the next try is at {} (failure {} in a row)", failure.message,
                             format_time(failure.time), format_time(next), c.last->consecutive_failures)};
}

// Whether `failure` still holds back what has that subject now.
bool holds(const TierContext& c, const api::Failure& failure, const std::string& subject) {
  return failure.subject == subject && failure.cleared == clearing_of(*c.observed->stack);
}

// The same context, refused as often as that: it is no use to ask for it again.
bool context_refused(const TierContext& c) {
  if (!c.planned || !c.planned->learned.context) return false;
  const api::LearnedContext& learned = *c.planned->learned.context;
  return learned.refusals >= context_refusals_most && learned.refused_tokens == c.effective.context_tokens;
}

bool gives_up(const TierContext& c, engines::Treatment treatment) {
  using engines::Treatment;
  return treatment == Treatment::GiveUp || (treatment == Treatment::ReduceContext && context_refused(c));
}

}  // namespace

std::optional<Verdict> held_back(const TierContext& c) {
  using engines::Treatment;
  if (!c.rendered) return std::nullopt;
  const api::InferenceStack& stack = *c.observed->stack;
  for (const auto& status : stack.status.tiers) {
    if (!status.last_failure) continue;
    const api::Failure& failure = *status.last_failure;
    Treatment treatment = engines::treatment_of(failure.failure_class);
    bool own = status.name == c.tier->name;
    if (treatment != Treatment::Quarantine && !(own && gives_up(c, treatment))) continue;
    if (!holds(c, failure, subject_of(failure.failure_class, stack.spec, *c.tier, c.rendered->template_hash)))
      continue;
    bool quarantine = treatment == Treatment::Quarantine;
    return Verdict{std::string(quarantine ? names::reason_quarantined : names::reason_given_up),
                   fmt::format("{}{} at {}; annotate the stack with {}=<any new value> to try again",
                               own ? "" : "as tier " + status.name + " found, ", failure.message,
                               format_time(failure.time), names::annotation_clear_failures)};
  }
  return std::nullopt;
}

WallMillis next_try(const TierContext& c) {
  using engines::Treatment;
  if (!c.last || !c.last->last_failure || c.last->consecutive_failures == 0) return 0;
  const api::Failure& failure = *c.last->last_failure;
  Treatment treatment = engines::treatment_of(failure.failure_class);
  constexpr int64_t quick_tries = 3, quick_millis = 2'000;
  // What was changed or cleared since is tried at once; what only we change, again and again, is not.
  bool ours = treatment == Treatment::ReduceContext && c.planned && c.planned->learned.context &&
              c.last->consecutive_failures > quick_tries;
  if (failure.cleared != clearing_of(*c.observed->stack)) return 0;
  if (!ours && c.rendered &&
      failure.subject !=
          subject_of(failure.failure_class, c.observed->stack->spec, *c.tier, c.rendered->template_hash))
    return 0;
  // A wait that a sleeping machine was spared is over; one that a clock made longer is not that long.
  const Now& now = c.observed->now;
  WallMillis since = failure.time > now.wall ? counted_from(failure.time, now) : failure.time;
  if (treatment == Treatment::AwaitModel) return since + await_model_millis;
  bool quick = treatment == Treatment::RetryInWindow && c.last->consecutive_failures <= quick_tries;
  return since + (quick ? quick_millis
                        : backoff_millis(c.tier->restart, c.last->consecutive_failures,
                                         c.tier->name + format_time(failure.time)));
}

const std::vector<Gate>& gates_before_pod() {
  static const std::vector<Gate> gates = {
      {"NameTaken", name_taken},      // somebody else's pod is never touched
      {"NodeUnknown", node_unknown},  // a pod is made for one node, with that node's devices
      {"CannotRun", cannot_run},  // what cannot fit by its own numbers, or is known to crash, is not started
      {"HeldBack", held_back},    // rule 8: not into the same failure again
  };
  return gates;
}

const std::vector<Gate>& gates_before_replacement() {
  static const std::vector<Gate> gates = {
      {"CannotRun", cannot_run},          // an error of the spec takes nothing away that serves
      {"HeldBack", held_back},            // nor does what is known to fail
      {"NodeNotReady", node_not_ready},   // a node that is away stops nothing, and starts nothing
      {"ImagePullFailed", image_failed},  // an image that does not exist replaces nothing
      {"ImagePulling", image_pulling},    // the old one serves while the new one is fetched
  };
  return gates;
}

const std::vector<Gate>& gates_before_window() {
  static const std::vector<Gate> gates = {
      {"NodeNotReady", node_not_ready},  // nothing hopeless sits in the window
      {"ImagePullFailed", image_failed},
      {"BackOff", back_off},            // a failed start gives the window to the others first
      {"Predecessor", predecessors},    // rule 4
      {"Finalizer", finalizer},         // a tier that runs is stopped in order
      {"ImagePulling", image_pulling},  // nothing slow sits in the window
  };
  return gates;
}

std::optional<Verdict> first_that_holds(const std::vector<Gate>& gates, const TierContext& context) {
  for (const Gate& gate : gates)
    if (auto verdict = gate.holds(context)) return verdict;
  return std::nullopt;
}

}  // namespace strix::reconcile
