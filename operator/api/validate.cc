#include "api/validate.h"

#include <fmt/format.h>

#include "api/validate_checks.h"

namespace strix::api {

namespace checks {

namespace {

constexpr NodeCheck node_table[] = {
    node_name,         // a DNS label
    node_selector,     // 1 to 8 labels
    node_profile,      // quantities, reserve < unified, gpu <= unified, fraction 0.01 to 1
    node_devices,      // resourceName or paths, as the strategy needs
    node_model_store,  // exactly one of hostPath, persistentVolumeClaim
};

constexpr TierCheck tier_table[] = {
    tier_name,         // letters and digits; <stack>-<tier> within 63
    tier_node,         // a spec.nodes entry; may be left out where there is one
    tier_model,        // exactly one of repository and file, and the one that the engine needs
    tier_facts,        // what belongs together is there together
    tier_speculative,  // a model of the tier's engine
    tier_context,      // auto, or 256 to 10485760 and within ropeScaling
    tier_memory,       // at most one of gpuFraction and kvCache, and where it means something
    tier_devices,      // the node lends its GPU where the tier uses it
    tier_numbers,      // ports, sequences, threads, priority, seconds
    tier_texts,        // image, parsers, names, probe path, secrets
    tier_engine_only,  // vLLM's settings on vLLM's tiers
    tier_start_after,  // known tiers, not itself, none twice
    tier_arguments,    // extraArgs and env
    tier_resources,    // quantities; limit >= request
    tier_service,      // annotations
};

void each_node(const InferenceStack& stack, const Policy&, Findings& findings) {
  for (size_t i = 0; i < stack.spec.nodes.size(); ++i)
    for (NodeCheck check : node_table) check(stack.spec.nodes[i], node_path(stack, i), findings);
}

void each_tier(const InferenceStack& stack, const Policy&, Findings& findings) {
  for (size_t i = 0; i < stack.spec.tiers.size(); ++i) {
    const Tier& tier = stack.spec.tiers[i];
    TierSubject subject{
        .stack = stack, .tier = tier, .node = node_of(stack.spec, tier), .path = tier_path(stack, i)};
    for (TierCheck check : tier_table) check(subject, findings);
  }
}

constexpr StackCheck stack_table[] = {
    stack_name,          // becomes part of Service names
    counts,              // 1 to 16 nodes, 1 to 16 tiers
    tuning,              // its window
    unique_names,        // nodes, tiers
    each_node,           // node_table
    engine_defaults,     // images, env, cache
    each_tier,           // tier_table
    unique_ports,        // ports in the stack, host ports on a node
    start_after_cycles,  // what CEL cannot
    privileged_tiers,    // --allow-privileged-tiers
    host_paths,          // --model-roots
    images,              // --allowed-images
    owned_arguments,     // flags that the operator sets
    owned_environment,   // variables that the operator sets
};

}  // namespace

}  // namespace checks

std::string summary_of(const std::vector<FieldError>& errors) {
  std::string text = errors.front().text();
  if (errors.size() > 1) text += fmt::format(" (and {} more)", errors.size() - 1);
  return text;
}

std::vector<FieldError> validate(const InferenceStack& stack, const Policy& policy) {
  checks::Findings findings;
  for (const auto& note : stack.decode_errors) {
    size_t colon = note.find(": ");
    if (colon == std::string::npos) {
      findings.add("spec", note);
    } else {
      findings.add(note.substr(0, colon), note.substr(colon + 2));
    }
  }
  if (stack.decode_errors.empty())
    for (checks::StackCheck check : checks::stack_table) check(stack, policy, findings);
  return findings.take();
}

}  // namespace strix::api
