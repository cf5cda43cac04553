#include "reconcile/board.h"

#include <algorithm>

namespace strix::reconcile {

std::set<std::string> Board::nodes_of(const Wish& wish) const {
  std::set<std::string> nodes;
  for (const auto& request : wish.requests) nodes.insert(request.node);
  for (const auto& [node, profile] : wish.profiles) nodes.insert(node);
  return nodes;
}

bool Board::same_for(const std::string& node, const Wish& a, const Wish& b) {
  auto select = [&](const Wish& wish) {
    std::vector<const WindowRequest*> selected;
    for (const auto& request : wish.requests)
      if (request.node == node) selected.push_back(&request);
    return selected;
  };
  auto left = select(a), right = select(b);
  bool requests = left.size() == right.size() && std::equal(left.begin(), left.end(), right.begin(),
                                                            [](auto* x, auto* y) { return x->same_as(*y); });
  auto of_a = a.profiles.find(node), of_b = b.profiles.find(node);
  bool profiles = (of_a == a.profiles.end()) == (of_b == b.profiles.end()) &&
                  (of_a == a.profiles.end() || of_a->second == of_b->second);
  auto tiers_of = [&](const Wish& wish) {
    auto found = wish.tiers.find(node);
    return found == wish.tiers.end() ? std::vector<PressureTier>{} : found->second;
  };
  std::vector<PressureTier> first = tiers_of(a), second = tiers_of(b);
  bool tiers = std::equal(first.begin(), first.end(), second.begin(), second.end(),
                          [](const auto& x, const auto& y) { return x.same_as(y); });
  return requests && profiles && tiers;
}

std::set<std::string> Board::post(const api::NamespacedName& stack, std::vector<WindowRequest> requests,
                                  std::map<std::string, api::NodeProfile> profiles,
                                  std::map<std::string, std::vector<PressureTier>> tiers) {
  std::lock_guard lock(mutex_);
  expected_.erase(stack);
  Wish fresh{std::move(requests), std::move(profiles), std::move(tiers)};
  Wish& current = wishes_[stack];
  std::set<std::string> before = nodes_of(current), touched = before, after = nodes_of(fresh);
  touched.insert(after.begin(), after.end());
  std::set<std::string> changed;
  for (const auto& node : touched)
    if (!same_for(node, current, fresh)) changed.insert(node);
  for (const auto& node : before)
    if (!after.contains(node)) stacks_by_node_[node].erase(stack);
  for (const auto& node : after) stacks_by_node_[node].insert(stack);
  bool empty = fresh.requests.empty() && fresh.profiles.empty();
  if (empty) {
    wishes_.erase(stack);
    verdicts_by_stack_.erase(stack);
  } else {
    current = std::move(fresh);
  }
  return changed;
}

std::vector<WindowRequest> Board::requests_of(const std::string& node) const {
  std::lock_guard lock(mutex_);
  std::vector<WindowRequest> requests;
  for_each_wish(node, [&](const auto&, const Wish& wish) {
    for (const auto& request : wish.requests)
      if (request.node == node) requests.push_back(request);
  });
  return requests;
}

std::vector<PressureTier> Board::tiers_of(const std::string& node) const {
  std::lock_guard lock(mutex_);
  std::vector<PressureTier> tiers;
  for_each_wish(node, [&](const auto&, const Wish& wish) {
    auto mine = wish.tiers.find(node);
    if (mine != wish.tiers.end()) tiers.insert(tiers.end(), mine->second.begin(), mine->second.end());
  });
  return tiers;
}

std::set<api::NamespacedName> Board::press(const std::string& node, NodePressure pressure) {
  std::lock_guard lock(mutex_);
  NodePressure& known = pressures_[node];  // one that has said nothing is one that nobody measures
  bool level = known.level != pressure.level;
  known = std::move(pressure);
  std::set<api::NamespacedName> changed;
  for_each_wish(node, [&](const auto& stack, const Wish& wish) {
    auto mine = wish.tiers.find(node);
    bool parked = mine != wish.tiers.end() &&
                  std::any_of(mine->second.begin(), mine->second.end(), [&](const auto& tier) {
                    return tier.parked != known.parked.contains(tier.pod);
                  });
    if (level || parked) changed.insert(stack);
  });
  return changed;
}

std::map<std::string, NodePressure> Board::pressures() const {
  std::lock_guard lock(mutex_);
  return pressures_;
}

api::NodeProfile Board::profile_of(const std::string& node) const {
  std::lock_guard lock(mutex_);
  std::vector<api::NodeProfile> profiles;
  for_each_wish(node, [&](const auto&, const Wish& wish) {
    auto profile = wish.profiles.find(node);
    if (profile != wish.profiles.end()) profiles.push_back(profile->second);
  });
  return planner::strictest(profiles);
}

std::set<api::NamespacedName> Board::answer(const std::string& node,
                                            std::map<std::string, Verdict> verdicts) {
  std::lock_guard lock(mutex_);
  std::map<std::string, api::NamespacedName> askers;
  for_each_wish(node, [&](const auto& stack, const Wish& wish) {
    for (const auto& request : wish.requests)
      if (request.node == node) askers[request.pod.name.text()] = stack;
  });
  std::set<api::NamespacedName> changed;
  auto& before = verdicts_[node];
  for (const auto& [pod, stack] : askers_[node])
    if (before.contains(pod) && !verdicts.contains(pod)) verdicts_by_stack_[stack].erase(pod);
  for (const auto& [pod, verdict] : verdicts) {
    auto asker = askers.find(pod);
    if (asker == askers.end()) continue;
    auto old = before.find(pod);
    if (old == before.end() || !(old->second == verdict)) changed.insert(asker->second);
    verdicts_by_stack_[asker->second][pod] = verdict;
  }
  before = std::move(verdicts);
  askers_[node] = std::move(askers);
  return changed;
}

std::map<std::string, Verdict> Board::verdicts_for(const api::NamespacedName& stack) const {
  std::lock_guard lock(mutex_);
  auto found = verdicts_by_stack_.find(stack);
  return found == verdicts_by_stack_.end() ? std::map<std::string, Verdict>{} : found->second;
}

void Board::expect(std::set<api::NamespacedName> stacks) {
  std::lock_guard lock(mutex_);
  expected_ = std::move(stacks);
}

bool Board::complete() const {
  std::lock_guard lock(mutex_);
  return expected_.empty();
}

}  // namespace strix::reconcile
