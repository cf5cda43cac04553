// Why: what an informer knows, for many readers and one writer. Thousands of objects change one at a time,
// so the objects are shared and immutable, and the map around them is not copied.
// May not: show half a list, know the type of what it holds, or call anybody while it is locked.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace strix::kube {

struct ObjectKey {
  std::string namespace_, name;  // namespace_ is empty for cluster-scoped kinds
  auto operator<=>(const ObjectKey&) const = default;
};

// One object as the store keeps it. The object's type is known to the template around the store.
struct StoredObject {
  ObjectKey key;
  std::string uid, resource_version;
  std::shared_ptr<const void> object;
};

struct ByKey {
  using is_transparent = void;
  bool operator()(const StoredObject& a, const StoredObject& b) const { return a.key < b.key; }
  bool operator()(const StoredObject& a, const ObjectKey& b) const { return a.key < b; }
  bool operator()(const ObjectKey& a, const StoredObject& b) const { return a < b.key; }
};
using StoredObjects = std::set<StoredObject, ByKey>;

// Under which values an object is found. Asked again when the object goes, so that nothing of it is kept.
struct StoreIndex {
  std::string name;
  std::function<std::vector<std::string>(const void*)> values;
};

// The objects of one kind, whole at every moment. Written by the loop's thread, read by any.
class ObjectStore {
 public:
  explicit ObjectStore(std::vector<StoreIndex> indexes);

  std::shared_ptr<const void> get(const ObjectKey& key) const;
  std::vector<std::shared_ptr<const void>> list() const;
  std::vector<std::shared_ptr<const void>> by_index(std::string_view index, const std::string& value) const;
  size_t size() const;

  // Entries themselves, for the writer alone.
  const StoredObject* peek(const ObjectKey& key) const;
  void put(StoredObject stored);
  void erase(const ObjectKey& key);
  void for_each(const std::function<void(const StoredObject&)>& visit) const;
  // Everything at once; gives back what was there before.
  StoredObjects replace(StoredObjects objects);

 private:
  // In order of keys. An entry of a set stays where it is for as long as it is there.
  using Postings = std::vector<const StoredObject*>;
  using Index = std::unordered_map<std::string, Postings>;
  void link(std::vector<Index>& indexes, const StoredObject& stored) const;
  void unlink(const StoredObject& stored);

  const std::vector<StoreIndex> functions_;
  mutable std::mutex mutex_;
  StoredObjects objects_;
  std::vector<Index> indexes_;
};

}  // namespace strix::kube
