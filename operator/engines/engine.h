// Why: everything that differs between vLLM and llama.cpp, behind one set of pure functions: the pod that
// runs a tier, how to ask whether it works, and how to read its answers.
// May not: do I/O, know clocks, or know the ledger beyond a Claim.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core.h"
#include "api/inference_stack.h"
#include "planner/claim.h"
#include "planner/effective.h"

namespace strix::engines {

struct PodInput {
  const api::InferenceStack* stack = nullptr;
  const api::Tier* tier = nullptr;
  const api::StackNode* node = nullptr;
  std::string kubernetes_node;      // metadata.name of the one node that matched
  std::string kubernetes_hostname;  // its kubernetes.io/hostname label; empty: none
  planner::Claim claim;
  // What the plan made of the tier; absent: what the spec says, for tiers that nobody planned.
  std::optional<planner::Effective> effective = {};
  std::string leader;  // identity of the process that vouches for the gate
};

struct PodTemplate {
  std::string name;           // <stack>-<tier>
  std::string template_hash;  // of everything that makes a new pod necessary (not of `leader`)
};
// What a pass needs to know whether a pod is as it should be; the pod itself is seldom needed.
PodTemplate template_of(const PodInput& input);

struct RenderedPod : PodTemplate {
  std::string body;  // the Pod, JSON, ready for create
};
RenderedPod render_pod(const PodInput& input);

struct ServiceTemplate {
  std::string name;  // <stack>-<tier>
  std::string hash;  // also in the annotation applied-hash
};
ServiceTemplate service_template_of(const api::InferenceStack& stack, const api::Tier& tier);

struct RenderedService : ServiceTemplate {
  std::string body;  // for create
};
RenderedService render_service(const api::InferenceStack& stack, const api::Tier& tier);
// A JSON merge patch that makes `existing` what render_service says, and leaves alone what others put there.
// It is refused by the API server when the Service is another one by then.
std::string render_service_patch(const api::InferenceStack& stack, const api::Tier& tier,
                                 const api::Service& existing);

// The engine's argv after the program, which render_pod uses; public for `render` and for golden tests.
// Context, fraction and cache are those of `effective`, whatever the spec says.
std::vector<std::string> command_line(const api::InferenceStack& stack, const api::Tier& tier,
                                      const api::StackNode& node, const planner::Effective& effective);
// Flags that extraArgs may not carry because the operator owns them (host, port, model, context, ...).
// Returns the offending flag's name, in any of its spellings (--flag=value, short forms), or empty.
std::string owned_flag(api::Engine engine, const std::vector<std::string>& extra_args);
// Environment variables that a tier's or engine's env may not carry, for the same reason.
std::vector<std::string> owned_env();

// The name under which clients ask for the model, and our warm-up does: servedModelName, or the tier's.
std::string served_model_name(const api::Tier& tier);

// --- asking a running engine --------------------------------------------------------------------------

// One HTTP exchange with a tier's pod: path and body, no host.
struct Ask {
  std::string method = "GET";
  std::string path;
  std::string body;  // JSON; empty for GET
};

enum class HealthReading { NotListening, Loading, Healthy, Failing };

Ask health_ask(const api::Tier& tier);
// status 0: connection refused or reset.
HealthReading read_health(api::Engine engine, int status, std::string_view body);

// A one-token completion: /health of 200 does not prove that a forward pass works.
Ask warm_up_ask(const api::Tier& tier);
// Absent: it worked. Otherwise what to say ("warm-up answered 500"), without the engine's text if that could
// hold a prompt.
std::optional<std::string> read_warm_up(int status, std::string_view body);

// What an engine says of itself once it is up, as far as it says it.
struct Report {
  std::optional<int64_t> context_length_tokens;  // that one request may have
  std::optional<int64_t> kv_tokens;              // that its KV cache holds, of all requests together
  // vLLM's own estimate of how many requests of full length that is, in millionths: of a model whose layers
  // keep different amounts it says more than the tokens.
  std::optional<int64_t> kv_requests_millionths;
  std::optional<int64_t> kv_bytes;  // where they were pinned
  std::optional<int64_t> slots;     // llama-server: requests at once
  std::string version;              // of at most 64 bytes; empty: not known
  bool operator==(const Report&) const = default;
};
// What the cache holds as the plan counts it: in requests of full length, where the engine says how many.
std::optional<int64_t> kv_tokens_at_full_length(const Report& report);
// How many of those requests, in hundredths, rounded as vLLM prints its "Maximum concurrency".
std::optional<int64_t> kv_concurrency_hundredths(const Report& report);
// What the second says of what the first leaves open.
Report merged(Report first, const Report& second);

// /v1/models for vLLM, /props for llama-server.
Ask effective_ask(api::Engine engine);
Report read_effective(api::Engine engine, std::string_view body);
// vLLM's /version; llama-server has told with the effective settings.
Ask version_ask();
Report read_version(std::string_view body);
Report read_cache(api::Engine engine, std::string_view metrics_text);  // from /metrics

struct Load {
  int64_t running = 0, waiting = 0;
  bool idle() const { return running == 0 && waiting == 0; }
  bool operator==(const Load&) const = default;
};
Ask metrics_ask();
// From the engine's /metrics; absent when it cannot be told, which counts as busy.
std::optional<Load> read_load(api::Engine engine, std::string_view metrics_text);

}  // namespace strix::engines
