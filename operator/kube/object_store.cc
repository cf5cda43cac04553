#include "kube/object_store.h"

#include <algorithm>

#include "base/check.h"

namespace strix::kube {

ObjectStore::ObjectStore(std::vector<std::string> index_names)
    : index_names_(std::move(index_names)), indexes_(index_names_.size()) {}

std::shared_ptr<const void> ObjectStore::get(const ObjectKey& key) const {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second.object;
}

std::vector<std::shared_ptr<const void>> ObjectStore::list() const {
  std::vector<std::shared_ptr<const void>> result;
  std::lock_guard lock(mutex_);
  result.reserve(objects_.size());
  for (const auto& [key, stored] : objects_) result.push_back(stored.object);
  return result;
}

std::vector<std::shared_ptr<const void>> ObjectStore::by_index(std::string_view index,
                                                               const std::string& value) const {
  auto name = std::find(index_names_.begin(), index_names_.end(), index);
  INVARIANT(name != index_names_.end());
  std::vector<std::shared_ptr<const void>> result;
  std::lock_guard lock(mutex_);
  const Index& entries = indexes_[static_cast<size_t>(name - index_names_.begin())];
  auto found = entries.find(value);
  if (found == entries.end()) return result;
  for (const ObjectKey& key : found->second) result.push_back(objects_.at(key).object);
  return result;
}

size_t ObjectStore::size() const {
  std::lock_guard lock(mutex_);
  return objects_.size();
}

// Without the lock: the writer is the caller, and nobody else writes.
const StoredObject* ObjectStore::peek(const ObjectKey& key) const {
  auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : &found->second;
}

void ObjectStore::for_each(const std::function<void(const StoredObject&)>& visit) const {
  for (const auto& [key, stored] : objects_) visit(stored);
}

void ObjectStore::put(StoredObject stored) {
  INVARIANT(stored.object && stored.index_keys.size() == indexes_.size());
  std::lock_guard lock(mutex_);
  StoredObject& entry = objects_[stored.key];
  if (entry.object) unlink(indexes_, entry);
  entry = std::move(stored);
  link(indexes_, entry);
}

void ObjectStore::erase(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(key);
  if (found == objects_.end()) return;
  unlink(indexes_, found->second);
  objects_.erase(found);
}

std::map<ObjectKey, StoredObject> ObjectStore::replace(std::map<ObjectKey, StoredObject> objects) {
  std::vector<Index> indexes(indexes_.size());
  for (const auto& [key, stored] : objects) link(indexes, stored);
  std::lock_guard lock(mutex_);
  objects_.swap(objects);
  indexes_.swap(indexes);
  return objects;
}

void ObjectStore::link(std::vector<Index>& indexes, const StoredObject& stored) {
  for (size_t i = 0; i < indexes.size(); ++i)
    for (const std::string& value : stored.index_keys[i]) indexes[i][value].insert(stored.key);
}

void ObjectStore::unlink(std::vector<Index>& indexes, const StoredObject& stored) {
  for (size_t i = 0; i < indexes.size(); ++i) {
    for (const std::string& value : stored.index_keys[i]) {
      auto entry = indexes[i].find(value);
      if (entry == indexes[i].end()) continue;
      entry->second.erase(stored.key);
      if (entry->second.empty()) indexes[i].erase(entry);
    }
  }
}

}  // namespace strix::kube
