#include "app/cluster.h"

#include "api/codec.h"
#include "api/names.h"
#include "app/resources.h"
#include "base/base64.h"
#include "base/hash.h"
#include "engines/labels.h"

namespace strix::app {

namespace {

using kube::Patch;
using kube::path_of;

// A page holds far more than one node ever runs.
constexpr int admitted_pods_max = 500;

Status dropped(const Result<std::string>& answer) {
  if (!answer) return answer.error();
  return success();
}

Result<std::string> version_in(const Result<std::string>& answer) {
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  return document->root()["metadata"]["resourceVersion"].string_or("");
}

// Opens {"metadata":{"uid":...,"resourceVersion":...: the API server refuses the patch if they do not hold.
json::Writer begin_pod_patch(const reconcile::PodRef& pod, bool with_version) {
  json::Writer w;
  w.begin_object().key("metadata").begin_object().member("uid", pod.uid);
  if (with_version) w.member("resourceVersion", pod.resource_version);
  return w;
}

}  // namespace

KubeCluster::KubeCluster(kube::Client& client, std::string watched_namespace, std::function<bool()> may_write)
    : client_(client), watched_namespace_(std::move(watched_namespace)), may_write_(std::move(may_write)) {}

Status KubeCluster::check_leading() const {
  if (may_write_()) return success();
  return Error{ErrorKind::Canceled, "not the leader any more", 0};
}

Status KubeCluster::create_pod(const std::string& ns, const std::string& body) {
  if (auto leading = check_leading(); !leading) return leading;
  return dropped(client_.create(path_of(pods, ns), body, names::manager));
}

Status KubeCluster::delete_pod(const reconcile::PodRef& pod) {
  if (auto leading = check_leading(); !leading) return leading;
  constexpr int64_t pods_own_grace = -1;
  return dropped(client_.remove(path_of(pods, pod.name.namespace_, pod.name.name),
                                {pod.uid, pod.resource_version}, pods_own_grace, "Background"));
}

Status KubeCluster::patch_pod(const reconcile::PodRef& pod, std::string_view subresource, std::string body) {
  if (auto leading = check_leading(); !leading) return leading;
  return dropped(client_.patch(path_of(pods, pod.name.namespace_, pod.name.name, subresource),
                               Patch::StrategicMerge, std::move(body), names::manager));
}

Status KubeCluster::set_serving(const reconcile::PodRef& pod, bool serving, std::string_view reason,
                                const std::string& message, WallMillis now) {
  // A drain takes the load window: what it was decided on has to be true still when it arrives.
  bool takes_window = reason == names::serving_draining;
  json::Writer w = begin_pod_patch(pod, takes_window);
  w.end_object().key("status").begin_object().key("conditions").begin_array().begin_object();
  w.key("type").string(names::readiness_gate);
  w.member("status", serving ? "True" : "False").key("reason").string(reason);
  w.member("message", message).member("lastTransitionTime", format_time(now));
  w.end_object().end_array().end_object().end_object();
  return patch_pod(pod, "status", w.take());
}

Status KubeCluster::admit_pod(const reconcile::PodRef& pod, const std::string& boot_id, WallMillis now) {
  json::Writer w = begin_pod_patch(pod, true);
  w.key("labels").begin_object().member(names::label_admitted, "true").end_object();
  w.key("annotations")
      .begin_object()
      .member(names::annotation_admitted_at, format_micro_time(now))
      .member(names::annotation_boot_id, boot_id)
      .end_object()
      .end_object();
  w.key("spec").begin_object().key("schedulingGates").begin_array().begin_object();
  w.member("$patch", "delete").key("name").string(names::scheduling_gate);
  w.end_object().end_array().end_object().end_object();
  return patch_pod(pod, "", w.take());
}

Status KubeCluster::vouch_for_pod(const reconcile::PodRef& pod, const std::string& leader) {
  json::Writer w = begin_pod_patch(pod, true);
  w.key("annotations")
      .begin_object()
      .member(names::annotation_leader, leader)
      .end_object()
      .end_object()
      .end_object();
  return patch_pod(pod, "", w.take());
}

Status KubeCluster::adopt_pod(const reconcile::PodRef& pod, const api::InferenceStack& stack) {
  json::Writer w = begin_pod_patch(pod, true);
  w.key("ownerReferences").begin_array().begin_object();
  w.key("apiVersion").string(names::api_version).key("kind").string(names::kind);
  w.member("name", stack.metadata.name).member("uid", stack.metadata.uid);
  w.member("controller", true).member("blockOwnerDeletion", true);
  w.end_object().end_array().end_object().end_object();
  return patch_pod(pod, "", w.take());
}

Status KubeCluster::note_claim(const reconcile::PodRef& pod, const std::string& claim) {
  json::Writer w = begin_pod_patch(pod, true);
  w.key("annotations").begin_object().member(names::annotation_claim, claim).end_object();
  w.end_object().end_object();
  return patch_pod(pod, "", w.take());
}

Status KubeCluster::create_service(const std::string& ns, const std::string& body) {
  if (auto leading = check_leading(); !leading) return leading;
  return dropped(client_.create(path_of(services, ns), body, names::manager));
}

Status KubeCluster::apply_service(const std::string& ns, const std::string& name, const std::string& body) {
  if (auto leading = check_leading(); !leading) return leading;
  return dropped(client_.patch(path_of(services, ns, name), Patch::Merge, body, names::manager));
}

Status KubeCluster::delete_service(const std::string& ns, const std::string& name, const std::string& uid) {
  if (auto leading = check_leading(); !leading) return leading;
  return dropped(client_.remove(path_of(services, ns, name), {uid, ""}, -1, "Background"));
}

Result<std::string> KubeCluster::set_finalizer(const api::InferenceStack& stack, bool present) {
  if (auto leading = check_leading(); !leading) return leading.error();
  json::Writer w;
  w.begin_object().key("metadata").begin_object();
  w.member("uid", stack.metadata.uid).member("resourceVersion", stack.metadata.resource_version);
  w.key("finalizers").begin_array();
  for (const auto& finalizer : stack.metadata.finalizers)
    if (finalizer != names::finalizer) w.string(finalizer);
  if (present) w.string(names::finalizer);
  w.end_array().end_object().end_object();
  return version_in(client_.patch(path_of(stacks, stack.metadata.namespace_, stack.metadata.name),
                                  Patch::Merge, w.take(), names::manager));
}

Result<std::string> KubeCluster::apply_status(const api::InferenceStack& stack,
                                              const std::string& resource_version,
                                              const api::StackStatus& status) {
  if (auto leading = check_leading(); !leading) return leading.error();
  api::InferenceStack target;
  target.metadata.namespace_ = stack.metadata.namespace_;
  target.metadata.name = stack.metadata.name;
  target.metadata.resource_version = resource_version;
  return version_in(client_.patch(path_of(stacks, stack.metadata.namespace_, stack.metadata.name, "status"),
                                  Patch::Apply, api::encode_status_apply(target, status),
                                  names::manager_status));
}

Result<api::InferenceStack> KubeCluster::read_stack(const api::NamespacedName& name) {
  auto answer = client_.get(path_of(stacks, name.namespace_, name.name));
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  return api::decode_stack(document->root());
}

Result<std::vector<api::Pod>> KubeCluster::read_admitted_pods(const std::string& kubernetes_node) {
  kube::Query query;
  query.label_selector = std::string(names::label_node) + "=" + stable_hash_hex(kubernetes_node) + "," +
                         std::string(names::label_admitted) + "=true";
  query.limit = admitted_pods_max;
  auto answer = client_.list(path_of(pods, watched_namespace_), query);
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  if (!document->root()["metadata"]["continue"].string_or("").empty())
    return Error{ErrorKind::Internal,
                 "more than " + std::to_string(admitted_pods_max) + " admitted pods on one node", 0};
  std::vector<api::Pod> found;
  std::optional<Error> failed;
  document->root()["items"].for_each([&](json::Value item) {
    auto pod = api::decode_pod(item);
    if (pod) {
      found.push_back(std::move(*pod));
    } else {
      failed = pod.error();
    }
  });
  if (failed) return *failed;
  return found;
}

Result<std::string> KubeCluster::read_log(const api::NamespacedName& pod) {
  // The kubelet cuts at limitBytes from the front of these lines, so the limit is far above what they hold.
  return client_.get(path_of(pods, pod.namespace_, pod.name, "log") +
                     "?container=" + engines::container_name + "&tailLines=400&limitBytes=1048576");
}

Result<std::string> KubeCluster::read_secret(const std::string& ns, const std::string& name,
                                             const std::string& key) {
  auto answer = client_.get(path_of(secrets, ns, name));
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  auto encoded = document->root()["data"][key].string();
  if (!encoded) return Error{ErrorKind::NotFound, "Secret " + ns + "/" + name + " has no key " + key, 0};
  auto decoded = base64_decode(*encoded);
  if (!decoded)
    return Error{ErrorKind::Invalid, "Secret " + ns + "/" + name + " key " + key + " is not base64", 0};
  return *decoded;
}

}  // namespace strix::app
