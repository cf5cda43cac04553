#include "sim/api_server.h"

#include "catch.h"

using namespace strix;
using namespace strix::sim;

namespace {

struct Bench {
  Timeline time;
  Story story{time, false};
  ApiServer server{time, story};

  api::NamespacedName make_pod(const std::string& name, const std::string& owner_uid = "") {
    std::string owner = owner_uid.empty()
                            ? ""
                            : R"(,"ownerReferences":[{"kind":"InferenceStack","name":"s","uid":")" +
                                  owner_uid + R"(","controller":true}])";
    Status made = server.create_pod(R"({"metadata":{"name":")" + name + R"(","namespace":"llm")" + owner +
                                    R"(},"spec":{"schedulingGates":[{"name":"g"}],"containers":[{}]}})");
    REQUIRE(made.ok());
    return {"llm", name};
  }
  api::Pod pod(const api::NamespacedName& key) { return *server.pods.find(key); }
  void bind(const api::NamespacedName& key) {
    REQUIRE(server.patch_pod(key, {}, [](api::Pod& p) {
      p.scheduling_gates.clear();
      p.node_name = "n";
      return true;
    }));
  }
  api::InferenceStack make_stack(std::vector<std::string> finalizers = {}) {
    api::InferenceStack stack;
    stack.metadata.name = "s";
    stack.metadata.namespace_ = "llm";
    REQUIRE(server.create_stack(stack));
    if (!finalizers.empty()) REQUIRE(server.set_finalizers(stack.metadata.key(), {}, finalizers));
    return *server.stacks.find(stack.metadata.key());
  }
};

template <class T>
ErrorKind kind_of(const Result<T>& result) {
  REQUIRE_FALSE(result.ok());
  return result.error().kind;
}

}  // namespace

TEST_CASE("a patch that changes nothing makes no version; one that does makes another") {
  Bench bench;
  auto key = bench.make_pod("a");
  std::string version = bench.pod(key).metadata.resource_version;
  REQUIRE(bench.server.patch_pod(key, {}, [](api::Pod&) { return false; }));
  REQUIRE(bench.pod(key).metadata.resource_version == version);
  REQUIRE(bench.server.patch_pod(key, {"", version}, [](api::Pod& p) {
    p.message = "x";
    return true;
  }));
  REQUIRE(bench.pod(key).metadata.resource_version != version);
  auto nothing = [](api::Pod&) { return true; };
  REQUIRE(kind_of(bench.server.patch_pod(key, {"", version}, nothing)) == ErrorKind::Conflict);
  REQUIRE(kind_of(bench.server.patch_pod(key, {"other", ""}, nothing)) == ErrorKind::Invalid);
  REQUIRE(kind_of(bench.server.patch_pod({"llm", "b"}, {}, nothing)) == ErrorKind::NotFound);
}

TEST_CASE("names are taken, and a uid is never used twice") {
  Bench bench;
  auto key = bench.make_pod("a");
  std::string uid = bench.pod(key).metadata.uid;
  REQUIRE(kind_of(bench.server.create_pod(R"({"metadata":{"name":"a","namespace":"llm"}})")) ==
          ErrorKind::AlreadyExists);
  REQUIRE(bench.server.delete_pod(key, {}));
  bench.make_pod("a");
  REQUIRE(bench.pod(key).metadata.uid != uid);
}

TEST_CASE("scheduling gates can only be taken away, and a gated pod cannot be bound") {
  Bench bench;
  auto key = bench.make_pod("a");
  auto bound = [](api::Pod& p) {
    p.node_name = "n";
    return true;
  };
  REQUIRE(kind_of(bench.server.patch_pod(key, {}, bound)) == ErrorKind::Invalid);
  REQUIRE(bench.server.patch_pod(key, {}, [](api::Pod& p) {
    p.scheduling_gates.clear();
    return true;
  }));
  REQUIRE(kind_of(bench.server.patch_pod(key, {}, [](api::Pod& p) {
            p.scheduling_gates = {"g"};
            return true;
          })) == ErrorKind::Invalid);
}

TEST_CASE("a bound pod is deleted with grace; one without a node, or that has ended, at once") {
  Bench bench;
  auto gated = bench.make_pod("a"), bound = bench.make_pod("b"), ended = bench.make_pod("c");
  bench.bind(bound);
  bench.bind(ended);
  REQUIRE(bench.server.patch_pod(ended, {}, [](api::Pod& p) {
    p.phase = "Failed";
    return true;
  }));
  for (const auto& key : {gated, bound, ended}) REQUIRE(bench.server.delete_pod(key, {}));
  REQUIRE_FALSE(bench.server.pods.find(gated));
  REQUIRE_FALSE(bench.server.pods.find(ended));
  REQUIRE(bench.pod(bound).metadata.deleting());
  REQUIRE(bench.server.delete_pod(bound, {}, 0));
  REQUIRE_FALSE(bench.server.pods.find(bound));
}

TEST_CASE("a stack goes when its last finalizer does, and its pods after it") {
  Bench bench;
  auto stack = bench.make_stack({"f"});
  auto pod = bench.make_pod("a", stack.metadata.uid);
  REQUIRE(bench.server.delete_stack(stack.metadata.key(), Propagation::Background));
  REQUIRE(bench.server.stacks.find(stack.metadata.key())->metadata.deleting());
  REQUIRE_FALSE(bench.server.collect());
  REQUIRE(bench.server.set_finalizers(stack.metadata.key(), {}, {}));
  REQUIRE_FALSE(bench.server.stacks.find(stack.metadata.key()));
  REQUIRE(bench.server.collect());
  REQUIRE_FALSE(bench.server.pods.find(pod));
}

TEST_CASE("in the foreground pods go first; orphaned ones stay without an owner") {
  Bench bench;
  auto stack = bench.make_stack();
  auto pod = bench.make_pod("a", stack.metadata.uid);
  SECTION("foreground") {
    bench.bind(pod);
    REQUIRE(bench.server.delete_stack(stack.metadata.key(), Propagation::Foreground));
    (void)bench.server.collect();
    REQUIRE(bench.pod(pod).metadata.deleting());
    REQUIRE(bench.server.stacks.find(stack.metadata.key()));
    REQUIRE(bench.server.delete_pod(pod, {}, 0));
    REQUIRE(bench.server.collect());
    REQUIRE_FALSE(bench.server.stacks.find(stack.metadata.key()));
  }
  SECTION("orphan") {
    REQUIRE(bench.server.delete_stack(stack.metadata.key(), Propagation::Orphan));
    REQUIRE(bench.server.collect());
    REQUIRE_FALSE(bench.server.stacks.find(stack.metadata.key()));
    REQUIRE(bench.pod(pod).metadata.owners.empty());
  }
}

TEST_CASE("a status is refused when the stack has moved on, and makes no version when it says the same") {
  Bench bench;
  auto stack = bench.make_stack();
  api::StackStatus status;
  status.observed_generation = 1;
  auto first = bench.server.apply_status(stack.metadata.key(), stack.metadata.resource_version, status);
  REQUIRE(first);
  REQUIRE(kind_of(bench.server.apply_status(stack.metadata.key(), stack.metadata.resource_version, status)) ==
          ErrorKind::Conflict);
  auto second = bench.server.apply_status(stack.metadata.key(), *first, status);
  REQUIRE(second);
  REQUIRE(*second == *first);
  REQUIRE(bench.server.stacks.find(stack.metadata.key())->metadata.generation == 1);
}
