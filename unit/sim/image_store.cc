#include "sim/image_store.h"

#include "engines/image.h"

namespace strix::sim {

ImageStore::ImageStore(Timeline& time, Story& story, ApiServer& server, const Plan& plan,
                       const std::string& machine)
    : time_(time),
      story_(story),
      server_(server),
      rates_(plan.rates),
      dice_(plan.seed, machine + " images"),
      machine_(machine) {
  for (const auto& stack : plan.stacks)
    for (const auto* image : {&stack.spec.vllm.image, &stack.spec.llamacpp.image})
      if (dice_.chance(500)) images_.insert(*image);
}

std::vector<std::string> ImageStore::listed() const {
  std::vector<std::string> names;
  for (const auto& image : images_) names.push_back(engines::full_image_name(image));
  return names;
}

void ImageStore::sync(const api::Pod& pod) {
  api::NamespacedName key = pod.metadata.key();
  if (pod.metadata.deleting()) {
    story_.tell(machine_, "removes pod {}", key.text());
    (void)server_.delete_pod(key, {pod.metadata.uid, ""}, 0);
  } else if (!pod.terminal() && pulling_.insert(pod.metadata.uid).second) {
    fetch(key, pod.metadata.uid, pod.image, server_.spec_of(pod.metadata.uid).always_pulls);
  }
}

void ImageStore::fetch(const api::NamespacedName& pod, const std::string& uid, const std::string& image,
                       bool always) {
  bool asks = always || !has(image), fails = asks && dice_.chance(rates_.pull);
  int64_t takes = has(image) ? dice_.between(40, 400) : dice_.between(300, 20'000);
  time_.after(takes, [this, pod, uid, image, always, fails = fails && !calm_, boot = boots_] {
    if (boot != boots_) return;
    if (fails) return fail(pod, uid, image, always);
    fetched(pod, uid, image);
  });
}

void ImageStore::change(const api::NamespacedName& pod, const std::string& uid,
                        const std::function<void(api::Pod&)>& change) {
  (void)server_.patch_pod(pod, {uid, ""}, [&](api::Pod& p) {
    p.engine = api::ContainerStatus{};
    p.engine->name = "engine";
    change(p);
    return true;
  });
}

void ImageStore::fail(const api::NamespacedName& pod, const std::string& uid, const std::string& image,
                      bool always) {
  story_.tell(machine_, "cannot pull {} for {}", image, pod.text());
  change(pod, uid, [&](api::Pod& p) {
    p.engine->waiting_reason = "ImagePullBackOff";
    p.engine->waiting_message = "not found";
  });
  time_.after(dice_.between(2'000, 20'000), [this, pod, uid, image, always, boot = boots_] {
    if (boot == boots_ && server_.pods.find(pod)) fetch(pod, uid, image, always);
  });
}

void ImageStore::fetched(const api::NamespacedName& pod, const std::string& uid, const std::string& image) {
  story_.tell(machine_, "has {}, pulled for {}", image, pod.text());
  images_.insert(image);
  bool starts = dice_.chance(800);
  change(pod, uid, [&](api::Pod& p) {
    p.phase = starts ? "Succeeded" : "Failed";
    p.engine->terminated = true;
    p.engine->exit_code = starts ? 0 : 128;
    p.engine->image_id = image + "@sha256:1";
    p.engine->finished = whole_seconds(time_.now().wall);
  });
  list_soon();
}

// A node tells what it has now and then.
void ImageStore::list_soon() {
  time_.after(dice_.between(0, 10'000), [this] {
    api::Node node = *server_.nodes.find({"", machine_});
    if (node.images == listed()) return;
    node.images = listed();
    server_.put_node(node);
  });
}

}  // namespace strix::sim
