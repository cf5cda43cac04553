// Why: the InferenceStack resource as typed values: exactly the fields of the CRD, in its order. What the
// CRD defaults is defaulted by the codec too, so that `validate` works without a cluster.
// May not: hold logic, or a field that the CRD does not have.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/meta.h"
#include "base/bytes.h"

namespace strix::api {

enum class Engine { Vllm, LlamaCpp };
enum class Accelerator { Gpu, None };
enum class Activation { Always, Off };
enum class DeviceStrategy { ExtendedResource, Privileged };
enum class WhenShort { Park, Refuse };
enum class TuningMode { Off, Observe };

std::string_view to_string(Engine engine);  // "vllm", "llamacpp": as in the manifest
std::string_view to_string(Accelerator accelerator);
std::string_view to_string(DeviceStrategy strategy);

struct NodeProfile {
  std::string gfx_target;            // "gfx1151"
  int64_t unified_memory_bytes = 0;  // what the kernel reports plus the carve-out
  int64_t gpu_memory_bytes = 0;      // what the GPU may map
  int64_t system_reserve_bytes = 0;  // never planned for tiers
  int max_gpu_fraction_milli = 950;
  bool operator==(const NodeProfile&) const = default;
};

struct Devices {
  DeviceStrategy strategy = DeviceStrategy::ExtendedResource;
  std::string resource_name;                 // ExtendedResource: e.g. squat.ai/dri
  std::vector<std::string> paths;            // Privileged: host paths, each a file or a folder
  std::vector<int64_t> supplemental_groups;  // numeric host gids
};

// Exactly one of the two is set; the CRD's CEL rules and validate() see to it.
struct VolumeChoice {
  std::string host_path;
  std::string persistent_volume_claim;
  bool set() const { return !host_path.empty() || !persistent_volume_claim.empty(); }
};

struct StackNode {
  std::string name;
  std::map<std::string, std::string> selector;
  NodeProfile profile;
  std::optional<Devices> devices;
  VolumeChoice model_store;
};

struct EnvVar {
  std::string name;
  std::string value;
  // Instead of a value: a key of a Secret in the stack's namespace.
  std::string secret_name, secret_key;
  bool operator==(const EnvVar&) const = default;
};

struct EngineDefaults {
  std::string image;
  std::vector<EnvVar> env;
  VolumeChoice cache;  // optional
};

struct RopeScaling {
  std::string type;  // "yarn"
  int factor_milli = 0;
  int64_t original_context_length = 0;
  std::optional<int64_t> theta = {};  // the model's rope_theta, for vLLM where nobody else knows it

