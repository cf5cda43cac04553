#include <algorithm>

#include "api/names.h"
#include "engines/engine.h"
#include "engines/labels.h"

namespace strix::engines {
namespace {

using Annotations = std::map<std::string, std::string>;

Annotations annotations_of(const api::Tier& tier, const std::string& hash) {
  Annotations annotations = tier.service.annotations;
  annotations.erase(std::string(names::annotation_applied_hash));
  annotations.erase(std::string(names::annotation_applied_keys));
  std::string keys;
  for (const auto& [key, value] : annotations) keys += (keys.empty() ? "" : ",") + key;
  if (!keys.empty()) annotations[std::string(names::annotation_applied_keys)] = keys;
  if (!hash.empty()) annotations[std::string(names::annotation_applied_hash)] = hash;
  return annotations;
}

// The keys that were applied once and are not wanted any more.
std::vector<std::string> stale_keys(const api::Service& existing, const Annotations& wanted) {
  std::vector<std::string> stale;
  std::string applied = existing.metadata.annotation(names::annotation_applied_keys);
  if (!applied.empty()) applied += "," + std::string(names::annotation_applied_keys);
  for (size_t begin = 0; begin < applied.size();) {
    size_t end = std::min(applied.find(',', begin), applied.size());
    std::string key = applied.substr(begin, end - begin);
    if (!wanted.contains(key)) stale.push_back(key);
    begin = end + 1;
  }
  return stale;
}

void write_spec(json::Writer& writer, const api::InferenceStack& stack, const api::Tier& tier) {
  writer.key("spec").begin_object();
  writer.member("type", tier.service.type.empty() ? std::string("ClusterIP") : tier.service.type);
  write_map(writer, "selector", selector_of(stack, tier));
  // Only a tier that has answered a request is ready (the readiness gate), and only ready ones get traffic.
  writer.member("publishNotReadyAddresses", false);
  writer.key("ports").begin_array().begin_object();
  writer.member("name", port_name).member("protocol", "TCP");
  writer.member("port", tier.port).member("targetPort", port_name);
  writer.end_object().end_array();
  writer.end_object();
}

// `hash` empty: the body that the hash is made of.
std::string write_service(const api::InferenceStack& stack, const api::Tier& tier, const std::string& hash) {
  json::Writer writer;
  writer.begin_object();
  writer.member("apiVersion", "v1").member("kind", "Service");
  writer.key("metadata").begin_object();
  writer.member("name", object_name(stack, tier));
  writer.member("namespace", stack.metadata.namespace_);
  write_map(writer, "labels", labels_of(stack, tier));
  write_map(writer, "annotations", annotations_of(tier, hash));
  write_owner(writer, stack);
  writer.end_object();
  write_spec(writer, stack, tier);
  writer.end_object();
  return writer.take();
}

}  // namespace

ServiceTemplate service_template_of(const api::InferenceStack& stack, const api::Tier& tier) {
  return {object_name(stack, tier), canonical_hash(write_service(stack, tier, {}))};
}

RenderedService render_service(const api::InferenceStack& stack, const api::Tier& tier) {
  ServiceTemplate made_from = service_template_of(stack, tier);
  std::string body = write_service(stack, tier, made_from.hash);
  return {std::move(made_from), std::move(body)};
}

std::string render_service_patch(const api::InferenceStack& stack, const api::Tier& tier,
                                 const api::Service& existing) {
  Annotations annotations = annotations_of(tier, service_template_of(stack, tier).hash);
  json::Writer writer;
  writer.begin_object().key("metadata").begin_object();
  writer.member("uid", existing.metadata.uid);
  write_map(writer, "labels", labels_of(stack, tier));
  writer.key("annotations").begin_object();
  for (const auto& [key, value] : annotations) writer.member(key, value);
  for (const auto& key : stale_keys(existing, annotations)) writer.key(key).null();
  writer.end_object();
  write_owner(writer, stack);
  writer.end_object();
  write_spec(writer, stack, tier);
  writer.end_object();
  return writer.take();
}

}  // namespace strix::engines
