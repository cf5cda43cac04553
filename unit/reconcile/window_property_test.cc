#include "api/names.h"
#include "catch.h"
#include "fake/stack_world.h"
#include "planner/generator.h"
#include "reconcile/pod_stage.h"
#include "reconcile/window.h"

using namespace strix;
using namespace strix::reconcile;

namespace {

constexpr uint64_t nodes_tried = 25'000;

api::Pod random_pod(test::Generator& random, const api::NodeProfile& profile, int index) {
  // Mostly what leaves the window open; otherwise a node with six pods would hardly ever grant.
  static constexpr PodStage calm[] = {PodStage::Gated, PodStage::Gated, PodStage::Serving,
                                      PodStage::NotAnswering, PodStage::Ended};
  static constexpr PodStage busy[] = {PodStage::Loading, PodStage::Draining, PodStage::Terminating};
  PodStage stage = random.chance(93) ? calm[random.between(0, 4)] : busy[random.between(0, 2)];
  planner::Claim claim = random.claim(profile);
  if (random.chance(60)) claim = {claim.gpu, claim.gpu_fraction_milli / 5, claim.gpu_bytes / 5, gib};
  api::Pod pod = fake::a_pod("p" + std::to_string(index), stage, claim);
  if (random.chance(2)) pod.metadata.annotations[std::string(names::annotation_claim)] = "{";
  if (random.chance(2)) pod.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-0";
  return pod;
}

WindowRequest random_request(test::Generator& random, const api::Pod& pod) {
  WindowRequest request;
  bool gated = stage_of(pod) == PodStage::Gated;
  request.kind = gated ? WindowRequest::Kind::Claim : WindowRequest::Kind::Stop;
  request.stack = {"llm", "s" + std::to_string(random.between(0, 3))};
  request.stack_created = fake::noon - random.between(0, 3);
  request.order = static_cast<int>(random.between(-3, 3));
  request.node = "strix-halo";
  request.tier = pod.metadata.name;
  request.pod = {pod.metadata.key(), pod.metadata.uid, pod.metadata.resource_version};
  request.claim = claim_of(pod);
  if (request.claim.gpu && random.chance(50)) request.device_resource = "squat.ai/dri";
  return request;
}

NodeObserved random_node(test::Generator& random) {
  NodeObserved node;
  node.now = {fake::noon, 10'000'000};
  node.node = "strix-halo";
  node.leader = "strix-operator-1";
  api::Node facts = fake::a_node();
  facts.ready = random.chance(95);
  facts.unschedulable = random.chance(3);
  facts.allocatable["squat.ai/dri"] = random.between(0, 12);
  if (random.chance(98)) node.facts = std::make_shared<const api::Node>(facts);
  node.profile = random.profile();
  node.released = node.now.boot - random.between(0, 8'000);
  if (random.chance(10))
    node.vanished.push_back({"uid-gone", "llm/gone", random.claim(node.profile),
                             node.now.boot + random.between(-1'000, 1'000), random.chance(90)});
  int64_t count = random.between(0, 6);
  for (int64_t i = 0; i < count; ++i) {
    auto pod = std::make_shared<const api::Pod>(random_pod(random, node.profile, static_cast<int>(i)));
    PodStage stage = stage_of(*pod);
    bool may_ask = stage == PodStage::Gated || stage == PodStage::Serving || stage == PodStage::NotAnswering;
    if (may_ask && random.chance(stage == PodStage::Gated ? 90 : 20))
      node.requests.push_back(random_request(random, *pod));
    node.pods.push_back(std::move(pod));
  }
  return node;
}

bool is_shut(const NodeObserved& node) {
  return std::any_of(node.pods.begin(), node.pods.end(), [](const auto& pod) { return holds_window(*pod); });
}

// Written down once more, not taken from the ledger: what is held and what is asked for, in three sums.
std::string broken_bound(const NodeObserved& node, const WindowRequest& request) {
  __int128 fraction = request.claim.gpu_fraction_milli, gpu = request.claim.gpu_bytes;
  __int128 host = request.claim.host_bytes.value_or(0);
  auto hold = [&](const planner::Claim& claim) {
    fraction += claim.gpu_fraction_milli;
    gpu += claim.gpu_bytes;
    host += claim.host_bytes.value_or(0);
  };
  for (const auto& pod : node.pods) {
    if (!holds_memory(*pod)) continue;
    auto claim = planner::decode_claim(pod->metadata.annotation(names::annotation_claim));
    if (!claim) return "a claim that cannot be read";
    hold(*claim);
  }
  for (const auto& hold_of : node.vanished) {
    if (node.now.boot >= hold_of.until) continue;
    if (!hold_of.claim_known) return "a vanished claim that cannot be read";
    hold(hold_of.claim);
  }
  if (request.claim.gpu && fraction > node.profile.max_gpu_fraction_milli) return "fractions";
  if (request.claim.gpu && gpu > node.profile.gpu_memory_bytes) return "GPU bytes";
  if (gpu + host + node.profile.system_reserve_bytes > node.profile.unified_memory_bytes) return "everything";
  return "";
}

std::string broken_promise(const NodeObserved& node, const WindowDecision& decision) {
  for (const auto& request : node.requests) {
    bool is_granted = decision.granted && decision.granted->pod.uid == request.pod.uid;
    bool has_verdict = decision.verdicts.contains(request.pod.name.text());
    if (is_granted == has_verdict) return "granted or told why not: " + request.pod.name.text();
    if (has_verdict && decision.verdicts.at(request.pod.name.text()).message.empty()) return "no sentence";
  }
  if (decision.verdicts.size() + (decision.granted ? 1 : 0) != node.requests.size()) return "a stranger";
  if (!decision.granted) return "";
  const WindowRequest& request = *decision.granted;
  if (!decision.vouch.empty()) return "granted before all was vouched for";
  if (!node.facts) return "granted on a node that is not there";
  if (is_shut(node)) return "granted while the window is held";
  for (const auto& other : node.requests)
    if (other.kind == WindowRequest::Kind::Stop && request.kind == WindowRequest::Kind::Claim)
      return "a claim before a stop";
  if (request.kind == WindowRequest::Kind::Stop) return "";
  if (!node.facts->ready || node.facts->unschedulable) return "granted on a node that takes nothing";
  if (request.claim.gpu && node.now.boot - node.released < release_settle_millis) return "not settled";
  return broken_bound(node, request);
}

}  // namespace

TEST_CASE("whatever is on a node, at most one is let in, it fits, and all others are told why not") {
  int claims = 0, stops = 0, refused = 0;
  for (uint64_t seed = 0; seed < nodes_tried; ++seed) {
    test::Generator random(seed);
    NodeObserved node = random_node(random);
    WindowDecision decision = decide_window(node);
    std::string broken = broken_promise(node, decision);
    if (!broken.empty()) {
      CAPTURE(seed, broken, decision.granted ? decision.granted->pod.name.text() : "nobody");
      FAIL("a promise is broken");
    }
    if (decision.granted) ++(decision.granted->kind == WindowRequest::Kind::Claim ? claims : stops);
    refused += static_cast<int>(decision.verdicts.size());
  }
  // The nodes are such that all of it happens.
  CHECK(claims > 1'000);
  CHECK(stops > 1'000);
  CHECK(refused > 1'000);
}

TEST_CASE("the order in which pods and requests are seen makes no difference") {
  for (uint64_t seed = 0; seed < 5'000; ++seed) {
    test::Generator random(seed);
    NodeObserved node = random_node(random);
    for (size_t i = 0; i < node.requests.size(); ++i) node.requests[i].order = static_cast<int>(i);
    WindowDecision before = decide_window(node);
    std::reverse(node.requests.begin(), node.requests.end());
    WindowDecision after = decide_window(node);
    std::string first = before.granted ? before.granted->pod.uid : "", then;
    if (after.granted) then = after.granted->pod.uid;
    if (first != then || before.verdicts != after.verdicts) {
      CAPTURE(seed, first, then);
      FAIL("it makes a difference");
    }
  }
}
