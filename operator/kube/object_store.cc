#include "kube/object_store.h"

#include <algorithm>

#include "base/check.h"

namespace strix::kube {

namespace {

auto place_of(const std::vector<const StoredObject*>& postings, const StoredObject& stored) {
  return std::lower_bound(postings.begin(), postings.end(), &stored,
                          [](const auto* a, const auto* b) { return a->key < b->key; });
}

}  // namespace

ObjectStore::ObjectStore(std::vector<StoreIndex> indexes)
    : functions_(std::move(indexes)), indexes_(functions_.size()) {}

std::shared_ptr<const void> ObjectStore::get(const ObjectKey& key) const {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->object;
}

std::vector<std::shared_ptr<const void>> ObjectStore::list() const {
  std::vector<std::shared_ptr<const void>> result;
  std::lock_guard lock(mutex_);
  result.reserve(objects_.size());
  for (const StoredObject& stored : objects_) result.push_back(stored.object);
  return result;
}

std::vector<std::shared_ptr<const void>> ObjectStore::by_index(std::string_view index,
                                                               const std::string& value) const {
  auto function = std::find_if(functions_.begin(), functions_.end(),
                               [&](const StoreIndex& known) { return known.name == index; });
  INVARIANT(function != functions_.end());
  std::vector<std::shared_ptr<const void>> result;
  std::lock_guard lock(mutex_);
  const Index& entries = indexes_[static_cast<size_t>(function - functions_.begin())];
  auto found = entries.find(value);
  if (found == entries.end()) return result;
  result.reserve(found->second.size());
  for (const StoredObject* stored : found->second) result.push_back(stored->object);
  return result;
}

size_t ObjectStore::size() const {
  std::lock_guard lock(mutex_);
  return objects_.size();
}

// Without the lock: the writer is the caller, and nobody else writes.
const StoredObject* ObjectStore::peek(const ObjectKey& key) const {
  auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : &*found;
}

void ObjectStore::for_each(const std::function<void(const StoredObject&)>& visit) const {
  for (const StoredObject& stored : objects_) visit(stored);
}

void ObjectStore::put(StoredObject stored) {
  INVARIANT(stored.object);
  std::lock_guard lock(mutex_);
  auto found = objects_.find(stored.key);
  if (found == objects_.end()) {
    found = objects_.insert(std::move(stored)).first;
  } else {
    unlink(*found);
    auto node = objects_.extract(found);
    node.value() = std::move(stored);
    found = objects_.insert(std::move(node)).position;
  }
  link(indexes_, *found);
}

void ObjectStore::erase(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(key);
  if (found == objects_.end()) return;
  unlink(*found);
  objects_.erase(found);
}

StoredObjects ObjectStore::replace(StoredObjects objects) {
  std::vector<Index> indexes(indexes_.size());
  for (const StoredObject& stored : objects) link(indexes, stored);
  std::lock_guard lock(mutex_);
  objects_.swap(objects);
  indexes_.swap(indexes);
  return objects;
}

void ObjectStore::link(std::vector<Index>& indexes, const StoredObject& stored) const {
  for (size_t i = 0; i < indexes.size(); ++i) {
    for (const std::string& value : functions_[i].values(stored.object.get())) {
      Postings& postings = indexes[i][value];
      auto place = place_of(postings, stored);
      if (place == postings.end() || *place != &stored) postings.insert(place, &stored);
    }
  }
}

void ObjectStore::unlink(const StoredObject& stored) {
  for (size_t i = 0; i < indexes_.size(); ++i) {
    for (const std::string& value : functions_[i].values(stored.object.get())) {
      auto entry = indexes_[i].find(value);
      if (entry == indexes_[i].end()) continue;
      auto place = place_of(entry->second, stored);
      if (place != entry->second.end() && *place == &stored) entry->second.erase(place);
      if (entry->second.empty()) indexes_[i].erase(entry);
    }
  }
}

}  // namespace strix::kube
