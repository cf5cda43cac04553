#include "api/names.h"
#include "base/check.h"
#include "base/hash.h"
#include "engines/dialect.h"
#include "engines/engine.h"
#include "engines/image.h"
#include "engines/labels.h"
#include "engines/placement.h"
#include "engines/volumes.h"

namespace strix::engines {
namespace {

// vLLM stops in half a second once it serves; while it loads it may ignore SIGTERM for minutes, and the load
// window stays shut until the pod is gone.
constexpr int64_t termination_grace_seconds = 30;

constexpr int unprivileged_port_first = 1024;

Sight sight_of(const PodInput& input) {
  return {.spec = input.stack->spec, .tier = *input.tier, .node = *input.node};
}

// The engine itself and nothing between: signals and exit codes are its own.
// vLLM: named, because the images for Strix Halo have no entry point but a shell; `vllm` is in their PATH.
// llama.cpp: not named. Upstream's server images keep llama-server in /app, outside PATH, as their entry
// point; one that has it elsewhere says so in the same way.
void write_command(json::Writer& writer, const PodInput& input, const planner::Effective& effective) {
  if (input.tier->engine == api::Engine::Vllm) writer.key("command").begin_array().string("vllm").end_array();
  writer.key("args").begin_array();
  for (const std::string& argument : command_line(*input.stack, *input.tier, *input.node, effective))
    writer.string(argument);
  writer.end_array();
}

void write_environment(json::Writer& writer, const PodInput& input, const planner::Effective& effective) {
  writer.key("env").begin_array();
  for (const api::EnvVar& variable : environment(input.stack->spec, *input.tier, effective)) {
    writer.begin_object().member("name", variable.name);
    if (variable.secret_name.empty()) {
      writer.member("value", variable.value);
    } else {
      writer.key("valueFrom").begin_object().key("secretKeyRef").begin_object();
      writer.member("name", variable.secret_name).member("key", variable.secret_key);
      writer.end_object().end_object();
    }
    writer.end_object();
  }
  writer.end_array();
}

void write_quantities(json::Writer& writer, std::string_view key, const api::Quantities& declared,
                      const std::string& device) {
  writer.key(key).begin_object();
  if (!declared.cpu.empty()) writer.member("cpu", declared.cpu);
  if (!declared.memory.empty()) writer.member("memory", declared.memory);
  if (!device.empty()) writer.member(device, "1");  // extended resources: request and limit are equal
  writer.end_object();
}

// As declared and no more: memory that the GPU maps is charged to no cgroup, so that a limit made up by us
// would fence nothing and kill the loader, which reads the weights through the page cache.
void write_resources(json::Writer& writer, const PodInput& input) {
  const auto& devices = input.node->devices;
  bool lent = uses_gpu(*input.tier) && devices && devices->strategy == api::DeviceStrategy::ExtendedResource;
  std::string device = lent ? devices->resource_name : std::string();
  writer.key("resources").begin_object();
  write_quantities(writer, "requests", input.tier->requests, device);
  write_quantities(writer, "limits", input.tier->limits, device);
  writer.end_object();
}

// CPU tiers run as confined as Pod Security's restricted profile, but for the image's user. GPU tiers do
// without a seccomp profile, as all that is known to work with ROCm does; it is left out rather than set to
// Unconfined, which the baseline profile refuses.
void write_container_security(json::Writer& writer, const PodInput& input) {
  writer.key("securityContext").begin_object();
  if (!device_paths(sight_of(input)).empty()) {
    writer.member("privileged", true);
  } else {
    writer.member("allowPrivilegeEscalation", false);
    if (!uses_gpu(*input.tier)) {
      writer.key("capabilities").begin_object().key("drop").begin_array().string("ALL").end_array();
      if (input.tier->port < unprivileged_port_first)
        writer.key("add").begin_array().string("NET_BIND_SERVICE").end_array();  // restricted allows this one
      writer.end_object();
      writer.key("seccompProfile").begin_object().member("type", "RuntimeDefault").end_object();
    }
  }
  writer.end_object();
}

void write_container(json::Writer& writer, const PodInput& input) {
  const api::Tier& tier = *input.tier;
  writer.begin_object();
  writer.member("name", container_name);
  writer.member("image", input.stack->spec.image_of(tier));
  // Whatever the author's policy, it is carried out before the load window opens, by a pod that only pulls.
  bool never = pull_policy(input.stack->spec, tier) == PullPolicy::Never;
  writer.member("imagePullPolicy", never ? "Never" : "IfNotPresent");
  auto effective = input.effective.value_or(planner::declared_effective(*input.tier));
  write_command(writer, input, effective);
  write_environment(writer, input, effective);
  writer.key("ports").begin_array().begin_object();
  writer.member("name", port_name).member("protocol", "TCP").member("containerPort", tier.port);
  if (tier.host_port > 0) writer.member("hostPort", tier.host_port);
  writer.end_object().end_array();
  write_resources(writer, input);
  write_mounts(writer, sight_of(input));
  write_container_security(writer, input);
  // An empty message tells nothing; the log's end at least names the kind of failure.
  writer.member("terminationMessagePolicy", "FallbackToLogsOnError");
  // No probes: the kubelet would kill an engine that loads for an hour, or call one ready that has never
  // answered. The operator asks, in the load window, and the readiness gate says what it found.
  writer.end_object();
}

void write_spec(json::Writer& writer, const PodInput& input) {
  writer.key("spec").begin_object();
  writer.key("schedulingGates").begin_array().begin_object();
  writer.member("name", names::scheduling_gate).end_object().end_array();
  writer.key("readinessGates").begin_array().begin_object();
  writer.member("conditionType", names::readiness_gate).end_object().end_array();
  writer.member("restartPolicy", "Never");  // nobody restarts a tier behind the ledger's back
  writer.member("terminationGracePeriodSeconds", termination_grace_seconds);
  writer.member("automountServiceAccountToken", false);
  // A Service called vllm would otherwise set VLLM_PORT, which vLLM reads as something else.
  writer.member("enableServiceLinks", false);
  write_placement(writer, {*input.node, input.kubernetes_node, input.kubernetes_hostname});
  writer.key("securityContext").begin_object();
  const auto& devices = input.node->devices;
  if (uses_gpu(*input.tier) && devices && !devices->supplemental_groups.empty()) {
    // The groups of the host's device files, by number: the image's names for them may differ.
    writer.key("supplementalGroups").begin_array();
    for (int64_t group : devices->supplemental_groups) writer.integer(group);
    writer.end_array();
  }
  writer.end_object();
  writer.key("containers").begin_array();
  write_container(writer, input);
  writer.end_array();
  write_volumes(writer, sight_of(input));
  writer.end_object();
}

void write_metadata(json::Writer& writer, const PodInput& input, const std::string& hash) {
  std::map<std::string, std::string> annotations{
      {std::string(names::annotation_node), input.kubernetes_node}};
  auto labels = labels_of(*input.stack, *input.tier);
  labels[std::string(names::label_node)] = stable_hash_hex(input.kubernetes_node);
  if (!hash.empty()) {
    annotations[std::string(names::annotation_template_hash)] = hash;
    annotations[std::string(names::annotation_claim)] = planner::encode_claim(input.claim);
    annotations[std::string(names::annotation_leader)] = input.leader;
  }
  writer.key("metadata").begin_object();
  writer.member("name", object_name(*input.stack, *input.tier));
  writer.member("namespace", input.stack->metadata.namespace_);
  write_map(writer, "labels", labels);
  write_map(writer, "annotations", annotations);
  if (!hash.empty()) write_owner(writer, *input.stack);
  writer.end_object();
}

// `hash` empty: what the hash is made of, which is all that makes a new pod necessary. The claim is not part
// of it: when more is known of a model or a machine, the ledger's entry of a pod that runs is corrected, and
// the engine, which was told the same, runs on. Nor is who vouches for the gate, or the uid of the owner:
// another leader, or the stack applied again over orphaned pods, takes them on as they are.
std::string write_pod(const PodInput& input, const std::string& hash) {
  json::Writer writer;
  writer.begin_object();
  writer.member("apiVersion", "v1").member("kind", "Pod");
  write_metadata(writer, input, hash);
  write_spec(writer, input);
  writer.end_object();
  return writer.take();
}

}  // namespace

PodTemplate template_of(const PodInput& input) {
  INVARIANT(input.stack && input.tier && input.node);
  return {object_name(*input.stack, *input.tier), canonical_hash(write_pod(input, {}))};
}

RenderedPod render_pod(const PodInput& input) {
  PodTemplate made_from = template_of(input);
  std::string body = write_pod(input, made_from.template_hash);
  return {std::move(made_from), std::move(body)};
}

}  // namespace strix::engines