  // How long the context becomes with it; absent: no number holds it.
  std::optional<int64_t> stretched_tokens() const {
    auto thousandfold = checked_multiply(original_context_length, factor_milli);
    return thousandfold ? std::optional((*thousandfold + 500) / 1000) : std::nullopt;
  }
};

// What the author knows of a model that neither its files nor the catalogue tell. What is given wins over
// what was read; the four of the cache (layers, heads, dimension, window) come together or not at all.
struct DeclaredFacts {
  std::optional<int64_t> layers, kv_heads, head_dim;
  std::optional<int64_t> sliding_layers, sliding_window_tokens;  // of `layers`, those that keep a window only
  std::optional<int64_t> weight_bytes;
  std::optional<int64_t> context_length_tokens;
  bool operator==(const DeclaredFacts&) const = default;
};

struct Model {
  std::string repository;  // exactly one of the two
  std::string file;
  std::optional<RopeScaling> rope_scaling;
  std::optional<DeclaredFacts> facts;
};

struct Speculative {
  std::string model;  // repository or file of the store; empty: the model's own prediction layers
  int tokens = 0;     // drafted at a time
};

struct Quantities {
  std::string cpu, memory;  // as written; empty: not set
};

struct Probe {
  std::string path;  // empty: the engine's own
  int startup_deadline_seconds = 1800;
};

struct Restart {
  int backoff_seconds = 10;
  int max_backoff_seconds = 600;
};

struct TierService {
  std::string type = "ClusterIP";  // ClusterIP | NodePort | LoadBalancer
  std::map<std::string, std::string> annotations;
};

struct Tier {
  std::string name;
  std::string node;  // name of a spec.nodes entry; empty where there is one
  Engine engine = Engine::Vllm;
  std::optional<Accelerator> accelerator;  // default: Gpu for vllm, None for llamacpp
  std::string image;                       // empty: the engine's default
  Model model;
  int port = 0;
  int64_t context_length_tokens = 0;  // 0 where it is "auto"
  bool context_length_auto = false;
  std::optional<int> gpu_fraction_milli;  // memory.gpuFraction
  std::optional<int64_t> kv_cache_bytes;  // memory.kvCache; at most one of the two, neither: derived
  std::string kv_cache_type;              // memory.kvCacheType; empty or "auto": the engine's default
  int max_sequences = 4;
  std::optional<bool> prefix_caching;
  std::string tool_call_parser, reasoning_parser, chat_template, served_model_name, quantization;
  bool enforce_eager = false;
  std::optional<Speculative> speculative;
  bool accept_unverified = false;
  int threads = 0;  // 0: the engine's default
  std::vector<std::string> start_after;
  Activation activation = Activation::Always;
  int priority = 50;
  std::vector<std::string> extra_args;
  std::vector<EnvVar> env;
  std::string api_key_secret_name, api_key_secret_key;  // apiKeySecretRef
  Quantities requests, limits;                          // resources
  Probe probe;
  Restart restart;
  int drain_timeout_seconds = 120;
  TierService service;
  int host_port = 0;  // 0: none
  std::string image_pull_policy;

  Accelerator effective_accelerator() const {
    return accelerator.value_or(engine == Engine::Vllm ? Accelerator::Gpu : Accelerator::None);
  }
};

struct Tuning {
  TuningMode mode = TuningMode::Observe;
  int64_t window_seconds = 86'400;
};

struct StackSpec {
  bool suspend = false;
  std::vector<StackNode> nodes;
  EngineDefaults vllm, llamacpp;
  std::vector<Tier> tiers;
  WhenShort when_short = WhenShort::Park;  // memoryPolicy.whenShort
  Tuning tuning;

