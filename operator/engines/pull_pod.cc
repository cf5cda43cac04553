#include "engines/pull_pod.h"

#include <fmt/format.h>

#include "api/names.h"
#include "base/hash.h"
#include "engines/labels.h"

namespace strix::engines {

namespace {

constexpr int64_t nobody = 65534;

void write_metadata(json::Writer& writer, const PullInput& input) {
  writer.key("metadata").begin_object();
  writer.member("name", pull_pod_name(input));
  writer.member("namespace", input.stack.metadata.namespace_);
  write_map(writer, "labels",
            {{std::string(names::label_stack), input.stack.metadata.name},
             {std::string(names::label_role), std::string(names::role_pull)},
             {std::string(names::label_managed_by), std::string(names::manager)},
             {std::string(names::label_instance), input.stack.metadata.name}});
  write_map(writer, "annotations", {{std::string(names::annotation_node), input.place.node}});
  write_owner(writer, input.stack);
  writer.end_object();
}

// As Pod Security's restricted profile wants it.
void write_security(json::Writer& writer) {
  writer.key("securityContext").begin_object();
  writer.member("allowPrivilegeEscalation", false);
  writer.member("runAsNonRoot", true).member("runAsUser", nobody);
  writer.key("capabilities").begin_object().key("drop").begin_array().string("ALL").end_array().end_object();
  writer.key("seccompProfile").begin_object().member("type", "RuntimeDefault").end_object();
  writer.end_object();
}

// Enough to begin and end; said, so that a quota on a namespace has something to count.
void write_resources(json::Writer& writer) {
  writer.key("resources").begin_object();
  writer.key("requests").begin_object().member("cpu", "10m").member("memory", "16Mi").end_object();
  writer.key("limits").begin_object().member("cpu", "500m").member("memory", "64Mi").end_object();
  writer.end_object();
}

// The image is pulled before it is known whether it has a `true`: where it has none, the container cannot be
// started, and that tells the same.
void write_container(json::Writer& writer, const PullInput& input) {
  writer.key("containers").begin_array().begin_object();
  writer.member("name", container_name).member("image", input.image);
  writer.key("imagePullPolicy").string(to_string(input.policy));
  writer.key("command").begin_array().string("true").end_array();
  write_resources(writer);
  write_security(writer);
  writer.end_object().end_array();
}

}  // namespace

std::string pull_pod_name(const PullInput& input) {
  return fmt::format(
      "{}.pull-{}", input.stack.metadata.name,
      stable_hash_hex(fmt::format("{}\n{}\n{}", input.place.node, input.image, to_string(input.policy))));
}

std::string render_pull_pod(const PullInput& input) {
  json::Writer writer;
  writer.begin_object();
  writer.member("apiVersion", "v1").member("kind", "Pod");
  write_metadata(writer, input);
  writer.key("spec").begin_object();
  writer.member("restartPolicy", "Never").member("terminationGracePeriodSeconds", int64_t{1});
  writer.member("activeDeadlineSeconds", pull_deadline_seconds);
  writer.member("automountServiceAccountToken", false).member("enableServiceLinks", false);
  writer.member("hostname", "pull");  // the pod's name has a dot
  write_placement(writer, input.place);
  write_container(writer, input);
  writer.end_object().end_object();
  return writer.take();
}

}  // namespace strix::engines
