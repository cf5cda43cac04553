#include "app/workers.h"

#include <algorithm>

#include "base/log.h"

namespace strix::app {

namespace {

constexpr std::string_view stack_prefix = "stack/";
constexpr std::string_view node_prefix = "node/";
constexpr int64_t retry_after_most_seconds = 60;

std::string_view controller_of(const std::string& key) {
  return key.starts_with(node_prefix) ? "node" : "inferencestack";
}

}  // namespace

std::string stack_key(const api::NamespacedName& stack) {
  return std::string(stack_prefix) + stack.text();
}
std::string node_key(const std::string& node) {
  return std::string(node_prefix) + node;
}

void describe_worker_metrics(metrics::Registry& registry) {
  registry.describe("controller_runtime_reconcile_total", "counter", "Passes by controller and result.");
  registry.describe("controller_runtime_reconcile_errors_total", "counter",
                    "Passes that ended with an error.");
  registry.describe_histogram(
      "controller_runtime_reconcile_time_seconds", "How long a pass took.",
      {0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60});
}

Workers::Workers(kube::Workqueue& queue, reconcile::StackReconciler& stacks, reconcile::NodeReconciler& nodes,
                 metrics::Registry& registry)
    : queue_(queue), stacks_(stacks), nodes_(nodes), registry_(registry) {}

void Workers::start(int count) {
  for (int i = 0; i < count; ++i) threads_.emplace_back([this](std::stop_token stop) { work(stop); });
}

void Workers::stop() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Workers::work(std::stop_token stop) {
  while (auto key = queue_.next(stop)) {
    BootMillis begun = boot_now();
    reconcile::PassResult result = pass(*key);
    registry_.observe("controller_runtime_reconcile_time_seconds",
                      {{"controller", std::string(controller_of(*key))}},
                      static_cast<double>(boot_now() - begun) / 1000.0);
    note(*key, result);
    if (result.error && result.error->retry_after_seconds > 0) {
      queue_.add_after(*key,
                       std::min<int64_t>(result.error->retry_after_seconds, retry_after_most_seconds) * 1000);
    } else if (result.error) {
      queue_.add_rate_limited(*key);
    } else {
      queue_.forget(*key);
      if (result.retry_after_millis) queue_.add_after(*key, *result.retry_after_millis);
    }
    queue_.done(*key);
    if (stop.stop_requested()) return;
  }
}

reconcile::PassResult Workers::pass(const std::string& key) {
  if (key.starts_with(node_prefix)) return nodes_.reconcile(key.substr(node_prefix.size()));
  std::string name = key.substr(stack_prefix.size());
  size_t slash = name.find('/');
  INVARIANT(slash != std::string::npos);
  return stacks_.reconcile({name.substr(0, slash), name.substr(slash + 1)});
}

void Workers::note(const std::string& key, const reconcile::PassResult& result) {
  std::string controller(controller_of(key));
  std::string outcome = result.error ? "error" : result.retry_after_millis ? "requeue_after" : "success";
  registry_.add("controller_runtime_reconcile_total", {{"controller", controller}, {"result", outcome}});
  if (result.error) registry_.add("controller_runtime_reconcile_errors_total", {{"controller", controller}});
  std::lock_guard lock(mutex_);
  if (!result.error) {
    last_errors_.erase(key);
    return;
  }
  // A conflict is how a stale cache shows; the next pass sees more.
  bool expected = result.error->kind == ErrorKind::Conflict || result.error->kind == ErrorKind::Canceled;
  std::string& last = last_errors_[key];
  if (last == result.error->text) return;
  last = result.error->text;
  log::write(expected ? log::Level::Debug : log::Level::Warn, "pass failed",
             {{"key", key}, {"kind", to_string(result.error->kind)}, {"error", result.error->text}});
}

}  // namespace strix::app
