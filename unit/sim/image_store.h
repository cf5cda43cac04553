// Why: which images a machine has, and how its kubelet brings one for a pod that does nothing else: at once,
// after a while, or after some tries.
// May not: know why the image is wanted.
#pragma once

#include <set>
#include <string>

#include "sim/api_server.h"
#include "sim/plan.h"

namespace strix::sim {

// Owner: one machine.
class ImageStore {
 public:
  ImageStore(Timeline& time, Story& story, ApiServer& server, const Plan& plan, const std::string& machine);

  bool has(const std::string& image) const { return images_.contains(image); }
  // What the node says of itself in the beginning.
  std::vector<std::string> listed() const;

  void sync(const api::Pod& pod);  // a pod that pulls, on this machine
  void go_down() { ++boots_, pulling_.clear(); }
  void be_calm() { calm_ = true; }

 private:
  void fetch(const api::NamespacedName& pod, const std::string& uid, const std::string& image, bool always);
  void fetched(const api::NamespacedName& pod, const std::string& uid, const std::string& image);
  void fail(const api::NamespacedName& pod, const std::string& uid, const std::string& image, bool always);
  void list_soon();
  void change(const api::NamespacedName& pod, const std::string& uid,
              const std::function<void(api::Pod&)>& change);

  Timeline& time_;
  Story& story_;
  ApiServer& server_;
  const Rates& rates_;
  Random dice_;
  const std::string machine_;
  std::set<std::string> images_, pulling_;  // names; uids of pods
  int boots_ = 1;
  bool calm_ = false;
};

}  // namespace strix::sim
