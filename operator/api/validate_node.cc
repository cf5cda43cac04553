#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/text.h"
#include "api/validate_checks.h"
#include "base/bytes.h"

namespace strix::api::checks {

namespace {

constexpr size_t selector_entries_max = 8;
constexpr size_t path_length_max = 512;
constexpr size_t device_paths_max = 8;
constexpr size_t device_path_length_max = 256;
constexpr size_t groups_max = 8;
constexpr int64_t group_id_max = 2147483647;

void device_paths(const std::vector<std::string>& paths, const std::string& path, Findings& findings) {
  if (paths.size() > device_paths_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", paths.size(), device_paths_max));
  for (const auto& entry : paths)
    if (!is_absolute_path(entry) || entry.size() > device_path_length_max)
      findings.add(path, fmt::format("{} is not an absolute path such as /dev/kfd", quoted(entry)));
}

void groups(const std::vector<int64_t>& ids, const std::string& path, Findings& findings) {
  if (ids.size() > groups_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", ids.size(), groups_max));
  for (int64_t id : ids) range(path, id, 0, group_id_max, findings);
  if (std::set<int64_t>(ids.begin(), ids.end()).size() != ids.size())
    findings.add(path, "names a group twice; remove one");
}

}  // namespace

void node_name(const StackNode& node, const std::string& path, Findings& findings) {
  if (!is_label(node.name))
    findings.add(path + ".name",
                 fmt::format("{} must be 1 to 63 lower-case letters, digits and hyphens, with a "
                             "letter or digit at both ends",
                             quoted(node.name)));
}

void node_selector(const StackNode& node, const std::string& path, Findings& findings) {
  if (node.selector.empty() || node.selector.size() > selector_entries_max)
    findings.add(path + ".selector",
                 fmt::format("must have 1 to {} labels that only one Kubernetes node has, such as "
                             "kubernetes.io/hostname, not {}",
                             selector_entries_max, node.selector.size()));
  for (const auto& [key, value] : node.selector)
    if (!is_qualified_name(key) || !is_label_value(value))
      findings.add(path + ".selector",
                   fmt::format("{}: {} is not a label that a node can have", quoted(key), quoted(value)));
}

void node_profile(const StackNode& node, const std::string& path, Findings& findings) {
  const NodeProfile& profile = node.profile;
  const std::string& target = profile.gfx_target;
  bool hexadecimal = target.find_first_not_of("0123456789abcdef", 3) == std::string::npos;
  if (target.rfind("gfx", 0) != 0 || target.size() < 6 || target.size() > 9 || !hexadecimal)
    findings.add(path + ".profile.gfxTarget",
                 fmt::format("{} is not a target such as gfx1151", quoted(target)));
  bool complete = true;
  auto required = [&](const char* name, int64_t bytes, const char* example) {
    if (bytes > 0) return;
    complete = false;
    findings.add(path + ".profile." + name, fmt::format("is required; write a quantity such as {}", example));
  };
  required("unifiedMemory", profile.unified_memory_bytes, "128Gi");
  required("gpuMemory", profile.gpu_memory_bytes, "124Gi");
  if (complete && profile.gpu_memory_bytes > profile.unified_memory_bytes)
    findings.add(path + ".profile.gpuMemory",
                 fmt::format("{} is more than unifiedMemory {}, of which it is a part; lower it",
                             format_gib(profile.gpu_memory_bytes), format_gib(profile.unified_memory_bytes)));
  if (complete && profile.system_reserve_bytes >= profile.unified_memory_bytes)
    findings.add(
        path + ".profile.systemReserve",
        fmt::format("{} leaves nothing of unifiedMemory {} for tiers; lower it",
                    format_gib(profile.system_reserve_bytes), format_gib(profile.unified_memory_bytes)));
  if (profile.max_gpu_fraction_milli < 10 || profile.max_gpu_fraction_milli > 1000)
    findings.add(path + ".profile.maxGpuFraction", "must be 0.01 to 1");
}

void node_devices(const StackNode& node, const std::string& path, Findings& findings) {
  if (!node.devices) return;
  const Devices& devices = *node.devices;
  std::string at = path + ".devices";
  if (devices.strategy == DeviceStrategy::ExtendedResource && devices.resource_name.empty())
    findings.add(
        at + ".resourceName",
        "is required for strategy ExtendedResource; name the resource that a device plugin on the node "
        "offers, such as squat.ai/dri");
  bool has_domain = devices.resource_name.find('/') != std::string::npos;
  if (!devices.resource_name.empty() &&
      (!has_domain || !is_qualified_name(devices.resource_name) || devices.resource_name.size() > 128))
    findings.add(at + ".resourceName",
                 fmt::format("{} is not a resource such as squat.ai/dri", quoted(devices.resource_name)));
  if (devices.strategy == DeviceStrategy::Privileged && devices.paths.empty())
    findings.add(at + ".paths", "is required for strategy Privileged; write [/dev/kfd, /dev/dri]");
  device_paths(devices.paths, at + ".paths", findings);
  groups(devices.supplemental_groups, at + ".supplementalGroups", findings);
}

void volume(const VolumeChoice& volume, const std::string& path, Findings& findings) {
  bool both = !volume.host_path.empty() && !volume.persistent_volume_claim.empty();
  if (both || !volume.set()) findings.add(path, "set exactly one of hostPath and persistentVolumeClaim");
  if (!volume.host_path.empty() &&
      (!is_absolute_path(volume.host_path) || volume.host_path.size() > path_length_max))
    findings.add(path + ".hostPath.path",
                 fmt::format("{} must be an absolute path of at most {} plain characters without .., such as "
                             "/var/lib/models",
                             quoted(volume.host_path), path_length_max));
  if (!volume.persistent_volume_claim.empty() && !is_subdomain(volume.persistent_volume_claim))
    findings.add(path + ".persistentVolumeClaim.claimName",
                 fmt::format("{} is not the name of a claim", quoted(volume.persistent_volume_claim)));
}

void node_model_store(const StackNode& node, const std::string& path, Findings& findings) {
  volume(node.model_store, path + ".modelStore", findings);
}

}  // namespace strix::api::checks
