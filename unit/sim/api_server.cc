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

bool owned_by(const api::ObjectMeta& meta, const std::string& uid) {
  return std::any_of(meta.owners.begin(), meta.owners.end(), [&](const auto& o) { return o.uid == uid; });
}

PodSpec read_spec(json::Value body) {
  PodSpec spec;
  json::Value selector = body["spec"]["nodeSelector"], engine = body["spec"]["containers"].at(0);
  spec.hostname = selector["kubernetes.io/hostname"].string_or("");
  spec.host_bytes = parse_quantity(engine["resources"]["requests"]["memory"].string_or("0")).value_or(0);
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

template <class T>
void ApiServer::commit(Table<T>& table, T object) {
  object.metadata.resource_version = std::to_string(++version_);
  api::NamespacedName key = object.metadata.key();
  Shared<T> before = table.find(key), after = std::make_shared<const T>(std::move(object));
  table.objects[key] = after;
  table.history.push_back({key, after});
  for (const auto& watcher : table.watchers) watcher(before, after);
}

template <class T>
void ApiServer::erase(Table<T>& table, const api::NamespacedName& key) {
  Shared<T> before = table.find(key);
  ++version_;
  table.objects.erase(key);
  table.history.push_back({key, nullptr});
  for (const auto& watcher : table.watchers) watcher(before, nullptr);
}

template <class T>
Result<Shared<T>> ApiServer::find(const Table<T>& table, const api::NamespacedName& key,
                                  const Preconditions& given) const {
  Shared<T> found = table.find(key);
  if (!found) return not_found(key);
  const api::ObjectMeta& meta = found->metadata;
  if (!given.uid.empty() && given.uid != meta.uid) return conflict("uid is " + meta.uid);
  if (!given.resource_version.empty() && given.resource_version != meta.resource_version)
    return conflict("resourceVersion is " + meta.resource_version);
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

Status ApiServer::delete_pod(const api::NamespacedName& key, const Preconditions& given,
                             std::optional<int64_t> grace_seconds) {
  auto found = find(pods, key, given);
  if (!found) return found.error();
  api::Pod pod = **found;
  int64_t grace = grace_seconds.value_or(pod.termination_grace_seconds);
  if (pod.node_name.empty() || pod.terminal()) grace = 0;
  if (grace == 0 && pod.metadata.finalizers.empty()) {
    erase(pods, key);
    return success();
  }
  if (pod.metadata.deleting()) return success();
  pod.metadata.deleted = whole_seconds(time_.now().wall) + grace * 1000;
  pod.metadata.deletion_grace_seconds = grace;
  commit(pods, std::move(pod));
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
  commit(services, std::move(next));
  return success();
}

Status ApiServer::delete_service(const api::NamespacedName& key, const Preconditions& given) {
  auto found = find(services, key, given);
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
  commit(stacks, std::move(stack));
  return success();
}

Status ApiServer::edit_stack(const api::NamespacedName& key,
                             const std::function<void(api::StackSpec&)>& change) {
  auto found = find(stacks, key, {});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  change(next.spec);
  ++next.metadata.generation;
  commit(stacks, std::move(next));
  return success();
}

Status ApiServer::delete_stack(const api::NamespacedName& key, Propagation propagation) {
  auto found = find(stacks, key, {});
  if (!found) return found.error();
  api::InferenceStack next = **found;
  if (propagation == Propagation::Foreground) next.metadata.finalizers.push_back("foregroundDeletion");
  if (propagation == Propagation::Orphan) next.metadata.finalizers.push_back("orphan");
  if (next.metadata.finalizers.empty()) {
    erase(stacks, key);
    return success();
  }
  if (!next.metadata.deleting()) ++next.metadata.generation;
  next.metadata.deleted = whole_seconds(time_.now().wall);
  commit(stacks, std::move(next));
  return success();
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
  if (next.metadata.finalizers == finalizers) return next.metadata.resource_version;
  if (next.metadata.deleting()) {
    for (const auto& finalizer : finalizers)
      if (!next.metadata.has_finalizer(finalizer))
        return Error{ErrorKind::Invalid, "no new finalizers can be added if the object is being deleted", 0};
  }
  next.metadata.finalizers = finalizers;
  commit(stacks, std::move(next));
  finish_if_free(key);
  return std::to_string(version_);
}

Result<std::string> ApiServer::apply_status(const api::NamespacedName& key,
                                            const std::string& resource_version,
                                            const api::StackStatus& status) {
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
  commit(stacks, std::move(next));
  return std::to_string(version_);
}

void ApiServer::put_node(api::Node node) {
  if (node.metadata.uid.empty()) begin_life(node.metadata);
  commit(nodes, std::move(node));
}

// --- the garbage collector

bool ApiServer::collect() {
  bool changed = false;
  auto owners = stacks.objects;  // a copy: what it does changes the table
  for (const auto& [key, owner] : owners)
    if (owner->metadata.deleting()) changed = collect_for(*owner) || changed;
  return collect_ownerless() || changed;
}

bool ApiServer::collect_for(const api::InferenceStack& owner) {
  bool foreground = owner.metadata.has_finalizer("foregroundDeletion");
  bool orphan = owner.metadata.has_finalizer("orphan");
  if (!foreground && !orphan) return false;
  bool left = false;
  auto all_pods = pods.objects;
  for (const auto& [key, pod] : all_pods) {
    if (!owned_by(pod->metadata, owner.metadata.uid)) continue;
    if (orphan) {
      api::Pod next = *pod;
      std::erase_if(next.metadata.owners, [&](const auto& o) { return o.uid == owner.metadata.uid; });
      commit(pods, std::move(next));
    } else {
      if (!pod->metadata.deleting()) {
        story_.tell("collector", "deletes pod {} in the foreground", key.text());
        (void)delete_pod(key, {}, {});
      }
      left = left || pods.find(key);
    }
  }
  auto all_services = services.objects;
  for (const auto& [key, service] : all_services) {
    if (!owned_by(service->metadata, owner.metadata.uid)) continue;
    if (!orphan) {
      erase(services, key);
      continue;
    }
    api::Service next = *service;
    next.metadata.owners.clear();
    commit(services, std::move(next));
  }
  if (left) return false;
  story_.tell("collector", "is done with {} ({})", owner.metadata.key().text(),
              orphan ? "orphan" : "foreground");
  std::vector<std::string> rest;
  for (const auto& finalizer : owner.metadata.finalizers)
    if (finalizer != "orphan" && finalizer != "foregroundDeletion") rest.push_back(finalizer);
  (void)set_finalizers(owner.metadata.key(), {}, rest);
  return true;
}

bool ApiServer::collect_ownerless() {
  auto gone = [&](const api::ObjectMeta& meta) {
    return !meta.owners.empty() &&
           std::none_of(stacks.objects.begin(), stacks.objects.end(),
                        [&](const auto& entry) { return owned_by(meta, entry.second->metadata.uid); }) &&
           meta.owners.front().kind == names::kind;
  };
  bool changed = false;
  auto all_pods = pods.objects;
  for (const auto& [key, pod] : all_pods) {
    if (!gone(pod->metadata) || pod->metadata.deleting()) continue;
    story_.tell("collector", "deletes pod {}: its owner is gone", key.text());
    (void)delete_pod(key, {}, {});
    changed = true;
  }
  auto all_services = services.objects;
  for (const auto& [key, service] : all_services) {
    if (!gone(service->metadata)) continue;
    erase(services, key);
    changed = true;
  }
  return changed;
}

}  // namespace strix::sim
