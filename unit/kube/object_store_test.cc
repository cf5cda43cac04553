#include "kube/object_store.h"

#include <algorithm>

#include "catch.h"

using namespace strix::kube;

namespace {

struct Thing {
  int content;
  std::vector<std::string> colours;
};

StoredObject stored(const std::string& name, int content, std::vector<std::string> colours) {
  return {{"llm", name}, "u", "1", std::make_shared<const Thing>(Thing{content, std::move(colours)})};
}
std::vector<StoreIndex> by_colour() {
  return {{"colour", [](const void* object) { return static_cast<const Thing*>(object)->colours; }}};
}
std::vector<int> contents(const std::vector<std::shared_ptr<const void>>& objects) {
  std::vector<int> result;
  for (const auto& object : objects) result.push_back(std::static_pointer_cast<const Thing>(object)->content);
  return result;
}

}  // namespace

TEST_CASE("an object is found by its name and under each value of an index, in order of names") {
  ObjectStore store(by_colour());
  store.put(stored("b", 2, {"red"}));
  store.put(stored("a", 1, {"red", "blue"}));
  CHECK(contents(store.list()) == std::vector<int>{1, 2});
  CHECK(contents(store.by_index("colour", "red")) == std::vector<int>{1, 2});
  CHECK(contents(store.by_index("colour", "blue")) == std::vector<int>{1});
  CHECK(store.by_index("colour", "green").empty());
  CHECK(store.get({"llm", "c"}) == nullptr);
}

TEST_CASE("a changed object is not found under what it was before, nor a removed one") {
  ObjectStore store(by_colour());
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
  ObjectStore store(by_colour());
  store.put(stored("a", 1, {"red"}));
  StoredObjects fresh;
  fresh.insert(stored("b", 2, {"red"}));
  auto before = store.replace(std::move(fresh));
  CHECK(before.size() == 1);
  CHECK(contents(store.by_index("colour", "red")) == std::vector<int>{2});
  CHECK(store.peek({"llm", "a"}) == nullptr);
}

TEST_CASE("an object that is found under one value twice is listed once, and gone with it") {
  ObjectStore store(by_colour());
  store.put(stored("a", 1, {"red", "red"}));
  CHECK(contents(store.by_index("colour", "red")) == std::vector<int>{1});
  store.put(stored("a", 2, {"blue"}));
  CHECK(store.by_index("colour", "red").empty());
}

TEST_CASE("a thousand objects under one value stay in order whatever comes and goes") {
  ObjectStore store(by_colour());
  for (int i = 0; i < 1000; ++i) {
    int n = i * 7919 % 1000;
    store.put(stored("n" + std::to_string(1000 + n), n, {"red"}));
  }
  for (int n = 0; n < 1000; n += 2) store.erase({"llm", "n" + std::to_string(1000 + n)});
  auto left = contents(store.by_index("colour", "red"));
  CHECK(left.size() == 500);
  CHECK(std::is_sorted(left.begin(), left.end()));
  CHECK(store.size() == 500);
}
