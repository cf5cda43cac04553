#include <algorithm>

#include "api/names.h"
#include "sim/api_server.h"

// The garbage collector's half of the API server.
namespace strix::sim {

bool ApiServer::collect() {
  bool changed = false;
  auto owners = stacks.objects;  // a copy: what it does changes the table
  for (const auto& [key, owner] : owners)
    if (owner->metadata.deleting()) changed = collect_for(*owner) || changed;
  return collect_ownerless() || changed;
}

bool ApiServer::collect_for(const api::InferenceStack& owner) {
  bool foreground = owner.metadata.has_finalizer(foreground_finalizer);
  bool orphan = owner.metadata.has_finalizer(orphan_finalizer);
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
    std::erase_if(next.metadata.owners, [&](const auto& o) { return o.uid == owner.metadata.uid; });
    commit(services, std::move(next));
  }
  if (left) return false;
  story_.tell("collector", "is done with {} ({})", owner.metadata.key().text(),
              orphan ? "orphan" : "foreground");
  std::vector<std::string> rest;
  for (const auto& finalizer : owner.metadata.finalizers)
    if (finalizer != orphan_finalizer && finalizer != foreground_finalizer) rest.push_back(finalizer);
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
