// Why: the part of ObjectMeta that the operator reads, shared by all kinds.
// May not: keep managedFields or anything else that only costs memory.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"

namespace strix::api {

struct NamespacedName {
  std::string namespace_;
  std::string name;
  auto operator<=>(const NamespacedName&) const = default;
  std::string text() const { return namespace_.empty() ? name : namespace_ + "/" + name; }
};

struct OwnerReference {
  std::string kind, name, uid;
  bool controller = false;
};

struct ObjectMeta {
  std::string namespace_, name, uid, resource_version;
  int64_t generation = 0;
  WallMillis created = 0;
  WallMillis deleted = 0;  // deletionTimestamp; 0: not being deleted
  int64_t deletion_grace_seconds = 0;
  std::vector<std::string> finalizers;
  std::vector<OwnerReference> owners;
  std::map<std::string, std::string> labels, annotations;

  NamespacedName key() const { return {namespace_, name}; }
  bool deleting() const { return deleted != 0; }
  bool has_finalizer(std::string_view finalizer) const {
    for (const auto& f : finalizers)
      if (f == finalizer) return true;
    return false;
  }
  const OwnerReference* controller() const {
    for (const auto& owner : owners)
      if (owner.controller) return &owner;
    return nullptr;
  }
  bool controlled_by(std::string_view owner_uid) const {
    const OwnerReference* owner = controller();
    return owner && owner->uid == owner_uid;
  }
  std::string annotation(std::string_view key) const {
    auto found = annotations.find(std::string(key));
    return found == annotations.end() ? std::string() : found->second;
  }
  std::string label(std::string_view key) const {
    auto found = labels.find(std::string(key));
    return found == labels.end() ? std::string() : found->second;
  }
};

}  // namespace strix::api
