#include "sim/defects.h"

#include <algorithm>

#include "api/names.h"
#include "engines/image.h"
#include "planner/claim.h"
#include "reconcile/pod_stage.h"

namespace strix::sim {

namespace {

// Whose eyes a pod is read with: a stack's, or those of a node's ledger.
enum class Eyes { Stack, Ledger };

// What a defect makes of one pod that was read; false: it is not seen at all.
bool distort(const World& world, api::Pod& pod, const std::string& identity, Eyes eyes) {
  std::string claim = planner::encode_claim({});
  switch (world.defect) {
    case Defect::TrustsEarlierVouching:
      if (!identity.empty()) pod.metadata.annotations[std::string(names::annotation_leader)] = identity;
      return true;
    case Defect::IgnoresTerminating:
      return !pod.metadata.deleting();
    case Defect::TrustsAnyOwner:
      if (Shared<api::InferenceStack> stack =
              world.server.stacks.find({pod.metadata.namespace_, pod.metadata.label(names::label_stack)});
          stack && pod.metadata.controller())
        pod.metadata.owners = {{std::string(names::kind), stack->metadata.name, stack->metadata.uid, true}};
      return true;
    case Defect::TakesLoadingForServing:
      if (reconcile::stage_of(pod) == reconcile::PodStage::Loading)
        pod.conditions.push_back({std::string(names::readiness_gate), "True", "WarmedUp", "", 0});
      return true;
    case Defect::ForgetsStuck:
      return eyes == Eyes::Stack || !reconcile::is_stuck(pod, world.time.now());
    case Defect::ClaimsNothing:
      if (eyes == Eyes::Ledger) pod.metadata.annotations[std::string(names::annotation_claim)] = claim;
      return true;
    case Defect::ForgetsReserved:
      if (eyes == Eyes::Ledger && reconcile::stage_of(pod) == reconcile::PodStage::Serving)
        pod.metadata.annotations[std::string(names::annotation_claim)] = claim;
      return true;
    default:
      return true;
  }
}

std::string without_tolerations(std::string body) {
  size_t begin = body.find("\"tolerations\":[");
  if (begin != std::string::npos) body.erase(begin, body.find(']', begin) + 2 - begin);
  return body;
}

std::string without_gate(std::string body) {
  size_t gates = body.find("\"schedulingGates\":[");
  if (gates != std::string::npos) body.erase(gates, body.find(']', gates) + 2 - gates);
  return body;
}

}  // namespace

// --- written

Status DefectiveCluster::create_pod(const std::string& ns, const std::string& body) {
  if (world_.defect == Defect::CreatesUngated) return inner_.create_pod(ns, without_gate(body));
  if (world_.defect == Defect::MakesEvictablePods) return inner_.create_pod(ns, without_tolerations(body));
  return inner_.create_pod(ns, body);
}

Status DefectiveCluster::delete_pod(const reconcile::PodRef& pod) {
  if (world_.defect == Defect::DeletesWithoutUid) return inner_.delete_pod({pod.name, "", ""});
  return inner_.delete_pod(pod);
}

Status DefectiveCluster::set_serving(const reconcile::PodRef& pod, bool serving, std::string_view reason,
                                     const std::string& message, WallMillis now) {
  if (world_.defect == Defect::StopsWithoutDrain && reason == names::serving_draining)
    return inner_.delete_pod(pod);
  return inner_.set_serving(pod, serving, reason, message, now);
}

Status DefectiveCluster::admit_pod(const reconcile::PodRef& pod, const std::string& boot_id, WallMillis now) {
  if (world_.defect == Defect::AdmitsWithoutVersion)
    return inner_.admit_pod({pod.name, pod.uid, ""}, boot_id, now);
  return inner_.admit_pod(pod, boot_id, now);
}

Status DefectiveCluster::vouch_for_pod(const reconcile::PodRef& pod, const std::string& leader) {
  return inner_.vouch_for_pod(pod, leader);
}

Status DefectiveCluster::adopt_pod(const reconcile::PodRef& pod, const api::InferenceStack& stack) {
  return inner_.adopt_pod(pod, stack);
}

Status DefectiveCluster::note_claim(const reconcile::PodRef& pod, const std::string& claim) {
  return inner_.note_claim(pod, claim);
}

Status DefectiveCluster::create_service(const std::string& ns, const std::string& body) {
  return inner_.create_service(ns, body);
}
Status DefectiveCluster::apply_service(const std::string& ns, const std::string& name,
                                       const std::string& body) {
  return inner_.apply_service(ns, name, body);
}
Status DefectiveCluster::delete_service(const std::string& ns, const std::string& name,
                                        const std::string& uid) {
  return inner_.delete_service(ns, name, uid);
}

Result<std::string> DefectiveCluster::set_finalizer(const api::InferenceStack& stack, bool present) {
  if (world_.defect == Defect::KeepsFinalizer && !present) return stack.metadata.resource_version;
  return inner_.set_finalizer(stack, present);
}

Result<std::string> DefectiveCluster::apply_status(const api::InferenceStack& stack,
                                                   const std::string& resource_version,
                                                   const api::StackStatus& status) {
  if (world_.defect == Defect::NeverTellsStatus) return resource_version;
  if (world_.defect != Defect::WritesForever) return inner_.apply_status(stack, resource_version, status);
  api::StackStatus other = status;
  other.summary.headroom = std::to_string(++statuses_);
  return inner_.apply_status(stack, resource_version, other);
}

// --- read live

Result<api::InferenceStack> DefectiveCluster::read_stack(const api::NamespacedName& name) {
  auto live = inner_.read_stack(name);
  Shared<api::InferenceStack> cached = cache_.stack(name);
  if (world_.defect == Defect::SkipsLiveGet && cached) return *cached;
  return live;
}

Result<std::vector<api::Pod>> DefectiveCluster::read_admitted_pods(const std::string& node) {
  auto live = inner_.read_admitted_pods(node);
  if (!live) return live;
  std::vector<api::Pod> seen;
  if (world_.defect == Defect::SkipsLiveList) {
    for (const auto& pod : cache_.pods_of_node(node))
      if (!pod->metadata.label(names::label_admitted).empty()) seen.push_back(*pod);
    return seen;
  }
  for (api::Pod& pod : live.value())
    if (distort(world_, pod, "", Eyes::Ledger)) seen.push_back(pod);
  return seen;
}

Result<std::string> DefectiveCluster::read_log(const api::NamespacedName& pod) {
  if (world_.defect == Defect::IgnoresFaults) return std::string();
  return inner_.read_log(pod);
}

Result<std::string> DefectiveCluster::read_secret(const std::string& ns, const std::string& name,
                                                  const std::string& key) {
  return inner_.read_secret(ns, name, key);
}

// --- read from the cache

namespace {

std::vector<Shared<api::Pod>> seen(const World& world, const std::string& identity, Eyes eyes,
                                   std::vector<Shared<api::Pod>> pods) {
  if (world.defect == Defect::None) return pods;
  std::vector<Shared<api::Pod>> result;
  for (const auto& pod : pods) {
    api::Pod copy = *pod;
    if (distort(world, copy, identity, eyes))
      result.push_back(std::make_shared<const api::Pod>(std::move(copy)));
  }
  return result;
}

}  // namespace

Shared<api::InferenceStack> DefectiveCache::stack(const api::NamespacedName& name) const {
  return inner_.stack(name);
}
std::vector<api::NamespacedName> DefectiveCache::stack_names() const {
  return inner_.stack_names();
}
std::vector<Shared<api::Pod>> DefectiveCache::pods_of_stack(const api::NamespacedName& stack) const {
  return seen(world_, identity_, Eyes::Stack, inner_.pods_of_stack(stack));
}
std::vector<Shared<api::Pod>> DefectiveCache::pull_pods_of_stack(const api::NamespacedName& stack) const {
  return inner_.pull_pods_of_stack(stack);
}
std::vector<Shared<api::Pod>> DefectiveCache::pods_of_node(const std::string& node) const {
  return seen(world_, identity_, Eyes::Ledger, inner_.pods_of_node(node));
}
std::vector<Shared<api::Node>> DefectiveCache::nodes() const {
  auto nodes = inner_.nodes();
  if (world_.defect != Defect::OverlooksNode && world_.defect != Defect::ImagesEverywhere) return nodes;
  for (auto& node : nodes) {
    api::Node copy = *node;
    if (world_.defect == Defect::OverlooksNode) {
      copy.ready = true;
      copy.unschedulable = false;
    } else {
      for (const auto& name : inner_.stack_names())
        if (auto stack = inner_.stack(name))
          for (const auto& tier : stack->spec.tiers)
            copy.images.push_back(engines::full_image_name(stack->spec.image_of(tier)));
    }
    node = std::make_shared<const api::Node>(std::move(copy));
  }
  return nodes;
}
std::vector<Shared<api::Service>> DefectiveCache::services_of_stack(const api::NamespacedName& stack) const {
  return inner_.services_of_stack(stack);
}

// --- asked

std::optional<reconcile::ProbeReading> DefectiveProber::reading(const std::string& uid) const {
  auto reading = inner_.reading(uid);
  if (!reading) return reading;
  using reconcile::ProbePhase;
  bool early = world_.defect == Defect::ServesUnasked && reading->phase == ProbePhase::Loading;
  bool deaf = world_.defect == Defect::KeepsSilentServing && reading->phase == ProbePhase::NotAnswering;
  if (early || deaf) reading->phase = ProbePhase::Serving;
  return reading;
}

}  // namespace strix::sim