  const EngineDefaults& defaults_of(Engine engine) const { return engine == Engine::Vllm ? vllm : llamacpp; }
  // The tier's own, or its engine's default.
  const std::string& image_of(const Tier& tier) const {
    return tier.image.empty() ? defaults_of(tier.engine).image : tier.image;
  }
  const Tier* tier(const std::string& name) const;  // null: none of that name
};

struct Condition {
  std::string type;
  std::string status;  // "True" | "False" | "Unknown"
  std::string reason;
  std::string message;
  WallMillis last_transition = 0;
  int64_t observed_generation = 0;
};

struct Failure {
  std::string failure_class;
  std::string message;
  WallMillis time = 0;
  // Hash of what failed, and the stack's clear-failures annotation of that moment: while neither changes, a
  // class that cannot heal by itself is not tried again.
  std::string subject, cleared;
  bool operator==(const Failure&) const = default;
};

// Of the running engine's KV cache.
struct KvStatus {
  std::optional<int64_t> bytes;
  int64_t tokens = 0;                             // that it holds, of all requests together
  std::optional<int64_t> concurrency_hundredths;  // requests of full length that it holds at once
  std::optional<int> peak_percent;                // the most of it that was seen in use, in steps of 5
  bool operator==(const KvStatus&) const = default;
};

// What the tier was used for would be better served by; what is not set is fine as it is.
struct Recommended {
  std::optional<int64_t> context_length_tokens;
  std::optional<int> gpu_fraction_milli;
  std::optional<int64_t> kv_cache_bytes;
  std::string message;   // what was seen, and why
  WallMillis since = 0;  // since when just this is recommended
  bool same_as(const Recommended& other) const {
    return context_length_tokens == other.context_length_tokens &&
           gpu_fraction_milli == other.gpu_fraction_milli && kv_cache_bytes == other.kv_cache_bytes;
  }
  bool operator==(const Recommended&) const = default;
};

struct TierStatus {
  std::string name;
  std::string state;     // Waiting Starting WarmingUp Ready Draining Stopping BackOff Off
  std::string reason;    // one CamelCase word
  std::string message;   // one sentence
  WallMillis since = 0;  // when state or reason last changed
  std::string pod_name;
  std::string node;
  int64_t restarts = 0;              // pods made again after a failure
  int64_t consecutive_failures = 0;  // reset after a good run
  std::optional<Failure> last_failure;
  std::optional<int64_t> context_length_tokens;  // read back from the engine
  std::optional<int> gpu_fraction_milli;         // of the pod that runs
  std::optional<int64_t> bytes;                  // ledger entry of the pod that runs
  std::optional<KvStatus> kv;                    // read back from the engine
  std::string engine_version;                    // as the engine itself says
  std::optional<Recommended> recommended;
  std::string endpoint;  // http://<service>.<namespace>.svc:<port>
};

struct NodeMemory {
  std::string node;  // name of the spec.nodes entry
  int64_t total_bytes = 0, gpu_total_bytes = 0, reserved_bytes = 0;
  int64_t planned_bytes = 0;   // what this stack's resident tiers claim
  int64_t held_bytes = 0;      // what all pods with our labels hold on it now
  int64_t headroom_bytes = 0;  // total - reserved - held - what is planned and not yet held
};

struct Summary {
  std::string ready;     // "3/4"
  std::string status;    // one word or two
  std::string gpu;       // "0.92"
  std::string pool;      // "116.2/122.2Gi"
  std::string headroom;  // "6.0Gi"
  std::string nodes;     // Kubernetes node names
};

// A context that an engine would not take, for want of cache.
struct LearnedContext {
  int64_t refused_tokens = 0;   // that it was started for
  int64_t refusals = 1;         // of just that, one after the other
  int64_t estimate_tokens = 0;  // that would fit, as it said
  std::string inputs;           // hash of what that rests on
  bool operator==(const LearnedContext&) const = default;
};

// What an engine that fills its fraction by itself takes of it beside weights and cache.
struct LearnedEngine {
  int64_t bytes = 0;
  std::string inputs;  // hash of what that rests on
  bool operator==(const LearnedEngine&) const = default;
};

// What an engine found that its GPU may map.
struct LearnedGpuMemory {
  int64_t total_bytes = 0;
  std::string inputs;  // hash of what that rests on
  bool operator==(const LearnedGpuMemory&) const = default;
};

// What the engine of a tier said that could not be known before. Each part holds for as long as what it rests
// on stays the same.
struct Learned {
  std::string tier;
  std::optional<LearnedContext> context = {};
  std::optional<LearnedEngine> engine = {};
  std::optional<LearnedGpuMemory> gpu_memory = {};
  bool operator==(const Learned&) const = default;
};

struct StackStatus {
  int64_t observed_generation = -1;  // the CRD's default: not seen by the operator yet
  std::vector<Condition> conditions;
  Summary summary;
  std::vector<TierStatus> tiers;
  std::vector<NodeMemory> memory;
  std::vector<Learned> learned;  // of tiers of which anything was

  const TierStatus* tier(const std::string& name) const;  // null: nothing is said of it yet
  TierStatus* tier(const std::string& name);
};

const Learned* find_learned(const std::vector<Learned>& all, const std::string& tier);  // null: nothing

struct InferenceStack {
  ObjectMeta metadata;
  StackSpec spec;
  StackStatus status;
  // Fields whose stored value has the wrong shape, found by the codec: "spec.tiers[0].port: ...".
  std::vector<std::string> decode_errors;
};

}  // namespace strix::api
