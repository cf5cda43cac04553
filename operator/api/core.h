// Why: the few fields of Pod, Node and Service that decisions are made from.
// May not: grow into a copy of the core API; what nobody reads is not kept in memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/meta.h"

namespace strix::api {

struct PodCondition {
  std::string type, status, reason, message;
  WallMillis last_transition = 0;
};

struct ContainerStatus {
  std::string name;
  std::string image_id;  // what the image was resolved to; empty: not on the node yet, or not known
  bool running = false;
  WallMillis started = 0;
  std::string waiting_reason, waiting_message;  // ImagePullBackOff, CreateContainerError, ...
  bool terminated = false;
  int exit_code = 0;
  int signal = 0;
  std::string terminated_reason, terminated_message;
  WallMillis finished = 0;
};

struct Pod {
  ObjectMeta metadata;
  std::string node_name;  // set by the scheduler
  std::vector<std::string> scheduling_gates;
  int64_t termination_grace_seconds = 30;
  std::string phase;  // Pending Running Succeeded Failed Unknown
  std::string reason, message;
  std::string pod_ip;
  std::vector<PodCondition> conditions;
  std::string image;                      // of the one container, as written
  int engine_port = 0;                    // containerPort of the one container, named engine
  std::optional<ContainerStatus> engine;  // its status
  std::vector<std::string> devices;       // the extended resources that it takes

  const PodCondition* condition(std::string_view type) const {
    for (const auto& c : conditions)
      if (c.type == type) return &c;
    return nullptr;
  }
  bool terminal() const { return phase == "Succeeded" || phase == "Failed"; }
};

struct Node {
  ObjectMeta metadata;
  bool ready = false;
  std::string ready_message;
  WallMillis ready_since = 0;  // when it became Ready, or ceased to be
  std::string boot_id;
  bool unschedulable = false;
  std::vector<std::string> images;  // names of what is on it, tags and digests; the largest fifty by default
  std::map<std::string, int64_t> allocatable;  // extended resources and memory, in whole units
};

struct Service {
  ObjectMeta metadata;
};

struct ConfigMap {
  ObjectMeta metadata;
  std::map<std::string, std::string> data;
};

}  // namespace strix::api
