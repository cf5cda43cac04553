// Why: tests of deciding need stacks, nodes and pods as a cluster shows them: pods are rendered, read back
// and status is stored by the product's own code, so that only what a test changes is made up.
// May not: decide; what a test is about stands in the test.
#pragma once

#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/codec.h"
#include "api/names.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "engines/engine.h"
#include "planner/spec_plan.h"
#include "planner/start_order.h"
#include "reconcile/decide.h"
#include "reconcile/pod_stage.h"
#include "reconcile/window.h"

namespace strix::fake {

using reconcile::PodStage;

inline constexpr WallMillis noon = 1'770'120'000'000;  // 2026-02-03T12:00:00Z

// Of tags that are not pulled again where they are; every node has them.
inline constexpr const char* vllm_image = "docker.io/kyuz0/vllm-therock-gfx1151:stable";
inline constexpr const char* llamacpp_image = "ghcr.io/ggml-org/llama.cpp:server";

inline api::NodeProfile halo_profile() {
  api::NodeProfile profile;
  profile.gfx_target = "gfx1151";
  profile.unified_memory_bytes = 128 * gib;
  profile.gpu_memory_bytes = 124 * gib;
  profile.system_reserve_bytes = 6 * gib;
  profile.max_gpu_fraction_milli = 950;
  return profile;
}

inline api::Node a_node(const std::string& name = "strix-halo") {
  api::Node node;
  node.metadata.name = name;
  node.metadata.uid = "node-" + name;
  node.metadata.resource_version = "1";
  node.metadata.labels["kubernetes.io/hostname"] = name;
  node.ready = true;
  node.ready_message = "kubelet is posting ready status";
  node.boot_id = "boot-1";
  node.images = {vllm_image, llamacpp_image};
  node.allocatable["squat.ai/dri"] = 8;
  return node;
}

// Entry `name` of spec.nodes, for the node of that hostname.
inline api::StackNode a_stack_node(const std::string& name, const std::string& hostname) {
  api::StackNode node;
  node.name = name;
  node.selector["kubernetes.io/hostname"] = hostname;
  node.profile = halo_profile();
  node.devices = api::Devices{};
  node.devices->resource_name = "squat.ai/dri";
  node.model_store.host_path = "/var/lib/models";
  return node;
}

inline api::Tier a_gpu_tier(const std::string& name, int port, int fraction_milli) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::Vllm;
  tier.model.repository = "example/coder";
  tier.port = port;
  tier.context_length_tokens = 8192;
  tier.gpu_fraction_milli = fraction_milli;
  tier.requests.memory = "1Gi";
  return tier;
}

inline api::Tier a_cpu_tier(const std::string& name, int port, const std::string& memory) {
  api::Tier tier;
  tier.name = name;
  tier.engine = api::Engine::LlamaCpp;
  tier.model.file = "example-Q4_K_M.gguf";
  tier.port = port;
  tier.context_length_tokens = 8192;
  tier.requests.memory = memory;
  return tier;
}

// Puts an admitted pod, or a gated one, into a stage that it entered at `since`.
inline void put_into(api::Pod& pod, PodStage stage, WallMillis since) {
  pod.metadata.deleted = 0;
  pod.conditions.clear();
  pod.engine.reset();
  pod.phase = "Pending";
  if (stage == PodStage::Gated) {
    pod.scheduling_gates = {std::string(names::scheduling_gate)};
    return;
  }
  pod.scheduling_gates.clear();
  pod.metadata.labels[std::string(names::label_admitted)] = "true";
  pod.metadata.annotations.try_emplace(std::string(names::annotation_admitted_at), format_micro_time(since));
  pod.node_name = pod.metadata.annotation(names::annotation_node);
  pod.pod_ip = "10.42.0.7";
  pod.phase = "Running";
  pod.engine = api::ContainerStatus{};
  pod.engine->name = "engine";
  pod.engine->started = since;
  pod.engine->running = stage != PodStage::Ended;
  auto gate = [&](const char* status, std::string_view reason) {
    pod.conditions = {{std::string(names::readiness_gate), status, std::string(reason), "", since}};
  };
  if (stage == PodStage::Serving) gate("True", names::serving_warm);
  if (stage == PodStage::NotAnswering) gate("False", names::serving_not_answering);
  if (stage == PodStage::Draining) gate("False", names::serving_draining);
  if (stage == PodStage::Terminating) {
    pod.metadata.deletion_grace_seconds = pod.termination_grace_seconds;
    pod.metadata.deleted = since + pod.termination_grace_seconds * 1000;
  }
  if (stage == PodStage::Ended) {
    pod.phase = "Failed";
    pod.engine->terminated = true;
    pod.engine->exit_code = 1;
    pod.engine->finished = since;
  }
}

