#include "conformance/sim_side.h"

#include "api/codec.h"

namespace strix::conformance {

namespace {

sim::Plan calm_plan() {
  sim::Plan plan;
  plan.latency_millis_max = 0;
  return plan;
}

api::NamespacedName key(const std::string& name) {
  return {ns, name};
}

}  // namespace

SimSide::SimSide() : world_(calm_plan(), sim::Defect::None, false), cluster_(world_, *this, "operator", 0) {
  world_.calm = true;
}

void SimSide::operate(const std::function<void(reconcile::Cluster&)>& what) {
  sim::Fiber fiber([&] { what(cluster_); });
  current_ = &fiber;
  fiber.resume();
  while (!fiber.done()) world_.time.step();
  current_ = nullptr;
}

Status SimSide::create_stack(const std::string& manifest) {
  auto document = json::Document::parse(manifest);
  if (!document) return document.error();
  auto stack = api::decode_stack(document->root());
  if (!stack) return stack.error();
  return world_.server.create_stack(std::move(stack).value());
}

Status SimSide::edit_context(const std::string& stack, int tier, int64_t tokens) {
  return world_.server.edit_stack(key(stack), [&](api::StackSpec& spec) {
    int64_t& now = spec.tiers[static_cast<size_t>(tier)].context_length_tokens;
    return std::exchange(now, tokens) != tokens;
  });
}

Status SimSide::edit_suspend(const std::string& stack, bool suspend) {
  return world_.server.edit_stack(
      key(stack), [&](api::StackSpec& spec) { return std::exchange(spec.suspend, suspend) != suspend; });
}

Status SimSide::annotate_stack(const std::string& stack, const std::string& name, const std::string& value) {
  return world_.server.annotate_stack(key(stack), name, value);
}

Status SimSide::delete_stack(const std::string& stack, sim::Propagation propagation) {
  return world_.server.delete_stack(key(stack), propagation);
}

Status SimSide::delete_pod(const std::string& pod, const sim::Preconditions& given,
                           std::optional<int64_t> grace_seconds) {
  return world_.server.delete_pod(key(pod), given, grace_seconds);
}

Status SimSide::set_pod_finalizers(const std::string& pod, const std::vector<std::string>& finalizers) {
  return world_.server.set_pod_finalizers(key(pod), finalizers);
}

Status SimSide::bind_pod(const std::string& pod, const std::string& node) {
  return world_.server.bind_pod(key(pod), node);
}

Status SimSide::report_pod(const std::string& pod, const std::string& uid, const PodReport& report) {
  return world_.server.patch_pod(key(pod), {uid, ""}, [&](api::Pod& p) {
    p.phase = report.phase;
    p.pod_ip = "10.0.0.1";
    api::ContainerStatus engine;
    engine.name = "engine";
    engine.running = report.phase == "Running";
    engine.started = engine.running ? report.when : 0;
    engine.terminated = !engine.running;
    engine.exit_code = report.exit_code;
    engine.finished = engine.terminated ? report.when : 0;
    p.engine = engine;
    return true;
  });
}

void SimSide::collect() {
  constexpr int rounds_max = 50;
  for (int i = 0; i < rounds_max && world_.server.collect(); ++i) {
  }
}

Result<Objects> SimSide::look() {
  Objects all;
  for (const auto& [name, stack] : world_.server.stacks.objects) all.stacks.push_back(*stack);
  for (const auto& [name, pod] : world_.server.pods.objects) all.pods.push_back(*pod);
  for (const auto& [name, service] : world_.server.services.objects) all.services.push_back(*service);
  return all;
}

Status SimSide::clear() {
  auto all = look();
  for (const auto& stack : all->stacks) {
    (void)world_.server.set_finalizers(stack.metadata.key(), {}, {});
    (void)world_.server.delete_stack(stack.metadata.key(), sim::Propagation::Background);
  }
  for (const auto& pod : all->pods) {
    (void)world_.server.set_pod_finalizers(pod.metadata.key(), {});
    (void)world_.server.delete_pod(pod.metadata.key(), {}, 0);
  }
  for (const auto& service : all->services) (void)world_.server.delete_service(service.metadata.key(), {});
  return success();
}

}  // namespace strix::conformance
