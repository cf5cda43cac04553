#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/text.h"
#include "api/validate_checks.h"

namespace strix::api::checks {

namespace {

constexpr size_t list_length_max = 16;
constexpr size_t stack_name_length_max = 61;  // and a hyphen, and one letter of a tier

void count(const char* path, size_t size, const char* what, Findings& findings) {
  if (size == 0) findings.add(path, fmt::format("is empty; name at least one {}", what));
  if (size > list_length_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", size, list_length_max));
}

// The first of a tier's predecessors that is still waiting for others, or null.
const Tier* blocked_by(const StackSpec& spec, const Tier& tier, const std::set<std::string>& settled) {
  for (const auto& name : tier.start_after) {
    const Tier* predecessor = spec.tier(name);
    if (predecessor && !settled.count(name)) return predecessor;
  }
  return nullptr;
}

// Tiers that can be put in an order; what is left over is in a cycle or waits for one.
std::set<std::string> settle(const StackSpec& spec) {
  std::set<std::string> settled;
  for (bool progress = true; progress;) {
    progress = false;
    for (const auto& tier : spec.tiers)
      if (!settled.count(tier.name) && !blocked_by(spec, tier, settled))
        progress = settled.insert(tier.name).second || progress;
  }
  return settled;
}

}  // namespace

std::string tier_path(const InferenceStack& stack, size_t index) {
  const std::string& name = stack.spec.tiers[index].name;
  return fmt::format("spec.tiers[{}]", is_tier_name(name) ? name : std::to_string(index));
}

std::string node_path(const InferenceStack& stack, size_t index) {
  const std::string& name = stack.spec.nodes[index].name;
  return fmt::format("spec.nodes[{}]", is_label(name) ? name : std::to_string(index));
}

const StackNode* node_of(const StackSpec& spec, const Tier& tier) {
  if (tier.node.empty()) return spec.nodes.size() == 1 ? &spec.nodes.front() : nullptr;
  for (const auto& node : spec.nodes)
    if (node.name == tier.node) return &node;
  return nullptr;
}

void range(const std::string& path, int64_t value, int64_t low, int64_t high, Findings& findings) {
  if (value < low || value > high)
    findings.add(path, fmt::format("must be {} to {}, not {}", low, high, value));
}

void stack_name(const InferenceStack& stack, const Policy&, Findings& findings) {
  const std::string& name = stack.metadata.name;
  bool begins_with_letter = !name.empty() && name.front() >= 'a' && name.front() <= 'z';
  if (!is_label(name) || !begins_with_letter || name.size() > stack_name_length_max)
    findings.add(
        "metadata.name",
        fmt::format("{} becomes part of Service names: use at most {} lower-case letters, digits and "
                    "hyphens, beginning with a letter and no dots",
                    quoted(name), stack_name_length_max));
}

void counts(const InferenceStack& stack, const Policy&, Findings& findings) {
  count("spec.nodes", stack.spec.nodes.size(), "machine", findings);
  count("spec.tiers", stack.spec.tiers.size(), "tier", findings);
}

void tuning(const InferenceStack& stack, const Policy&, Findings& findings) {
  range("spec.tuning.windowSeconds", stack.spec.tuning.window_seconds, 3600, 604'800, findings);
}

void unique_names(const InferenceStack& stack, const Policy&, Findings& findings) {
  std::set<std::string> nodes, tiers;
  for (const auto& node : stack.spec.nodes)
    if (!nodes.insert(node.name).second)
      findings.add("spec.nodes", fmt::format("two entries have the name {}; rename one", quoted(node.name)));
  for (const auto& tier : stack.spec.tiers)
    if (!tiers.insert(tier.name).second)
      findings.add("spec.tiers", fmt::format("two tiers have the name {}; rename one", quoted(tier.name)));
}

void engine_defaults(const InferenceStack& stack, const Policy&, Findings& findings) {
  for (Engine engine : {Engine::Vllm, Engine::LlamaCpp}) {
    const EngineDefaults& defaults = stack.spec.defaults_of(engine);
    std::string path = fmt::format("spec.engines.{}", to_string(engine));
    if (!is_image(defaults.image))
      findings.add(path + ".image",
                   fmt::format("{} is not the name of a container image", quoted(defaults.image)));
    environment(defaults.env, path + ".env", findings);
    if (defaults.cache.set()) volume(defaults.cache, path + ".cache", findings);
  }
}

void unique_ports(const InferenceStack& stack, const Policy&, Findings& findings) {
  const auto& tiers = stack.spec.tiers;
  for (size_t i = 0; i < tiers.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (tiers[i].port == tiers[j].port)
        findings.add(tier_path(stack, i) + ".port",
                     fmt::format("{} is also the port of tier {}; give each tier a port of its own",
                                 tiers[i].port, quoted(tiers[j].name)));
      bool same_node = node_of(stack.spec, tiers[i]) == node_of(stack.spec, tiers[j]);
      if (tiers[i].host_port != 0 && tiers[i].host_port == tiers[j].host_port && same_node)
        findings.add(
            tier_path(stack, i) + ".hostPort",
            fmt::format("{} is also the hostPort of tier {} on the same node; change one, or leave it out",
                        tiers[i].host_port, quoted(tiers[j].name)));
    }
  }
}

void start_after_cycles(const InferenceStack& stack, const Policy&, Findings& findings) {
  const StackSpec& spec = stack.spec;
  std::set<std::string> settled = settle(spec);
  const Tier* tier = nullptr;
  for (const auto& candidate : spec.tiers)
    if (!tier && !settled.count(candidate.name)) tier = &candidate;
  if (!tier) return;
  // Every unsettled tier has an unsettled predecessor, so this walk must come by one tier twice.
  std::vector<std::string> walk;
  while (std::find(walk.begin(), walk.end(), tier->name) == walk.end()) {
    walk.push_back(tier->name);
    tier = blocked_by(spec, *tier, settled);
    if (!tier) return;
  }
  walk.erase(walk.begin(), std::find(walk.begin(), walk.end(), tier->name));
  if (walk.size() == 1) return;  // its own name, which tier_start_after tells
  std::string circle;
  for (const auto& name : walk) circle += name + " after ";
  findings.add("spec.tiers", fmt::format("startAfter goes in a circle ({}{}); remove one of these entries",
                                         clipped(circle, 600), walk.front()));
}

}  // namespace strix::api::checks
