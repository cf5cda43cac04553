#include "api/names.h"
#include "engines/engine.h"
#include "engines/labels.h"

namespace strix::engines {
namespace {

// `hash` empty: the body that the hash is made of.
std::string write_service(const api::InferenceStack& stack, const api::Tier& tier, const std::string& hash) {
  auto annotations = tier.service.annotations;
  annotations.erase(std::string(names::annotation_applied_hash));
  if (!hash.empty()) annotations[std::string(names::annotation_applied_hash)] = hash;
  json::Writer writer;
  writer.begin_object();
  writer.member("apiVersion", "v1").member("kind", "Service");
  writer.key("metadata").begin_object();
  writer.member("name", object_name(stack, tier));
  writer.member("namespace", stack.metadata.namespace_);
  write_map(writer, "labels", labels_of(stack, tier));
  write_map(writer, "annotations", annotations);
  write_owner(writer, stack);
  writer.end_object();
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
  writer.end_object();
  return writer.take();
}

}  // namespace

RenderedService render_service(const api::InferenceStack& stack, const api::Tier& tier) {
  RenderedService service;
  service.name = object_name(stack, tier);
  service.hash = canonical_hash(write_service(stack, tier, {}));
  service.body = write_service(stack, tier, service.hash);
  return service;
}

}  // namespace strix::engines
