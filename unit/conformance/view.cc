#include "conformance/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "api/codec.h"
#include "api/names.h"

namespace strix::conformance {

namespace {

// Whole seconds on the wire, and a collector that takes its time.
constexpr int64_t clock_tolerance_millis = 6'000;

std::string going_key(const api::ObjectMeta& meta) {
  return fmt::format("{} {}", meta.uid, meta.deletion_grace_seconds);
}

std::string members(const char* title, const std::map<std::string, std::string>& all) {
  std::string text;
  // The hash of a Service is one of its owner's uid, too.
  for (const auto& [name, value] : all)
    text += fmt::format(" {}={}", name, name == names::annotation_applied_hash ? "..." : value);
  return text.empty() ? "" : fmt::format(" {}:{}", title, text);
}

}  // namespace

const std::vector<Sight>& View::sights(const std::string& object) const {
  static const std::vector<Sight> none;
  auto found = sights_.find(object);
  return found == sights_.end() ? none : found->second;
}

std::string View::life(const std::string& uid) const {
  auto known = lives_.find(uid);
  return known == lives_.end() ? "new" : fmt::format("{}", known->second);
}

std::string View::meta(const api::ObjectMeta& meta, const std::string& object, WallMillis wall) const {
  const auto& seen = sights(object);
  bool changed =
      seen.empty() || seen.back().uid != meta.uid || seen.back().resource_version != meta.resource_version;
  std::string text = fmt::format("life {}{}", life(meta.uid), changed ? ", changed" : "");
  if (!lives_.contains(meta.uid) && std::abs(meta.created - wall) > clock_tolerance_millis)
    text += ", made at another time";
  if (meta.deleting()) {
    auto since = going_since_.find(going_key(meta));
    WallMillis begun = since == going_since_.end() ? wall : since->second;
    int64_t off = meta.deleted - meta.deletion_grace_seconds * 1000 - begun;
    text += fmt::format(", going with {} s{}", meta.deletion_grace_seconds,
                        std::abs(off) > clock_tolerance_millis ? " of another time" : "");
  }
  for (const auto& finalizer : meta.finalizers) text += " finalizer " + finalizer;
  for (const auto& owner : meta.owners)
    text += fmt::format(" owner {} {} {}{}", owner.kind, owner.name, life(owner.uid),
                        owner.controller ? " (controller)" : "");
  return text + members("labels", meta.labels) + members("annotations", meta.annotations);
}

std::string View::pod(const api::Pod& pod, WallMillis wall) const {
  std::string text = meta(pod.metadata, "pod/" + pod.metadata.name, wall);
  text += fmt::format(" node '{}' phase {} reason '{}' ip '{}' grace {} port {}", pod.node_name, pod.phase,
                      pod.reason, pod.pod_ip, pod.termination_grace_seconds, pod.engine_port);
  for (const auto& gate : pod.scheduling_gates) text += " gate " + gate;
  if (const auto* serving = pod.condition(names::readiness_gate))
    text += fmt::format(" serving {} {} '{}' {}", serving->status, serving->reason, serving->message,
                        serving->last_transition);
  if (pod.engine)
    text += fmt::format(" engine running {} {} terminated {} {} {}", pod.engine->running, pod.engine->started,
                        pod.engine->terminated, pod.engine->exit_code, pod.engine->finished);
  return text;
}

std::map<std::string, std::string> View::told(const Objects& objects, WallMillis wall) const {
  std::map<std::string, std::string> all;
  for (const auto& stack : objects.stacks) {
    std::string object = "stack/" + stack.metadata.name;
    std::string text = meta(stack.metadata, object, wall);
    text += fmt::format(" generation {} suspend {}", stack.metadata.generation, stack.spec.suspend);
    for (const auto& tier : stack.spec.tiers)
      text += fmt::format(" {} {}", tier.name, tier.context_length_tokens);
    all[object] = text + " status " + api::status_fingerprint(stack.status);
  }
  for (const auto& one : objects.pods) all["pod/" + one.metadata.name] = pod(one, wall);
  for (const auto& service : objects.services) {
    std::string object = "service/" + service.metadata.name;
    all[object] = meta(service.metadata, object, wall);
  }
  return all;
}

void View::see(const std::string& object, const api::ObjectMeta& meta, Sight sight, WallMillis wall) {
  lives_.try_emplace(meta.uid, lives_.size());
  if (meta.deleting()) going_since_.try_emplace(going_key(meta), wall);
  auto& seen = sights_[object];
  if (!seen.empty() && seen.back().uid == meta.uid && seen.back().resource_version == meta.resource_version)
    return;
  sight.uid = meta.uid;
  sight.resource_version = meta.resource_version;
  seen.push_back(std::move(sight));
}

void View::remember(const Objects& objects, WallMillis wall) {
  for (const auto& stack : objects.stacks)
    see("stack/" + stack.metadata.name, stack.metadata, {"", "", stack, {}}, wall);
  for (const auto& one : objects.pods) see("pod/" + one.metadata.name, one.metadata, {}, wall);
  for (const auto& service : objects.services)
    see("service/" + service.metadata.name, service.metadata, {"", "", {}, service}, wall);
  last_ = objects;
}

}  // namespace strix::conformance
