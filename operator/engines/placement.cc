#include "engines/placement.h"

#include "engines/labels.h"

namespace strix::engines {

// The stack's selector and, so that a label that moves to another machine cannot move the tier, the one node
// that the claim was made on. Never nodeName: that would pass the scheduler, and the gate with it.
void write_placement(json::Writer& writer, const Place& place) {
  auto selector = place.entry.selector;
  if (!place.hostname.empty()) selector["kubernetes.io/hostname"] = place.hostname;
  write_map(writer, "nodeSelector", selector);
  if (place.hostname.empty()) {
    writer.key("affinity").begin_object().key("nodeAffinity").begin_object();
    writer.key("requiredDuringSchedulingIgnoredDuringExecution").begin_object();
    writer.key("nodeSelectorTerms")
        .begin_array()
        .begin_object()
        .key("matchFields")
        .begin_array()
        .begin_object();
    writer.member("key", "metadata.name").member("operator", "In");
    writer.key("values").begin_array().string(place.node).end_array();
    writer.end_object().end_array().end_object().end_array();
    writer.end_object().end_object().end_object();
  }
  // Without a limit: a kubelet that stalls for five minutes must not evict every tier of the machine.
  writer.key("tolerations").begin_array();
  for (const char* taint : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
    writer.begin_object()
        .member("key", taint)
        .member("operator", "Exists")
        .member("effect", "NoExecute")
        .end_object();
  writer.end_array();
}

}  // namespace strix::engines
