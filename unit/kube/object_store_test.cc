#include "kube/object_store.h"

#include "catch.h"

using namespace strix::kube;

namespace {

StoredObject stored(const std::string& name, int content, std::vector<std::string> colours) {
  return StoredObject{{"llm", name}, "u", "1", std::make_shared<const int>(content), {std::move(colours)}};
}
std::vector<int> contents(const std::vector<std::shared_ptr<const void>>& objects) {
  std::vector<int> result;
  for (const auto& object : objects) result.push_back(*std::static_pointer_cast<const int>(object));
  return result;
}

}  // namespace

TEST_CASE("an object is found by its name and under each value of an index, in order of names") {
  ObjectStore store({"colour"});
  store.put(stored("b", 2, {"red"}));
  store.put(stored("a", 1, {"red", "blue"}));
  CHECK(contents(store.list()) == std::vector<int>{1, 2});
  CHECK(contents(store.by_index("colour", "red")) == std::vector<int>{1, 2});
  CHECK(contents(store.by_index("colour", "blue")) == std::vector<int>{1});
  CHECK(store.by_index("colour", "green").empty());
  CHECK(store.get({"llm", "c"}) == nullptr);
}

TEST_CASE("a changed object is not found under what it was before, nor a removed one") {
  ObjectStore store({"colour"});
  store.put(stored("a", 1, {"red"}));
  store.put(stored("a", 2, {"blue"}));
  CHECK(store.by_index("colour", "red").empty());
  CHECK(contents(store.by_index("colour", "blue")) == std::vector<int>{2});
  store.erase({"llm", "a"});
  store.erase({"llm", "a"});
  CHECK(store.by_index("colour", "blue").empty());
  CHECK(store.size() == 0);
}

TEST_CASE("a replacement changes objects and indexes together and gives back what was there") {
  ObjectStore store({"colour"});
  store.put(stored("a", 1, {"red"}));
  std::map<ObjectKey, StoredObject> fresh;
  fresh[{"llm", "b"}] = stored("b", 2, {"red"});
  auto before = store.replace(std::move(fresh));
  CHECK(before.size() == 1);
  CHECK(contents(store.by_index("colour", "red")) == std::vector<int>{2});
  CHECK(store.peek({"llm", "a"}) == nullptr);
}
