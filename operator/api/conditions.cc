#include "api/conditions.h"

namespace strix::api {

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type) {
  for (const auto& condition : conditions)
    if (condition.type == type) return &condition;
  return nullptr;
}

std::vector<Condition> merge_conditions(const std::vector<Condition>& current, std::vector<Condition> wanted,
                                        WallMillis now) {
  for (auto& condition : wanted) {
    const Condition* before = find_condition(current, condition.type);
    // A stored condition without a time (another client wrote it) gets one.
    bool unchanged = before && before->status == condition.status && before->last_transition != 0;
    condition.last_transition = unchanged ? before->last_transition : now;
  }
  return wanted;
}

}  // namespace strix::api
