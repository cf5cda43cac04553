// Why: rule 6: after a write the cache is older than what we know. A pass waits until it has seen the write,
// or until the wait has lasted too long to be a matter of lag.
// May not: compare resourceVersions but for equality.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"

namespace strix::reconcile {

// Owned by one reconciler, for one stack; not thread-safe (one pass a key at a time).
class Expectations {
 public:
  static constexpr int64_t lag_max_millis = 5'000;

  // `object` ("pod/llm/strix-coder") was in `version` ("" for absent) before our write. Several writes to one
  // object add up: each version but the last is old.
  void expect_change(const std::string& object, const std::string& version, BootMillis now);

  // True while the cache still shows an old version of something. `version_of` answers what it shows.
  bool pending(const std::function<std::string(const std::string& object)>& version_of, const Now& now);
  // A machine that slept has as long again.
  BootMillis deadline(const Now& now) const {
    return std::max(deadline_, now.boot_steady_since + lag_max_millis);
  }

 private:
  struct Entry {
    std::string object;
    std::set<std::string> old_versions;
  };
  std::vector<Entry> entries_;
  BootMillis deadline_ = 0;
};

}  // namespace strix::reconcile
