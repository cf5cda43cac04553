// Why: where the passes over stacks and the passes over nodes meet: stacks post what they want of a node's
// load window, nodes post what they answered.
// May not: decide, or outlive its contents: it is rebuilt from the cluster after every start.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "reconcile/window.h"

namespace strix::reconcile {

// Thread-safe: a mutex over plain maps, never held across a call to anything else.
class Board {
 public:
  // Replaces what this stack wants. Answers with the nodes for which that made a difference.
  std::set<std::string> post(const api::NamespacedName& stack, std::vector<WindowRequest> requests,
                             std::map<std::string, api::NodeProfile> profiles,
                             std::map<std::string, std::vector<PressureTier>> tiers = {});
  std::set<std::string> remove(const api::NamespacedName& stack) { return post(stack, {}, {}); }

  std::vector<WindowRequest> requests_of(const std::string& node) const;
  // The strictest of what the stacks declare for this node.
  api::NodeProfile profile_of(const std::string& node) const;

  // The tiers of all stacks that have their place on this node.
  std::vector<PressureTier> tiers_of(const std::string& node) const;

  // Replaces what this node answered. Answers with the stacks for which that made a difference.
  std::set<api::NamespacedName> answer(const std::string& node, std::map<std::string, Verdict> verdicts);
  std::map<std::string, Verdict> verdicts_for(const api::NamespacedName& stack) const;

  // Replaces what this node said of its memory. Answers with the stacks for which that made a difference.
  std::set<api::NamespacedName> press(const std::string& node, NodePressure pressure);
  std::map<std::string, NodePressure> pressures() const;

  // The stacks that have not been looked at since this process began to lead: until none is left, no
  // window opens, as an older stack's wish may still be unknown.
  void expect(std::set<api::NamespacedName> stacks);
  bool complete() const;

 private:
  struct Wish {
    std::vector<WindowRequest> requests;
    std::map<std::string, api::NodeProfile> profiles;
    std::map<std::string, std::vector<PressureTier>> tiers;
  };
  // Of all stacks that wish something of this node. The mutex is held.
  template <class Visit>
  void for_each_wish(const std::string& node, Visit visit) const {
    auto stacks = stacks_by_node_.find(node);
    if (stacks == stacks_by_node_.end()) return;
    for (const auto& stack : stacks->second)
      if (auto wish = wishes_.find(stack); wish != wishes_.end()) visit(stack, wish->second);
  }
  std::set<std::string> nodes_of(const Wish& wish) const;
  static bool same_for(const std::string& node, const Wish& a, const Wish& b);

  mutable std::mutex mutex_;
  std::map<api::NamespacedName, Wish> wishes_;
  std::map<std::string, std::set<api::NamespacedName>> stacks_by_node_;
  std::map<std::string, std::map<std::string, Verdict>> verdicts_;            // by node, then "namespace/pod"
  std::map<std::string, std::map<std::string, api::NamespacedName>> askers_;  // whose pod that is
  std::map<api::NamespacedName, std::map<std::string, Verdict>> verdicts_by_stack_;
  std::map<std::string, NodePressure> pressures_;  // by node
  std::set<api::NamespacedName> expected_;
};

}  // namespace strix::reconcile
