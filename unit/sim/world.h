// Why: everything that a run consists of but the operators, for those who act in it.
// May not: act by itself.
#pragma once

#include <deque>
#include <string>

#include "planner/start_order.h"
#include "sim/api_server.h"
#include "sim/machine.h"
#include "sim/plan.h"
#include "sim/rules.h"
#include "sim/story.h"
#include "sim/timeline.h"

namespace strix::sim {

// Owner: the one thread of a run.
struct World {
  World(const Plan& p, Defect d, bool told) : plan(p), defect(d), story(time, told) {
    for (size_t i = 0; i < plan.machines.size(); ++i)
      machines.emplace_back(time, story, server, plan, static_cast<int>(i));
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const Plan plan;
  const Defect defect;
  Timeline time;
  Story story;
  ApiServer server{time, story};
  std::deque<Machine> machines;
  Rules rules{*this};

  bool calm = false;              // nothing goes wrong any more
  BootMillis api_down_until = 0;  // nothing is answered
  std::string actor = "person";   // who writes now
  BootMillis deaf_until = 0;      // some informer hears nothing
  // What operators did: writes that they sent, requests of any kind, events that they told.
  int64_t writes = 0, requests = 0, events = 0;

  Machine* machine(const std::string& name) {
    for (auto& machine : machines)
      if (machine.name() == name) return &machine;
    return nullptr;
  }
};

// The name of the machine that a tier has its place on.
inline std::string home_of(const api::InferenceStack& stack, const api::Tier& tier) {
  const api::StackNode* node = planner::find_node(stack.spec, planner::node_of(stack.spec, tier));
  return node->selector.at("kubernetes.io/hostname");
}

}  // namespace strix::sim
