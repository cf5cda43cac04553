#include "reconcile/node_reconciler.h"

#include <algorithm>

#include "api/names.h"
#include "catch.h"
#include "fake/accepting_cluster.h"
#include "fake/stack_world.h"
#include "reconcile/board.h"
#include "reconcile/pod_stage.h"

using namespace strix;
using namespace strix::reconcile;
using fake::noon;

namespace {

const std::string node_name = "strix-halo";
const api::NamespacedName stack_name{"llm", "strix"};

// One node, and a stack that wants its tier one let in.
struct Window {
  Now now{noon, 10'000'000};
  fake::AcceptingCluster cluster;
  fake::StillCache cache;
  Board board;
  NodeReconciler reconciler{
      {&cluster, &cache, [this] { return now; }, [](const auto&) {}, nullptr}, board, "strix-operator-1"};

  Window() {
    cluster.stack.metadata.uid = "uid-strix";
    cluster.stack.metadata.generation = 3;
    cluster.stack.metadata.finalizers = {std::string(names::finalizer)};
    cache.all_nodes = {std::make_shared<const api::Node>(fake::a_node())};
    now.boot += 60'000;  // what was given back before this process began has settled
  }

  Shared<api::Pod> pod(const std::string& uid, PodStage stage) const {
    api::Pod pod = fake::a_pod("strix-one", stage, fake::gpu_claim(300));
    pod.metadata.uid = uid;
    return std::make_shared<const api::Pod>(pod);
  }
  static WindowRequest claim(const api::Pod& gated, const api::NamespacedName& stack = stack_name) {
    WindowRequest request;
    request.stack = stack;
    request.stack_uid = "uid-strix";
    request.stack_generation = 3;
    request.node = node_name;
    request.tier = "one";
    request.pod = {gated.metadata.key(), gated.metadata.uid, gated.metadata.resource_version};
    request.claim = fake::gpu_claim(300);
    return request;
  }
  void wish(const Shared<api::Pod>& gated) {
    cache.pods = {gated};
    board.post(stack_name, {claim(*gated)}, {{node_name, fake::halo_profile()}});
  }
  size_t admitted() const {
    return static_cast<size_t>(std::count_if(cluster.writes.begin(), cluster.writes.end(),
                                             [](const auto& write) { return write.starts_with("admit "); }));
  }
  std::string told() const {
    auto verdicts = board.verdicts_for(stack_name);
    return verdicts.empty() ? "" : verdicts.begin()->second.reason;
  }
};

}  // namespace

TEST_CASE("a tier is let in with the boot of its node on record") {
  Window window;
  window.wish(window.pod("first", PodStage::Gated));
  window.reconciler.reconcile(node_name);
  CHECK(window.cluster.writes == std::vector<std::string>{"admit llm/strix-one boot-1"});
}

TEST_CASE("what was let in and vanished before the cache had seen that may still hold its memory") {
  for (bool answered : {true, false}) {
    INFO(answered);
    Window window;
    if (!answered) window.cluster.on_admit = [] { return Error{ErrorKind::Timeout, "no answer in time", 0}; };
    auto first = window.pod("first", PodStage::Gated);
    window.wish(first);
    window.reconciler.reconcile(node_name);
    REQUIRE(window.admitted() == 1);
    // Deleted by force while the informers heard nothing: they show the next pod where a gated one was.
    auto next = window.pod("next", PodStage::Gated);
    window.reconciler.pod_changed(first.get(), next.get());
    window.wish(next);
    window.cluster.on_admit = [] { return success(); };
    window.now.boot += 10'000;
    window.now.wall += 10'000;
    window.reconciler.reconcile(node_name);
    CHECK(window.admitted() == 1);
    CHECK(window.told() == "PreviousPodVanished");
    window.now.boot += first->termination_grace_seconds * 1000 + vanished_extra_millis;
    window.reconciler.reconcile(node_name);
    CHECK(window.admitted() == 2);
  }
}

