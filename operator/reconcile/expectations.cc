#include "reconcile/expectations.h"

namespace strix::reconcile {

void Expectations::expect_change(const std::string& object, const std::string& version, BootMillis now) {
  deadline_ = now + lag_max_millis;
  for (auto& entry : entries_) {
    if (entry.object != object) continue;
    entry.old_versions.insert(version);
    return;
  }
  entries_.push_back({object, {version}});
}

bool Expectations::pending(const std::function<std::string(const std::string& object)>& version_of,
                           const Now& now) {
  if (now.boot >= deadline(now)) entries_.clear();
  std::erase_if(entries_,
                [&](const Entry& entry) { return !entry.old_versions.contains(version_of(entry.object)); });
  return !entries_.empty();
}

}  // namespace strix::reconcile
