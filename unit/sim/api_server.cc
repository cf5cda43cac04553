#include "sim/api_server.h"

#include <algorithm>

#include "api/codec.h"
#include "api/names.h"
#include "base/bytes.h"
#include "base/json.h"

namespace strix::sim {

namespace {

Error conflict(const std::string& what) {
  return {ErrorKind::Conflict, "the object has been modified: " + what, 0};
}
Error not_found(const api::NamespacedName& key) {
  return {ErrorKind::NotFound, key.text() + " not found", 0};
}

// Custom resources, unlike pods, are not written unconditionally.
Error without_version() {
  return {ErrorKind::Invalid, "metadata.resourceVersion: must be specified for an update", 0};
}

Preconditions of_delete(Preconditions given) {
  given.of = Preconditions::Of::Delete;
  return given;
}

bool same(const api::ObjectMeta& a, const api::ObjectMeta& b) {
  auto same_owner = [](const auto& x, const auto& y) {
    return x.kind == y.kind && x.name == y.name && x.uid == y.uid && x.controller == y.controller;
  };
  return a.labels == b.labels && a.annotations == b.annotations &&
         std::equal(a.owners.begin(), a.owners.end(), b.owners.begin(), b.owners.end(), same_owner);
}

// What is being deleted takes no finalizer any more.
std::optional<Error> new_finalizer(const api::ObjectMeta& meta, const std::vector<std::string>& finalizers) {
  if (!meta.deleting()) return std::nullopt;
  for (const auto& finalizer : finalizers)
    if (!meta.has_finalizer(finalizer))
      return Error{ErrorKind::Invalid, "no new finalizers can be added if the object is being deleted", 0};
  return std::nullopt;
}

PodSpec read_spec(json::Value body) {
  PodSpec spec;
  json::Value selector = body["spec"]["nodeSelector"], engine = body["spec"]["containers"].at(0);
  spec.hostname = selector["kubernetes.io/hostname"].string_or("");
  spec.host_bytes = parse_quantity(engine["resources"]["requests"]["memory"].string_or("0")).value_or(0);
  spec.always_pulls = engine["imagePullPolicy"].string_or("") == "Always";
  std::string before;
  engine["args"].for_each([&](json::Value argument) {
    std::string text = argument.string_or("");
    size_t equals = text.find('=');
    std::string name = equals == std::string::npos ? before : text.substr(0, equals);
    std::string value = equals == std::string::npos ? text : text.substr(equals + 1);
    if (name == "--gpu-memory-utilization") {
      spec.gpu = true;
      spec.gpu_fraction_milli = fraction_to_milli(std::strtod(value.c_str(), nullptr));
    }
    if (name == "--max-model-len" || name == "--ctx-size")
      spec.context_length_tokens = std::strtoll(value.c_str(), nullptr, 10);
    before = text;
  });
  return spec;
}

}  // namespace

bool owned_by(const api::ObjectMeta& meta, const std::string& uid) {
  return std::any_of(meta.owners.begin(), meta.owners.end(), [&](const auto& o) { return o.uid == uid; });
}

template <class T>
Result<Shared<T>> ApiServer::find(const Table<T>& table, const api::NamespacedName& key,
                                  const Preconditions& given) const {
  Shared<T> found = table.find(key);
  if (!found) return not_found(key);
  const api::ObjectMeta& meta = found->metadata;
  if (!given.resource_version.empty() && given.resource_version != meta.resource_version)
    return conflict("resourceVersion is " + meta.resource_version);
  if (!given.uid.empty() && given.uid != meta.uid) {
    // A delete has preconditions; a patch has only fields, and this one never changes.
    if (given.of == Preconditions::Of::Delete) return conflict("uid is " + meta.uid);
    return Error{ErrorKind::Invalid, "metadata.uid: field is immutable", 0};
  }
  return found;
}

void ApiServer::begin_life(api::ObjectMeta& meta) {
  meta.uid = "uid-" + std::to_string(++uids_);
  meta.created = whole_seconds(time_.now().wall);
  meta.deleted = 0;
}

// --- pods

Status ApiServer::create_pod(const std::string& body) {
  auto document = json::Document::parse(body);
  if (!document) return document.error();
  auto pod = api::decode_pod(document->root());
  if (!pod) return pod.error();
  if (pods.find(pod->metadata.key()))
    return Error{ErrorKind::AlreadyExists, pod->metadata.key().text() + " already exists", 0};
  api::Pod fresh = std::move(pod).value();
  begin_life(fresh.metadata);
  fresh.phase = "Pending";
  specs_[fresh.metadata.uid] = read_spec(document->root());
  commit(pods, std::move(fresh));
  return success();
}

Status ApiServer::patch_pod(const api::NamespacedName& key, const Preconditions& given,
                            const std::function<bool(api::Pod&)>& change) {
  auto found = find(pods, key, given);
  if (!found) return found.error();
  api::Pod pod = **found;
  if (!change(pod)) return success();
  for (const auto& gate : pod.scheduling_gates) {
    const auto& before = (*found)->scheduling_gates;
    if (std::find(before.begin(), before.end(), gate) == before.end())
      return Error{ErrorKind::Invalid, "only deletion of scheduling gates is allowed", 0};
  }
  if (!pod.node_name.empty() && !pod.scheduling_gates.empty())
    return Error{ErrorKind::Invalid, "a pod with scheduling gates cannot be bound", 0};
  commit(pods, std::move(pod));
  return success();
}

Status ApiServer::bind_pod(const api::NamespacedName& key, const std::string& node) {
  auto found = find(pods, key, {});
  if (!found) return found.error();
  api::Pod pod = **found;
  bool free = pod.node_name.empty() && pod.scheduling_gates.empty() && !pod.metadata.deleting();
  if (!free) return conflict(key.text() + " cannot be assigned to a node");
  pod.node_name = node;
  commit(pods, std::move(pod));
  return success();
}

// A strategic merge: one owner for each uid.
Status ApiServer::adopt_pod(const api::NamespacedName& key, const Preconditions& given,
                            const api::OwnerReference& owner) {
  auto found = find(pods, key, given);
  if (!found) return found.error();
  if (owned_by((*found)->metadata, owner.uid)) return success();
  if ((*found)->metadata.controller())
    return Error{ErrorKind::Invalid, "only one owner can be the controller", 0};
  api::Pod pod = **found;
  pod.metadata.owners.push_back(owner);
  commit(pods, std::move(pod));
  return success();
}

Status ApiServer::set_pod_finalizers(const api::NamespacedName& key,
                                     const std::vector<std::string>& finalizers) {
  auto found = find(pods, key, {});
  if (!found) return found.error();
  api::Pod pod = **found;
  if (pod.metadata.finalizers == finalizers) return success();
  if (auto refused = new_finalizer(pod.metadata, finalizers)) return *refused;
  pod.metadata.finalizers = finalizers;
  bool free = finalizers.empty() && pod.metadata.deleting() && pod.metadata.deletion_grace_seconds == 0;
  commit(pods, std::move(pod));
  if (free) erase(pods, key);
  return success();
}

// As the registry's BeforeDelete has it: what is going already may only be given less time.
Status ApiServer::delete_pod(const api::NamespacedName& key, const Preconditions& given,
                             std::optional<int64_t> grace_seconds) {
  auto found = find(pods, key, of_delete(given));
  if (!found) return found.error();
  api::Pod pod = **found;
  api::ObjectMeta& meta = pod.metadata;
  int64_t grace = grace_seconds.value_or(pod.termination_grace_seconds);
  if (pod.node_name.empty() || pod.terminal()) grace = 0;
  WallMillis begun = whole_seconds(time_.now().wall);
  if (meta.deleting()) {
    if (grace_seconds) grace = *grace_seconds;
    if (meta.deletion_grace_seconds == 0 || !grace_seconds) grace = meta.deletion_grace_seconds;
    if (grace >= meta.deletion_grace_seconds && grace > 0) return success();
    begun = meta.deleted - meta.deletion_grace_seconds * 1000;
  }
  if (grace == 0 && meta.finalizers.empty()) {
    erase(pods, key);
    return success();
  }
  bool same = meta.deleting() && meta.deletion_grace_seconds == grace;
  meta.deleted = begun + grace * 1000;
  meta.deletion_grace_seconds = grace;
  if (!same) commit(pods, std::move(pod));
  return success();
}

// --- services

Status ApiServer::create_service(const std::string& body) {
  auto document = json::Document::parse(body);
  if (!document) return document.error();
  auto service = api::decode_service(document->root());
  if (!service) return service.error();
  if (services.find(service->metadata.key()))
    return Error{ErrorKind::AlreadyExists, service->metadata.key().text() + " already exists", 0};
  api::Service fresh = std::move(service).value();
  begin_life(fresh.metadata);
  commit(services, std::move(fresh));
  return success();
}

// A JSON merge patch: null takes a member away, lists are replaced.
Status ApiServer::patch_service(const api::NamespacedName& key, const std::string& body) {
  auto document = json::Document::parse(body);
  if (!document) return document.error();
  json::Value patch = document->root()["metadata"];
  auto found = find(services, key, {patch["uid"].string_or(""), patch["resourceVersion"].string_or("")});
  if (!found) return found.error();
  api::Service next = **found;
  auto merge = [](json::Value from, std::map<std::string, std::string>& into) {
    from.for_each_member([&](std::string_view name, json::Value value) {
      if (value.is_null())
        into.erase(std::string(name));
      else
        into[std::string(name)] = value.string_or("");
    });
  };
  merge(patch["labels"], next.metadata.labels);
  merge(patch["annotations"], next.metadata.annotations);
  if (patch["ownerReferences"].exists()) next.metadata.owners.clear();
  patch["ownerReferences"].for_each([&](json::Value owner) {
    next.metadata.owners.push_back({owner["kind"].string_or(""), owner["name"].string_or(""),
                                    owner["uid"].string_or(""), owner["controller"].boolean_or(false)});
  });
  if (same(next.metadata, (*found)->metadata)) return success();
  commit(services, std::move(next));
  return success();
}

Status ApiServer::delete_service(const api::NamespacedName& key, const Preconditions& given) {
  auto found = find(services, key, of_delete(given));
  if (!found) return found.error();
  erase(services, key);
  return success();
}

// --- stacks

Status ApiServer::create_stack(api::InferenceStack stack) {
  api::NamespacedName key = stack.metadata.key();
  if (stacks.find(key)) return Error{ErrorKind::AlreadyExists, key.text() + " already exists", 0};
  begin_life(stack.metadata);
  stack.metadata.generation = 1;
  stack.metadata.finalizers.clear();
  stack.status = {};
  applied_.erase(key);
  untouched_.insert(stack.metadata.uid);
  commit(stacks, std::move(stack));
  return success();
}

Status ApiServer::edit_stack(const api::NamespacedName& key,
                             const std::function<bool(api::StackSpec&)>& change) {
  auto found = find(stacks, key, {});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  if (!change(next.spec)) return touch(std::move(next), false);
  ++next.metadata.generation;
  return touch(std::move(next), true);
}

Status ApiServer::annotate_stack(const api::NamespacedName& key, const std::string& name,
                                 const std::string& value) {
  auto found = find(stacks, key, {});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  bool changed = std::exchange(next.metadata.annotations[name], value) != value;
  return touch(std::move(next), changed);
}

// The first write after a create makes a version even if it changes nothing.
Status ApiServer::touch(api::InferenceStack stack, bool changed) {
  bool first = untouched_.erase(stack.metadata.uid) > 0;
  if (first || changed) commit(stacks, std::move(stack));
  return success();
}

Status ApiServer::delete_stack(const api::NamespacedName& key, Propagation propagation) {
  auto found = find(stacks, key, {});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  auto& finalizers = next.metadata.finalizers;
  // The last word counts, also for what is going already.
  std::vector<std::string> before = finalizers;
  std::erase_if(finalizers, [](const auto& f) { return f == orphan_finalizer || f == foreground_finalizer; });
  if (propagation == Propagation::Foreground) finalizers.emplace_back(foreground_finalizer);
  if (propagation == Propagation::Orphan) finalizers.emplace_back(orphan_finalizer);
  if (std::is_permutation(before.begin(), before.end(), finalizers.begin(), finalizers.end()))
    finalizers = before;
  if (finalizers.empty()) {
    erase(stacks, key);
    return success();
  }
  bool changed = finalizers != before || !next.metadata.deleting();
  if (!next.metadata.deleting()) {
    ++next.metadata.generation;
    next.metadata.deleted = whole_seconds(time_.now().wall);
  }
  return touch(std::move(next), changed);
}

void ApiServer::finish_if_free(const api::NamespacedName& key) {
  Shared<api::InferenceStack> stack = stacks.find(key);
  if (stack && stack->metadata.deleting() && stack->metadata.finalizers.empty()) erase(stacks, key);
}

Result<std::string> ApiServer::set_finalizers(const api::NamespacedName& key, const Preconditions& given,
                                              const std::vector<std::string>& finalizers) {
  auto found = find(stacks, key, given);
  if (!found) return found.error();
  api::InferenceStack next = **found;
  if (auto refused = new_finalizer(next.metadata, finalizers)) return *refused;
  bool changed = std::exchange(next.metadata.finalizers, finalizers) != finalizers;
  (void)touch(std::move(next), changed);
  std::string version = stacks.find(key)->metadata.resource_version;
  finish_if_free(key);
  return version;
}

Result<std::string> ApiServer::apply_status(const api::NamespacedName& key,
                                            const std::string& resource_version,
                                            const api::StackStatus& status) {
  if (resource_version.empty() && stacks.find(key)) return without_version();
  auto found = find(stacks, key, {"", resource_version});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  api::InferenceStack naked;
  naked.metadata.name = key.name;
  naked.metadata.namespace_ = key.namespace_;
  std::string body = api::encode_status_apply(naked, status);
  if (applied_[key] == body) return next.metadata.resource_version;
  auto document = json::Document::parse(body);
  if (!document) return document.error();
  auto read = api::decode_stack(document->root());
  if (!read) return read.error();
  next.status = std::move(read).value().status;
  applied_[key] = std::move(body);
  (void)touch(std::move(next), true);
  return std::to_string(version_);
}

void ApiServer::put_node(api::Node node) {
  if (node.metadata.uid.empty()) begin_life(node.metadata);
  commit(nodes, std::move(node));
}

}  // namespace strix::sim
