// Pod, Node and Service: written by the API server, so shapes are right; a surprise reads as absent.
#include <algorithm>
#include <cctype>

#include "api/codec.h"
#include "base/bytes.h"

namespace strix::api {

namespace {

constexpr std::string_view engine_container = "engine";
// A copy of the whole manifest, which nobody here reads.
constexpr std::string_view last_applied = "kubectl.kubernetes.io/last-applied-configuration";

WallMillis time_of(json::Value value) {
  auto text = value.string();
  return text ? parse_time(*text).value_or(0) : 0;
}

std::map<std::string, std::string> string_map(json::Value object) {
  std::map<std::string, std::string> all;
  object.for_each_member(
      [&](std::string_view name, json::Value value) { all[std::string(name)] = value.string_or(""); });
  return all;
}

// "last seen active 3m12.4s ago": a kubelet whose runtime hangs says something new every ten seconds, of
// which only the time is new.
std::string without_durations(const std::string& message) {
  std::string text;
  for (size_t at = 0; at < message.size();) {
    size_t end = at;
    bool word = at > 0 && std::isalnum(static_cast<unsigned char>(message[at - 1]));
    while (!word && end < message.size() && std::isdigit(static_cast<unsigned char>(message[end]))) {
      size_t unit = message.find_first_not_of("0123456789.", end);
      size_t past = unit == std::string::npos ? unit : message.find_first_not_of("hmsnu", unit);
      if (unit == std::string::npos || past == unit) break;
      end = std::min(past, message.size());
    }
    bool duration =
        end > at && (end == message.size() || !std::isalnum(static_cast<unsigned char>(message[end])));
    text += duration ? "some time" : message.substr(at, 1);
    at = duration ? end : at + 1;
  }
  return text;
}

OwnerReference decode_owner(json::Value value) {
  return OwnerReference{.kind = value["kind"].string_or(""),
                        .name = value["name"].string_or(""),
                        .uid = value["uid"].string_or(""),
                        .controller = value["controller"].boolean_or(false)};
}

ContainerStatus decode_container(json::Value value) {
  ContainerStatus status;
  status.name = value["name"].string_or("");
  status.image_id = value["imageID"].string_or("");
  json::Value state = value["state"];
  json::Value running = state["running"];
  json::Value waiting = state["waiting"];
  json::Value terminated = state["terminated"];
  status.running = running.is_object();
  status.started = time_of(running["startedAt"]);
  status.waiting_reason = waiting["reason"].string_or("");
  status.waiting_message = waiting["message"].string_or("");
  if (terminated.is_object()) {
    status.terminated = true;
    status.started = time_of(terminated["startedAt"]);
    status.exit_code = static_cast<int>(terminated["exitCode"].integer_or(0));
    status.signal = static_cast<int>(terminated["signal"].integer_or(0));
    status.terminated_reason = terminated["reason"].string_or("");
    status.terminated_message = terminated["message"].string_or("");
    status.finished = time_of(terminated["finishedAt"]);
  }
  return status;
}

PodCondition decode_pod_condition(json::Value value) {
  return PodCondition{.type = value["type"].string_or(""),
                      .status = value["status"].string_or(""),
                      .reason = value["reason"].string_or(""),
                      .message = value["message"].string_or(""),
                      .last_transition = time_of(value["lastTransitionTime"])};
}

}  // namespace

Result<ObjectMeta> decode_meta(json::Value object) {
  if (!object.is_object()) return Error{ErrorKind::Invalid, "not a JSON object"};
  json::Value value = object["metadata"];
  ObjectMeta meta;
  meta.name = value["name"].string_or("");
  if (meta.name.empty()) return Error{ErrorKind::Invalid, "metadata.name is missing"};
  meta.namespace_ = value["namespace"].string_or("");
  meta.uid = value["uid"].string_or("");
  meta.resource_version = value["resourceVersion"].string_or("");
  meta.generation = value["generation"].integer_or(0);
  meta.created = time_of(value["creationTimestamp"]);
  meta.deleted = time_of(value["deletionTimestamp"]);
  meta.deletion_grace_seconds = value["deletionGracePeriodSeconds"].integer_or(0);
  value["finalizers"].for_each([&](json::Value name) { meta.finalizers.push_back(name.string_or("")); });
  value["ownerReferences"].for_each([&](json::Value owner) { meta.owners.push_back(decode_owner(owner)); });
  meta.labels = string_map(value["labels"]);
  meta.annotations = string_map(value["annotations"]);
  meta.annotations.erase(std::string(last_applied));
  return meta;
}

Result<Pod> decode_pod(json::Value object) {
  auto meta = decode_meta(object);
  if (!meta) return meta.error();
  Pod pod;
  pod.metadata = std::move(meta).value();
  json::Value spec = object["spec"];
  json::Value status = object["status"];
  pod.node_name = spec["nodeName"].string_or("");
  spec["schedulingGates"].for_each(
      [&](json::Value gate) { pod.scheduling_gates.push_back(gate["name"].string_or("")); });
  pod.termination_grace_seconds = spec["terminationGracePeriodSeconds"].integer_or(30);
  spec["containers"].for_each([&](json::Value container) {
    if (container["name"].string_or("") != engine_container) return;
    pod.image = container["image"].string_or("");
    pod.engine_port = static_cast<int>(container["ports"].at(0)["containerPort"].integer_or(0));
    for (const auto& [resource, quantity] : string_map(container["resources"]["limits"]))
      if (resource.find('/') != std::string::npos) pod.devices.push_back(resource);
  });
  pod.phase = status["phase"].string_or("");
  pod.reason = status["reason"].string_or("");
  pod.message = status["message"].string_or("");
  pod.pod_ip = status["podIP"].string_or("");
  status["conditions"].for_each(
      [&](json::Value condition) { pod.conditions.push_back(decode_pod_condition(condition)); });
  status["containerStatuses"].for_each([&](json::Value container) {
    if (container["name"].string_or("") == engine_container) pod.engine = decode_container(container);
  });
  return pod;
}

Result<Node> decode_node(json::Value object) {
  auto meta = decode_meta(object);
  if (!meta) return meta.error();
  Node node;
  node.metadata = std::move(meta).value();
  node.metadata.annotations.clear();  // written by many, read by nobody here
  json::Value status = object["status"];
  node.boot_id = status["nodeInfo"]["bootID"].string_or("");
  node.unschedulable = object["spec"]["unschedulable"].boolean_or(false);
  status["conditions"].for_each([&](json::Value condition) {
    if (condition["type"].string_or("") != "Ready") return;
    node.ready = condition["status"].string_or("") == "True";
    node.ready_message = without_durations(condition["message"].string_or(""));
    node.ready_since = time_of(condition["lastTransitionTime"]);
  });
  status["images"].for_each([&](json::Value image) {
    image["names"].for_each([&](json::Value name) { node.images.push_back(name.string_or("")); });
  });
  status["allocatable"].for_each_member([&](std::string_view name, json::Value value) {
    bool wanted = name == "memory" || name.find('/') != std::string_view::npos;
    auto amount = parse_quantity(value.string_or(""));
    if (wanted && amount) node.allocatable[std::string(name)] = *amount;
  });
  return node;
}

Result<Service> decode_service(json::Value object) {
  auto meta = decode_meta(object);
  if (!meta) return meta.error();
  return Service{.metadata = std::move(meta).value()};
}

Result<ConfigMap> decode_config_map(json::Value object) {
  auto meta = decode_meta(object);
  if (!meta) return meta.error();
  ConfigMap map;
  map.metadata = std::move(meta).value();
  object["data"].for_each_member(
      [&](std::string_view name, json::Value value) { map.data[std::string(name)] = value.string_or(""); });
  return map;
}

}  // namespace strix::api
