// What the operator's own flags allow: a namespaced object must not buy its author the node.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "api/text.h"
#include "api/validate_checks.h"

namespace strix::api::checks {

namespace {

// The path's folders, without empty ones and "."; absent when it climbs. Lexical: whether the path leads
// through a symbolic link only the node can know.
std::optional<std::vector<std::string_view>> folders(std::string_view path) {
  std::vector<std::string_view> all;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view folder = path.substr(0, slash);
    if (folder == "..") return std::nullopt;
    if (!folder.empty() && folder != ".") all.push_back(folder);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return all;
}

bool lies_under(std::string_view path, std::string_view root) {
  if (root.empty() || root.front() != '/') return false;
  auto inner = folders(path);
  auto outer = folders(root);
  if (!inner || !outer || inner->size() < outer->size()) return false;
  return std::equal(outer->begin(), outer->end(), inner->begin());
}

void host_path(const VolumeChoice& volume, const std::string& path, const Policy& policy,
               Findings& findings) {
  if (volume.host_path.empty()) return;
  if (policy.model_roots.empty()) {
    findings.add(path + ".hostPath",
                 "is not allowed: the operator runs without --model-roots; use a "
                 "persistentVolumeClaim, or ask who runs the operator");
    return;
  }
  std::string roots;
  for (const auto& root : policy.model_roots) {
    if (lies_under(volume.host_path, root)) return;
    roots += (roots.empty() ? "" : ", ") + root;
  }
  findings.add(
      path + ".hostPath.path",
      fmt::format(
          "{} lies outside the folders that the operator allows (--model-roots: {}); move it there, or "
          "ask who runs the operator",
          quoted(volume.host_path), clipped(roots, 300)));
}

// "ghcr.io/x" allows ghcr.io/x/y and ghcr.io/x:1, not ghcr.io/xy.
bool image_allowed(std::string_view image, const Policy& policy) {
  return std::any_of(policy.allowed_images.begin(), policy.allowed_images.end(),
                     [&](std::string_view prefix) {
                       if (prefix.empty() || image.substr(0, prefix.size()) != prefix) return false;
                       constexpr std::string_view boundaries = "/:@";
                       bool ends_at_boundary = boundaries.find(prefix.back()) != std::string_view::npos;
                       return ends_at_boundary || image.size() == prefix.size() ||
                              boundaries.find(image[prefix.size()]) != std::string_view::npos;
                     });
}

void image(const std::string& image, const std::string& path, const Policy& policy, Findings& findings) {
  if (!image_allowed(image, policy))
    findings.add(
        path,
        fmt::format("{} is not among the images that the operator allows (--allowed-images); use one of "
                    "them, or ask who runs the operator",
                    quoted(image)));
}

void owned_variables(const std::vector<EnvVar>& env, const std::string& path, const Policy& policy,
                     Findings& findings) {
  for (const auto& variable : env)
    if (std::find(policy.owned_env.begin(), policy.owned_env.end(), variable.name) != policy.owned_env.end())
      findings.add(path, fmt::format("{} is set by the operator, or read from extraArgs alone; remove it",
                                     variable.name));
}

}  // namespace

void privileged_tiers(const InferenceStack& stack, const Policy& policy, Findings& findings) {
  if (policy.allow_privileged_tiers) return;
  for (size_t i = 0; i < stack.spec.nodes.size(); ++i) {
    const auto& devices = stack.spec.nodes[i].devices;
    if (devices && devices->strategy == DeviceStrategy::Privileged)
      findings.add(node_path(stack, i) + ".devices.strategy",
                   "Privileged is not allowed: the operator runs without --allow-privileged-tiers; use "
                   "ExtendedResource with a device plugin, or ask who runs the operator");
  }
}

void host_paths(const InferenceStack& stack, const Policy& policy, Findings& findings) {
  for (size_t i = 0; i < stack.spec.nodes.size(); ++i)
    host_path(stack.spec.nodes[i].model_store, node_path(stack, i) + ".modelStore", policy, findings);
  for (Engine engine : {Engine::Vllm, Engine::LlamaCpp})
    host_path(stack.spec.defaults_of(engine).cache, fmt::format("spec.engines.{}.cache", to_string(engine)),
              policy, findings);
}

void images(const InferenceStack& stack, const Policy& policy, Findings& findings) {
  if (policy.allowed_images.empty()) return;
  bool uses_default[2] = {false, false};
  for (size_t i = 0; i < stack.spec.tiers.size(); ++i) {
    const Tier& tier = stack.spec.tiers[i];
    if (tier.image.empty()) {
      uses_default[tier.engine == Engine::Vllm ? 0 : 1] = true;
    } else {
      image(tier.image, tier_path(stack, i) + ".image", policy, findings);
    }
  }
  if (uses_default[0]) image(stack.spec.vllm.image, "spec.engines.vllm.image", policy, findings);
  if (uses_default[1]) image(stack.spec.llamacpp.image, "spec.engines.llamacpp.image", policy, findings);
}

void owned_arguments(const InferenceStack& stack, const Policy& policy, Findings& findings) {
  if (!policy.owned_flag) return;
  for (size_t i = 0; i < stack.spec.tiers.size(); ++i) {
    const Tier& tier = stack.spec.tiers[i];
    std::string flag = policy.owned_flag(tier.engine, tier.extra_args);
    if (!flag.empty())
      findings.add(
          tier_path(stack, i) + ".extraArgs",
          fmt::format("{} is set by the operator from other fields; remove it here, and use the field",
                      quoted(flag)));
  }
}

void owned_environment(const InferenceStack& stack, const Policy& policy, Findings& findings) {
  owned_variables(stack.spec.vllm.env, "spec.engines.vllm.env", policy, findings);
  owned_variables(stack.spec.llamacpp.env, "spec.engines.llamacpp.env", policy, findings);
  for (size_t i = 0; i < stack.spec.tiers.size(); ++i)
    owned_variables(stack.spec.tiers[i].env, tier_path(stack, i) + ".env", policy, findings);
}

}  // namespace strix::api::checks
