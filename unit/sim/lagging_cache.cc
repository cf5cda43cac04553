#include "sim/lagging_cache.h"

#include "api/names.h"
#include "reconcile/pod_stage.h"

namespace strix::sim {

namespace {

template <class T>
api::NamespacedName stack_of(const T& object) {
  return {object.metadata.namespace_, object.metadata.label(names::label_stack)};
}

bool same_for_us(const api::Node& a, const api::Node& b) {
  return a.ready == b.ready && a.boot_id == b.boot_id && a.unschedulable == b.unschedulable &&
         a.metadata.labels == b.metadata.labels;
}

template <class T>
std::vector<Shared<T>> labelled(const Informer<T>& informer, const api::NamespacedName& stack) {
  std::vector<Shared<T>> found;
  for (const auto& [key, object] : informer.objects())
    if (stack_of(*object) == stack) found.push_back(object);
  return found;
}

}  // namespace

LaggingCache::LaggingCache(World& world, uint64_t seed, const std::string& name, Wakes wakes)
    : dice_(seed, name + " cache"),
      wakes_(std::move(wakes)),
      stacks_(world, world.server.stacks, dice_,
              [this](const auto& before, const auto& after) {
                wakes_.stack((after ? after : before)->metadata.key());
              }),
      pods_(world, world.server.pods, dice_,
            [this](const auto& before, const auto& after) {
              wakes_.pod_changed(before.get(), after.get());
              const api::Pod& pod = after ? *after : *before;
              bool made = !before && reconcile::stage_of(pod) == reconcile::PodStage::Gated;
              (made ? wakes_.stack_later : wakes_.stack)(stack_of(pod));
              std::string node = reconcile::is_pull_pod(pod) ? "" : reconcile::node_of(pod);
              if (!node.empty()) wakes_.node(node);
            }),
      nodes_(world, world.server.nodes, dice_,
             [this](const auto& before, const auto& after) {
               if (before && after && same_for_us(*before, *after)) return;
               wakes_.node((after ? after : before)->metadata.name);
               wakes_.every_stack();
             }),
      services_(world, world.server.services, dice_, [this](const auto& before, const auto& after) {
        (before ? wakes_.stack : wakes_.stack_later)(stack_of(after ? *after : *before));
      }) {}

void LaggingCache::list() {
  nodes_.list();
  stacks_.list();
  pods_.list();
  services_.list();
}

void LaggingCache::be_deaf(int64_t millis) {
  stacks_.be_deaf(millis);
  pods_.be_deaf(millis + 17);
  nodes_.be_deaf(millis / 2);
  services_.be_deaf(millis / 3);
}

Shared<api::InferenceStack> LaggingCache::stack(const api::NamespacedName& name) const {
  return stacks_.get(name);
}

std::vector<api::NamespacedName> LaggingCache::stack_names() const {
  std::vector<api::NamespacedName> names;
  for (const auto& [key, stack] : stacks_.objects()) names.push_back(key);
  return names;
}

std::vector<Shared<api::Pod>> LaggingCache::pods_of_stack(const api::NamespacedName& stack) const {
  auto found = labelled(pods_, stack);
  std::erase_if(found, [](const auto& pod) { return reconcile::is_pull_pod(*pod); });
  return found;
}

std::vector<Shared<api::Pod>> LaggingCache::pull_pods_of_stack(const api::NamespacedName& stack) const {
  auto found = labelled(pods_, stack);
  std::erase_if(found, [](const auto& pod) { return !reconcile::is_pull_pod(*pod); });
  return found;
}

std::vector<Shared<api::Pod>> LaggingCache::pods_of_node(const std::string& node) const {
  std::vector<Shared<api::Pod>> found;
  for (const auto& [key, pod] : pods_.objects())
    if (!reconcile::is_pull_pod(*pod) && reconcile::node_of(*pod) == node) found.push_back(pod);
  return found;
}

std::vector<Shared<api::Node>> LaggingCache::nodes() const {
  std::vector<Shared<api::Node>> found;
  for (const auto& [key, node] : nodes_.objects()) found.push_back(node);
  return found;
}

std::vector<Shared<api::Service>> LaggingCache::services_of_stack(const api::NamespacedName& stack) const {
  return labelled(services_, stack);
}

}  // namespace strix::sim
