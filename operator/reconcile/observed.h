// Why: everything that a pass over one stack knows, in one struct, time and identity included: decide() sees
// this and nothing else.
// May not: have behaviour.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/validate.h"
#include "engines/failure_table.h"
#include "planner/plan.h"
#include "reconcile/ports.h"
#include "reconcile/window.h"
#include "tuning/history.h"

namespace strix::reconcile {

struct Observed {
  Now now;
  std::string leader;
  api::Policy policy;
  Shared<api::InferenceStack> stack;
  Shared<planner::Plan> plan;                     // of its spec; null: it is made when it is asked for
  Shared<planner::CapabilityTable> capabilities;  // that it was made with; null: the built-in ones
  // Pods and Services with this stack's label in its namespace, whoever owns them.
  std::vector<Shared<api::Pod>> pods;
  std::vector<Shared<api::Service>> services;
  // The same of pods that only pull an image; none of `pods` does.
  std::vector<Shared<api::Pod>> pull_pods;
  std::vector<Shared<api::Node>> nodes;                 // all of the cluster's
  std::map<std::string, ProbeReading> probes;           // by pod uid
  std::map<std::string, engines::Diagnosis> diagnoses;  // of logs, by pod uid; none: nothing known in it
  std::set<std::string> without_gpu;   // by pod uid: the engine has said that it found none, and answers
  std::set<std::string> logs_awaited;  // by pod uid: could not be read yet, and is tried again
  std::map<std::string, std::string> api_keys;  // by tier name, where one was asked for and could be read
  // What the window of each tier's node said last, by "namespace/pod".
  std::map<std::string, Verdict> verdicts;
  // What the tiers were used for, by name, when there is something new to tell of that; absent: what was told
  // last stands.
  std::optional<std::map<std::string, tuning::Seen>> usage;
  // What each node said of its memory last, by Kubernetes node; absent: nothing yet.
  std::map<std::string, NodePressure> pressures;
  // What went wrong when we last acted for a tier, by tier name: a name that is taken, a refused pod.
  std::map<std::string, Verdict> refusals;
  std::map<std::string, Verdict> service_refusals;  // by tier: its Service could not be made, or changed
};

}  // namespace strix::reconcile