TEST_CASE("a gated pod that nobody let in leaves nothing behind, nor one whose gate stayed shut") {
  for (auto kind : {ErrorKind::Conflict, ErrorKind::NotFound}) {
    Window window;
    auto first = window.pod("first", PodStage::Gated), next = window.pod("next", PodStage::Gated);
    window.cluster.on_admit = [kind] { return Error{kind, "not this one", 0}; };
    window.wish(first);
    window.reconciler.reconcile(node_name);
    window.reconciler.pod_changed(first.get(), nullptr);
    window.cluster.on_admit = [] { return success(); };
    window.wish(next);
    window.reconciler.reconcile(node_name);
    CHECK(window.admitted() == 2);
  }
}

TEST_CASE("what the cache has seen let in, and then ended, leaves nothing behind") {
  Window window;
  auto gated = window.pod("first", PodStage::Gated), loading = window.pod("first", PodStage::Loading),
       ended = window.pod("first", PodStage::Ended);
  window.wish(gated);
  window.reconciler.reconcile(node_name);
  window.reconciler.pod_changed(gated.get(), loading.get());
  window.reconciler.pod_changed(loading.get(), ended.get());
  window.reconciler.pod_changed(ended.get(), nullptr);
  window.now.boot += release_settle_millis;
  window.wish(window.pod("next", PodStage::Gated));
  window.reconciler.reconcile(node_name);
  CHECK(window.admitted() == 2);
}

TEST_CASE("a stack that thinks better of it while the window is being opened is heard") {
  Window window;
  window.wish(window.pod("first", PodStage::Gated));
  window.cluster.on_read = [&] { window.board.post(stack_name, {}, {}); };
  PassResult result = window.reconciler.reconcile(node_name);
  CHECK(window.admitted() == 0);
  CHECK(result.retry_after_millis);
}

TEST_CASE("a pod that the API server does not let in is told why, and the next one has its turn") {
  Window window;
  for (bool vouched : {true, false}) {
    INFO(vouched);
    auto refused = window.pod("first", PodStage::Gated);
    if (!vouched) {
      api::Pod pod = *refused;
      pod.metadata.uid = "second";
      pod.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
      refused = std::make_shared<const api::Pod>(pod);
    }
    window.wish(refused);
    auto refuse = [] { return Error{ErrorKind::Forbidden, "policy no-updates says no", 0}; };
    window.cluster.on_admit = window.cluster.on_vouch = refuse;
    PassResult result = window.reconciler.reconcile(node_name);
    CHECK_FALSE(result.error);
    REQUIRE(result.retry_after_millis);
    window.now.boot += *result.retry_after_millis;
    size_t written = window.cluster.writes.size();
    result = window.reconciler.reconcile(node_name);
    CHECK(window.told() == "Refused");
    CHECK(window.cluster.writes.size() == written);
    REQUIRE(result.retry_after_millis);

    // Of a stack that is younger: it would come after the first.
    api::Pod next = fake::a_pod("strix-two", PodStage::Gated, fake::gpu_claim(300));
    WindowRequest request = Window::claim(next, {"llm", "younger"});
    request.stack_created = 1;
    window.cache.pods.push_back(std::make_shared<const api::Pod>(next));
    window.board.post(request.stack, {request}, {{node_name, fake::halo_profile()}});
    window.cluster.on_admit = window.cluster.on_vouch = [] { return success(); };
    window.reconciler.reconcile(node_name);
    CHECK(window.cluster.writes.back() == "admit llm/strix-two boot-1");

    window.board.post(request.stack, {}, {});
    window.now.boot += *result.retry_after_millis;
    window.wish(refused);
    window.reconciler.reconcile(node_name);
    CHECK(window.cluster.writes.back() ==
          (vouched ? "admit llm/strix-one boot-1" : "vouch for llm/strix-one"));
  }
}

TEST_CASE("a pod whose gate the API server did not let us open leaves nothing behind when it vanishes") {
  Window window;
  auto first = window.pod("first", PodStage::Gated), next = window.pod("next", PodStage::Gated);
  window.cluster.on_admit = [] { return Error{ErrorKind::Invalid, "no", 0}; };
  window.wish(first);
  window.reconciler.reconcile(node_name);
  window.reconciler.pod_changed(first.get(), nullptr);
  window.cluster.on_admit = [] { return success(); };
  window.wish(next);
  window.reconciler.reconcile(node_name);
  CHECK(window.admitted() == 2);
}
