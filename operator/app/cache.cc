#include "app/cache.h"

#include "api/codec.h"
#include "api/names.h"
#include "app/resources.h"
#include "reconcile/pod_stage.h"

namespace strix::app {

namespace {

constexpr std::string_view by_stack = "stack";
constexpr std::string_view by_node = "node";
constexpr std::string_view by_stack_pull = "stack, pull";

template <class T>
api::NamespacedName stack_of(const T& object) {
  return {object.metadata.namespace_, object.metadata.label(names::label_stack)};
}

template <class T>
kube::Index<T> stack_index() {
  return {std::string(by_stack),
          [](const T& object) { return std::vector<std::string>{stack_of(object).text()}; }};
}

// What others put on our pods and Services nobody here reads, nor what we put there for people and for the
// API server's own selectors; of a thousand stacks it is megabytes.
template <class T>
Result<T> with_what_is_read(Result<T> object) {
  if (!object) return object;
  T kept = std::move(object).value();
  std::erase_if(kept.metadata.labels, [](const auto& entry) {
    return !entry.first.starts_with(names::group) || entry.first == names::label_node;
  });
  std::erase_if(kept.metadata.annotations,
                [](const auto& entry) { return !entry.first.starts_with(names::group); });
  return kept;
}

kube::InformerOptions<api::InferenceStack> stack_options() {
  kube::InformerOptions<api::InferenceStack> options;
  options.kind = "InferenceStack";
  options.decode = api::decode_stack;
  return options;
}

kube::InformerOptions<api::Pod> pod_options() {
  kube::InformerOptions<api::Pod> options;
  options.kind = "Pod";
  options.label_selector = names::label_stack;
  options.decode = [](json::Value object) { return with_what_is_read(api::decode_pod(object)); };
  using Keys = std::vector<std::string>;
  options.indexes = {
      {std::string(by_stack),
       [](const api::Pod& pod) { return reconcile::is_pull_pod(pod) ? Keys{} : Keys{stack_of(pod).text()}; }},
      {std::string(by_stack_pull),
       [](const api::Pod& pod) { return reconcile::is_pull_pod(pod) ? Keys{stack_of(pod).text()} : Keys{}; }},
      {std::string(by_node), [](const api::Pod& pod) {
         return reconcile::is_pull_pod(pod) ? Keys{} : Keys{reconcile::node_of(pod)};
       }}};
  return options;
}

kube::InformerOptions<api::Node> node_options() {
  kube::InformerOptions<api::Node> options;
  options.kind = "Node";
  options.decode = api::decode_node;
  return options;
}

kube::InformerOptions<api::Service> service_options() {
  kube::InformerOptions<api::Service> options;
  options.kind = "Service";
  options.label_selector = names::label_stack;
  options.decode = [](json::Value object) { return with_what_is_read(api::decode_service(object)); };
  options.indexes = {stack_index<api::Service>()};
  return options;
}

// Heartbeats and image lists change all the time and matter to nobody here.
bool same_for_us(const api::Node& a, const api::Node& b) {
  return a.metadata.uid == b.metadata.uid && a.metadata.labels == b.metadata.labels && a.ready == b.ready &&
         a.ready_message == b.ready_message && a.boot_id == b.boot_id && a.unschedulable == b.unschedulable &&
         a.allocatable == b.allocatable && a.metadata.deleted == b.metadata.deleted;
}

}  // namespace

InformerCache::InformerCache(kube::Client& client, metrics::Registry& registry, const std::string& ns,
                             Wakes wakes)
    : stacks_(kube::watch_ports(client, kube::path_of(app::stacks, ns)), registry, stack_options()),
      pods_(kube::watch_ports(client, kube::path_of(app::pods, ns)), registry, pod_options()),
      nodes_(kube::watch_ports(client, kube::path_of(app::nodes, "")), registry, node_options()),
      services_(kube::watch_ports(client, kube::path_of(app::services, ns)), registry, service_options()) {
  stacks_.add_handler([wakes](const auto& before, const auto& after) {
    wakes.stack((after ? after : before)->metadata.key());
  });
  pods_.add_handler([wakes](const auto& before, const auto& after) {
    wakes.pod_changed(before.get(), after.get());
    const api::Pod& pod = after ? *after : *before;
    // A pod that has just been made: stacks that have none yet come first.
    bool gated = reconcile::stage_of(pod) == reconcile::PodStage::Gated;
    bool made = !before && (gated || reconcile::is_pull_pod(pod));
    (made ? wakes.stack_later : wakes.stack)(stack_of(pod));
    std::string node = reconcile::is_pull_pod(pod) ? "" : reconcile::node_of(pod);
    if (!node.empty()) wakes.node(node);
  });
  nodes_.add_handler([wakes](const auto& before, const auto& after) {
    if (before && after && same_for_us(*before, *after)) return;
    wakes.node((after ? after : before)->metadata.name);
    wakes.every_stack();
  });
  services_.add_handler([wakes](const auto& before, const auto& after) {
    (before ? wakes.stack : wakes.stack_later)(stack_of(after ? *after : *before));
  });
}

void InformerCache::start() {
  stacks_.start();
  pods_.start();
  nodes_.start();
  services_.start();
}

void InformerCache::stop() {
  stacks_.stop();
  pods_.stop();
  nodes_.stop();
  services_.stop();
}

bool InformerCache::synced() const {
  return stacks_.synced() && pods_.synced() && nodes_.synced() && services_.synced();
}

reconcile::Shared<api::InferenceStack> InformerCache::stack(const api::NamespacedName& name) const {
  return stacks_.get(name.namespace_, name.name);
}

std::vector<api::NamespacedName> InformerCache::stack_names() const {
  std::vector<api::NamespacedName> found;
  for (const auto& stack : stacks_.list()) found.push_back(stack->metadata.key());
  return found;
}

std::vector<reconcile::Shared<api::Pod>> InformerCache::pods_of_stack(
    const api::NamespacedName& stack) const {
  return pods_.by_index(by_stack, stack.text());
}

std::vector<reconcile::Shared<api::Pod>> InformerCache::pull_pods_of_stack(
    const api::NamespacedName& stack) const {
  return pods_.by_index(by_stack_pull, stack.text());
}

std::vector<reconcile::Shared<api::Pod>> InformerCache::pods_of_node(
    const std::string& kubernetes_node) const {
  return pods_.by_index(by_node, kubernetes_node);
}

std::vector<reconcile::Shared<api::Node>> InformerCache::nodes() const {
  return nodes_.list();
}

std::vector<reconcile::Shared<api::Service>> InformerCache::services_of_stack(
    const api::NamespacedName& stack) const {
  return services_.by_index(by_stack, stack.text());
}

}  // namespace strix::app