// A pod with our labels on a node, of a stack that nobody looks at: what the window and the stages see.
inline api::Pod a_pod(const std::string& name, PodStage stage, const planner::Claim& claim = {},
                      const std::string& node = "strix-halo") {
  api::Pod pod;
  pod.metadata.namespace_ = "llm";
  pod.metadata.name = name;
  pod.metadata.uid = "uid-" + name;
  pod.metadata.resource_version = "5";
  pod.metadata.created = noon - 120'000;
  pod.metadata.labels[std::string(names::label_node)] = stable_hash_hex(node);
  pod.metadata.annotations[std::string(names::annotation_node)] = node;
  pod.metadata.annotations[std::string(names::annotation_claim)] = planner::encode_claim(claim);
  pod.metadata.annotations[std::string(names::annotation_leader)] = "strix-operator-1";
  put_into(pod, stage, noon - 60'000);
  return pod;
}

inline planner::Claim gpu_claim(int fraction_milli, std::optional<int64_t> host_bytes = gib) {
  return {.gpu = true,
          .gpu_fraction_milli = fraction_milli,
          .gpu_bytes = planner::fraction_bytes(halo_profile().gpu_memory_bytes, fraction_milli),
          .host_bytes = host_bytes};
}

inline planner::Claim cpu_claim(std::optional<int64_t> host_bytes) {
  return {.gpu = false, .gpu_fraction_milli = 0, .gpu_bytes = 0, .host_bytes = host_bytes};
}

// What came back from a status write: written and read by the product's codec, times in whole seconds.
inline api::StackStatus stored(const api::InferenceStack& stack, const api::StackStatus& status) {
  auto document = json::Document::parse(api::encode_status_apply(stack, status));
  INVARIANT(document.ok());
  auto decoded = api::decode_stack(document->root());
  INVARIANT(decoded.ok());
  return decoded->status;
}

// Of an engine that has told all that it will.
inline reconcile::ProbeReading a_reading(reconcile::ProbePhase phase,
                                         std::optional<int64_t> context_length_tokens,
                                         const std::string& detail = "") {
  reconcile::ProbeReading reading;
  reading.phase = phase;
  reading.detail = detail;
  reading.since = noon - 59'700;  // status keeps whole seconds, an engine does not
  reading.report.context_length_tokens = context_length_tokens;
  reading.told = true;
  return reading;
}

// One stack and what the cluster has for it.
struct StackWorld {
  Now now{noon, 10'000'000};
  std::string leader = "strix-operator-1";
  api::Policy policy;
  api::InferenceStack stack;
  std::list<api::Node> nodes;
  std::list<api::Pod> pods;
  std::list<api::Pod> pull_pods;
  std::list<api::Service> services;
  std::map<std::string, reconcile::ProbeReading> probes;  // by pod uid
  std::map<std::string, engines::Diagnosis> diagnoses;    // by pod uid
  std::map<std::string, reconcile::Verdict> verdicts, refusals;
  std::map<std::string, reconcile::NodePressure> pressures;
  std::set<std::string> logs_awaited;     // by pod uid
  std::set<std::string> without_gpu;      // by pod uid
  reconcile::Shared<planner::Plan> plan;  // null: of the spec and the built-in tables
  int versions = 100;

  // Tiers one, two, three, four, five of growing size on one node, with the finalizer and nothing else there.
  explicit StackWorld(int tiers = 2) {
    static const char* const tier_names[] = {"one", "two", "three", "four", "five"};
    INVARIANT(tiers <= 5);
    policy.model_roots = {"/var/lib/models"};
    stack.metadata.namespace_ = "llm";
    stack.metadata.name = "strix";
    stack.metadata.uid = "stack-1";
    stack.metadata.resource_version = "7";
    stack.metadata.generation = 3;
    stack.metadata.created = noon - 3'600'000;
    stack.metadata.finalizers = {std::string(names::finalizer)};
    stack.spec.vllm.image = vllm_image;
    stack.spec.llamacpp.image = llamacpp_image;
    stack.spec.nodes = {a_stack_node("halo", "strix-halo")};
    for (int i = 0; i < tiers; ++i)
      stack.spec.tiers.push_back(a_gpu_tier(tier_names[i], 8001 + i, 100 + 50 * i));
    nodes.push_back(a_node());
  }
  StackWorld(const StackWorld&) = delete;
  StackWorld& operator=(const StackWorld&) = delete;

  api::Tier& tier(const std::string& name) {
    for (auto& tier : stack.spec.tiers)
      if (tier.name == name) return tier;
    INVARIANT(false);
    return stack.spec.tiers.front();
  }
  api::TierStatus& status(const std::string& name) {
    for (auto& status : stack.status.tiers)
      if (status.name == name) return status;
    stack.status.tiers.emplace_back().name = name;
    return stack.status.tiers.back();
  }
  api::Pod* pod(const std::string& tier) {
    for (auto& pod : pods)
      if (pod.metadata.name == stack.metadata.name + "-" + tier) return &pod;
    return nullptr;
  }

  std::string next_version() { return std::to_string(++versions); }

  // The pod as the spec has it now, created a minute ago.
  api::Pod& add_pod(const std::string& tier_name, PodStage stage, WallMillis since = noon - 60'000) {
    const api::Tier& spec = tier(tier_name);
    const api::StackNode* entry = planner::find_node(stack.spec, planner::node_of(stack.spec, spec));
    engines::PodInput input;
    input.stack = &stack;
    input.tier = &spec;
    input.node = entry;
    input.kubernetes_hostname = input.kubernetes_node = entry->selector.at("kubernetes.io/hostname");
    const planner::Plan own =
        planner::plan_of_spec(stack.spec, planner::built_in_capabilities(), stack.status.learned);
    const planner::TierPlan* planned = own.tier(tier_name);
    INVARIANT(planned);
    input.claim = planned->claim;
    input.effective = planned->effective;
    input.leader = leader;
    api::Pod& pod = take_pod(engines::render_pod(input).body);
    put_into(pod, stage, since);
    return pod;
  }
  api::Pod& take_pod(const std::string& body) {
    auto document = json::Document::parse(body);
    INVARIANT(document.ok());
    auto decoded = api::decode_pod(document->root());
    INVARIANT(decoded.ok());
    api::Pod& pod = pods.emplace_back(std::move(decoded).value());
    pod.metadata.resource_version = next_version();
    pod.metadata.uid = "pod-" + pod.metadata.resource_version;
    pod.metadata.created = now.wall - 120'000;
    pod.phase = "Pending";
    return pod;
  }
  void add_services() {
    for (const auto& tier : stack.spec.tiers) {
      auto document = json::Document::parse(engines::render_service(stack, tier).body);
      INVARIANT(document.ok());
      auto decoded = api::decode_service(document->root());
      INVARIANT(decoded.ok());
      services.push_back(std::move(decoded).value());
      services.back().metadata.uid = "service-" + tier.name;
      services.back().metadata.resource_version = next_version();
    }
  }
  // Every tier serves, and its Service is there.
  void serve_all() {
    add_services();
    for (const auto& tier : stack.spec.tiers) {
      api::Pod& pod = add_pod(tier.name, PodStage::Serving);
      probes[pod.metadata.uid] = a_reading(reconcile::ProbePhase::Serving, 8192);
    }
  }
  void probe(const std::string& tier, reconcile::ProbePhase phase, const std::string& detail = "") {
    probes[pod(tier)->metadata.uid] = a_reading(phase, {}, detail);
  }
  void tick(int64_t millis) {
    now.wall += millis;
    now.boot += millis;
  }

  reconcile::Observed observed() const {
    reconcile::Observed observed;
    observed.now = now;
    observed.leader = leader;
    observed.policy = policy;
    observed.stack = std::make_shared<const api::InferenceStack>(stack);
    for (const auto& pod : pods) observed.pods.push_back(std::make_shared<const api::Pod>(pod));
    for (const auto& pod : pull_pods) observed.pull_pods.push_back(std::make_shared<const api::Pod>(pod));
    for (const auto& service : services)
      observed.services.push_back(std::make_shared<const api::Service>(service));
    for (const auto& node : nodes) observed.nodes.push_back(std::make_shared<const api::Node>(node));
    observed.probes = probes;
    observed.diagnoses = diagnoses;
    observed.verdicts = verdicts;
    observed.refusals = refusals;
    observed.pressures = pressures;
    observed.logs_awaited = logs_awaited;
    observed.without_gpu = without_gpu;
    observed.plan = plan;
    return observed;
  }
  reconcile::Decision decide() const { return reconcile::decide(observed()); }
  // What the status write of a pass leaves behind.
  void store(const api::StackStatus& status) {
    stack.status = stored(stack, status);
    stack.metadata.resource_version = next_version();
  }
  // Passes until the status says all there is to say.
  reconcile::Decision settle() {
    store(decide().status);
    return decide();
  }
  // Somebody edits the spec of what serves and is told.
  template <class Edit>
  void edit_served(Edit edit) {
    serve_all();
    settle();
    edit(*this);
    ++stack.metadata.generation;
  }
};

template <class T>
std::vector<T> actions_of(const reconcile::Decision& decision) {
  std::vector<T> found;
  for (const auto& action : decision.actions)
    if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
  return found;
}

inline const api::TierStatus& tier_in(const api::StackStatus& status, const std::string& name) {
  for (const auto& tier : status.tiers)
    if (tier.name == name) return tier;
  INVARIANT(false);
  return status.tiers.front();
}

}  // namespace strix::fake
