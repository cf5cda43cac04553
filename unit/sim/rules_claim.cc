#include <algorithm>

#include "api/names.h"
#include "base/bytes.h"
#include "base/json.h"
#include "planner/spec_plan.h"
#include "reconcile/pod_stage.h"
#include "sim/rules.h"
#include "sim/world.h"

// What has to be true of a pod that is made, and at the moment in which one is let in.
namespace strix::sim {

namespace {

constexpr const char* gpu_resource = "squat.ai/dri";

bool tolerates(json::Value pod, const char* taint) {
  bool found = false;
  pod["spec"]["tolerations"].for_each([&](json::Value one) {
    found = found || (one["key"].string_or("") == taint && one["effect"].string_or("") == "NoExecute" &&
                      !one["tolerationSeconds"].exists());
  });
  return found;
}

}  // namespace

// A pod that pulls is none that a Service, a ledger or a device plugin could take for a tier's.
void Rules::created_pull(const api::Pod& pod, const std::string& body) {
  auto document = json::Document::parse(body);
  json::Value engine = document->root()["spec"]["containers"].at(0);
  bool plain = pod.metadata.label(names::label_tier).empty() && !engine["ports"].exists() &&
               !engine["resources"]["requests"][gpu_resource].exists() &&
               pod.metadata.annotation(names::annotation_claim).empty();
  if (!plain) fail("1 one load window per node", pod.metadata.key().text() + " does more than pull");
}

void Rules::created(const api::Pod& pod, const std::string& body) {
  std::string name = pod.metadata.key().text();
  if (reconcile::is_pull_pod(pod)) return created_pull(pod, body);
  if (pod.scheduling_gates.empty())
    fail("1 one load window per node", name + " was made without the scheduling gate");
  auto document = json::Document::parse(body);
  json::Value spec = document->root()["spec"];
  if (spec["nodeName"].exists())
    fail("1 one load window per node", name + " names its node, past the scheduler and the gate");
  if (spec["restartPolicy"].string_or("Always") != "Never")
    fail("5 at most one pod per tier", name + " would be restarted behind the ledger's back");
  for (const char* taint : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
    if (!tolerates(document->root(), taint))
      fail("5 at most one pod per tier", name + " would be evicted when its kubelet stalls");
  if (spec["readinessGates"].at(0)["conditionType"].string_or("") != names::readiness_gate)
    fail("9 truth in the Service", name + " has clients before the operator says so");
}

void Rules::claims(int in_this_pass) {
  if (in_this_pass > 1) fail("3 release before claim", fmt::format("{} claims in one pass", in_this_pass));
}

void Rules::vanished_ended(const api::Pod& pod, const Machine& machine, BootMillis listed) {
  for (const auto& process : machine.processes()) {
    Shared<api::Pod> object = world_.server.pods.find(process.pod);
    bool same_tier = process.pod == pod.metadata.key();
    bool vanished = same_tier && !process.dead && !process.jammed(world_.time.boot()) &&
                    !(object && object->metadata.uid == process.uid);
    BootMillis vanished_at = lives_[process.uid].vanished_at;
    // Nothing in the cluster says what vanished before a process began to watch.
    if (!vanished || vanished_at >= listed || vanished_at <= knows_since_) continue;
    fail("5 at most one pod per tier",
         fmt::format("lets in {} while the engine of {} ({}), which vanished, still runs",
                     pod.metadata.key().text(), process.pod.text(), process.uid));
  }
}

// A process that nobody can end sits in the GPU's driver.
void Rules::stuck_free(const api::Pod& pod, BootMillis listed) {
  if (!world_.server.spec_of(pod.metadata.uid).gpu) return;
  Now then{world_.time.wall_of(listed), listed};
  for (const auto& [key, other] : world_.server.pods.objects)
    if (reconcile::node_of(*other) == reconcile::node_of(pod) && reconcile::is_stuck(*other, then))
      fail("1 a stuck node takes no GPU claim",
           fmt::format("lets in {} on {} beside {}, which was to be gone long ago", pod.metadata.key().text(),
                       reconcile::node_of(pod), key.text()));
}

// Whether the machine could have been known not to take anything.
void Rules::node_fit(const api::Pod& pod) {
  Shared<api::Node> node = world_.server.nodes.find({"", reconcile::node_of(pod)});
  if (!node || (node->ready && !node->unschedulable)) return;
  BootMillis since = node_unfit_since_[node->metadata.name];
  if (world_.time.boot() - std::max(since, world_.deaf_until) > heard_of_nodes_millis)
    fail("1 the window opens on a node that is Ready",
         fmt::format("lets in {} on {}, which is {} for {} s", pod.metadata.key().text(), node->metadata.name,
                     node->ready ? "cordoned" : "not Ready", (world_.time.boot() - since) / 1000));
}

// What this stack's running tiers hold too much on that node, by its own spec, is given back before anything
// else of it is let in.
void Rules::released_first(const api::Pod& pod, const Facts& facts) {
  Shared<api::InferenceStack> stack = owner_of(pod);
  if (!stack || stack_edited_[stack->metadata.key()] >= facts.stack_read) return;
  planner::Plan plan = planner::plan_of_spec(stack->spec);
  for (const auto& [key, other] : world_.server.pods.objects) {
    bool neighbour = owner_of(*other) == stack && other->metadata.uid != pod.metadata.uid &&
                     reconcile::node_of(*other) == reconcile::node_of(pod) &&
                     reconcile::stage_of(*other) == reconcile::PodStage::Serving;
    if (!neighbour) continue;
    const planner::TierPlan* planned = plan.tier(std::string(other->metadata.label(names::label_tier)));
    bool resident = planned && planned->state == planner::TierState::Resident;
    int held = world_.server.spec_of(other->metadata.uid).gpu_fraction_milli;
    int wanted = resident ? planned->claim.gpu_fraction_milli : 0;
    if (resident && held <= wanted) continue;
    // What serves goes on serving until its successor could start.
    bool fails = planned && (planned->state == planner::TierState::Error ||
                             planned->state == planner::TierState::Refused);
    const api::Tier* tier = planned ? stack->spec.tier(planned->name) : nullptr;
    bool awaited = resident && tier && image_awaited(*stack, reconcile::node_of(*other), *tier);
    if (fails || awaited) continue;
    fail("3 release before claim",
         fmt::format("lets in {} while {} holds gpuFraction {} and is to hold {}", pod.metadata.key().text(),
                     key.text(), format_fraction(held), resident ? format_fraction(wanted) : "nothing"));
  }
}

}  // namespace strix::sim
