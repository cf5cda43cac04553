// Why: what one side has shown so far, in words that do not depend on the side: uids and versions are told by
// when they were first seen, times by whether they are right.
// May not: leave out a field that the operator reads.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "conformance/side.h"

namespace strix::conformance {

// One object as it was seen; only the member of its kind is filled in.
struct Sight {
  std::string uid, resource_version;
  api::InferenceStack stack;
  api::Service service;
};

// Owner: the one thread of the comparison.
class View {
 public:
  // What `objects` say, by "pod/s0-t0". Remembers nothing.
  std::map<std::string, std::string> told(const Objects& objects, WallMillis wall) const;
  // From now on it is known.
  void remember(const Objects& objects, WallMillis wall);

  // Every different sight of one name so far, oldest first.
  const std::vector<Sight>& sights(const std::string& object) const;
  const Objects& last() const { return last_; }

 private:
  std::string life(const std::string& uid) const;
  std::string meta(const api::ObjectMeta& meta, const std::string& object, WallMillis wall) const;
  std::string pod(const api::Pod& pod, WallMillis wall) const;
  void see(const std::string& object, const api::ObjectMeta& meta, Sight sight, WallMillis wall);

  std::map<std::string, size_t> lives_;  // by uid
  std::map<std::string, std::vector<Sight>> sights_;
  std::map<std::string, WallMillis> going_since_;  // by uid and grace period
  Objects last_;
};

}  // namespace strix::conformance
