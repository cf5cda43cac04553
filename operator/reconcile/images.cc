#include "reconcile/images.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "reconcile/failure.h"
#include "reconcile/gates.h"
#include "reconcile/retry.h"

namespace strix::reconcile {

namespace {

engines::PullInput pull_of(const Observed& observed, const TierContext& c, const api::Node& node) {
  const api::StackSpec& spec = observed.stack->spec;
  return {*observed.stack,
          {*c.node->entry, node.metadata.name, node.metadata.label("kubernetes.io/hostname")},
          spec.image_of(*c.tier),
          engines::pull_policy(spec, *c.tier)};
}

bool is_ours(const Observed& observed, const api::Pod& pod) {
  return pod.metadata.controlled_by(observed.stack->metadata.uid);
}

Shared<api::Pod> find_pull(const Observed& observed, const std::string& name) {
  for (const auto& pod : observed.pull_pods)
    if (pod->metadata.name == name) return pod;
  return nullptr;
}

// Its container was made, or could not be although the image was there.
bool brought_it(const api::Pod& pod) {
  return pod.engine && (!pod.engine->image_id.empty() || waits_with_image(*pod.engine));
}

// "10.0.0.7:43122->10.0.0.2:53" without the first port, which is another with every try.
std::string without_own_port(std::string text) {
  for (size_t arrow = text.find("->"); arrow != std::string::npos; arrow = text.find("->", arrow + 1)) {
    size_t before = text.find_last_not_of("0123456789", arrow == 0 ? 0 : arrow - 1);
    bool port = before != std::string::npos && text[before] == ':' && before + 1 < arrow;
    if (!port) continue;
    text.erase(before, arrow - before);
    arrow = before;
  }
  return text;
}

// The kubelet goes to and fro between a failed pull and the wait for the next one, which quotes the first:
// said once, so that a status does not change with it.
std::string pull_fault(const api::ContainerStatus& engine) {
  constexpr std::string_view cause = "ErrImagePull: ";
  const std::string& message = engine.waiting_message;
  if (message.empty()) return engine.waiting_reason;
  size_t quoted = message.find(cause);
  return without_own_port(quoted == std::string::npos ? message : message.substr(quoted + cause.size()));
}

void read_pull(const api::Pod& pod, const std::string& image, ImageView& view) {
  if (brought_it(pod)) {
    view.present = true;
    return;
  }
  const api::PodCondition* scheduled = pod.condition("PodScheduled");
  bool no_room = scheduled && scheduled->status == "False" && !scheduled->message.empty();
  if (pod.engine && waits_for_image(*pod.engine)) {
    view.failed = true;
    view.message =
        fmt::format("{} cannot be pulled on node {}: {}", image, node_of(pod), pull_fault(*pod.engine));
  } else if (pod.terminal()) {
    view.failed = true;
    view.message = fmt::format("{} was not pulled on node {}: its pod ended ({}{}{})", image, node_of(pod),
                               pod.reason.empty() ? "no reason given" : pod.reason,
                               pod.message.empty() ? "" : ": ", pod.message);
  } else if (no_room) {
    view.message = fmt::format("the pod that pulls {} waits: {}", image, scheduled->message);
  } else {
    view.message = fmt::format("{} is being pulled on node {} since {}", image, node_of(pod),
                               format_time(pod.metadata.created));
  }
}

// The node says so itself, or a pod of this stack runs, or ran, with it there.
bool known_present(const Observed& observed, const std::string& image, const api::Node& node) {
  std::string full = engines::full_image_name(image);
  if (std::find(node.images.begin(), node.images.end(), full) != node.images.end()) return true;
  return std::any_of(observed.pods.begin(), observed.pods.end(), [&](const auto& pod) {
    return pod->node_name == node.metadata.name && pod->image == image && pod->engine &&
           !pod->engine->image_id.empty();
  });
}

// It is about to start a pod, now or when something else has let it.
bool needs_image(const TierContext& c) {
  if (!c.wanted || !c.rendered || !c.node->one()->ready) return false;
  if (first_that_holds(gates_before_pod(), c)) return false;
  if (!c.pod || !c.pod_is_ours() || !c.pod_is_current()) return true;
  PodStage stage = stage_of(*c.pod);
  return stage == PodStage::Gated || stage == PodStage::Ended || stage == PodStage::Terminating;
}

Action remove(const api::Pod& pod) {
  return DeletePod{pod.metadata.name, {pod.metadata.key(), pod.metadata.uid, pod.metadata.resource_version}};
}

}  // namespace

ImageView look_at_image(const Observed& observed, const TierContext& c, const api::Node& node) {
  engines::PullInput pull = pull_of(observed, c, node);
  ImageView view;
  view.pull_pod = engines::pull_pod_name(pull);
  view.message = fmt::format("{} is not on node {} yet", pull.image, node.metadata.name);
  Shared<api::Pod> pod = find_pull(observed, view.pull_pod);
  auto refused = observed.refusals.find(view.pull_pod);
  if (pod && is_ours(observed, *pod) && !pod->metadata.deleting()) {
    read_pull(*pod, pull.image, view);
  } else if (refused != observed.refusals.end()) {
    view.message = refused->second.message;
  }
  // A policy of Always is not content with what is there.
  if (!view.present && pull.policy != engines::PullPolicy::Always)
    view.present = known_present(observed, pull.image, node);
  return view;
}

PullStep step_pulls(const StackContext& stack) {
  const Observed& observed = stack.observed;
  PullStep step;
  std::map<std::string, const TierContext*> needed;
  for (const auto& c : stack.tiers)
    if (needs_image(c)) needed.emplace(c.image.pull_pod, &c);
  for (const auto& pod : observed.pull_pods) {
    auto need = needed.find(pod->metadata.name);
    if (pod->metadata.deleting()) {
      needed.erase(pod->metadata.name);
      continue;
    }
    bool wanted = need != needed.end() && is_ours(observed, *pod);
    int64_t left = counted_from(pod->metadata.created, observed.now) + pull_again_millis - observed.now.wall;
    bool failed = wanted && pod->terminal() && !brought_it(*pod);
    if (failed && left > 0) sooner(step.retry_after_millis, left);
    if (!wanted || (failed && left <= 0)) step.actions.push_back(remove(*pod));
    needed.erase(pod->metadata.name);
  }
  for (const auto& [name, c] : needed) {
    if (c->image.present || observed.refusals.contains(name)) continue;
    step.actions.push_back(
        CreatePod{name, name, engines::render_pull_pod(pull_of(observed, *c, *c->node->one())), true});
  }
  return step;
}

std::vector<Action> end_pulls(const Observed& observed) {
  std::vector<Action> actions;
  for (const auto& pod : observed.pull_pods)
    if (!pod->metadata.deleting()) actions.push_back(remove(*pod));
  return actions;
}

}  // namespace strix::reconcile
