#include "conformance/kube_side.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "api/codec.h"
#include "api/names.h"
#include "app/resources.h"
#include "conformance/manifest.h"

namespace strix::conformance {

namespace {

constexpr std::string_view manager = "conformance";
constexpr int64_t pods_own_grace = -1;
constexpr int64_t collector_patience_millis = 120'000;  // it looks for new kinds twice a minute
constexpr int64_t pace_millis = 100;

Status dropped(const Result<std::string>& answer) {
  if (!answer) return answer.error();
  return success();
}

std::string stack_path(const std::string& name) {
  return kube::path_of(app::stacks, ns, name);
}
std::string pod_path(const std::string& name, std::string_view subresource = {}) {
  return kube::path_of(app::pods, ns, name, subresource);
}

std::string finalizers_patch(const std::vector<std::string>& finalizers) {
  json::Writer w;
  w.begin_object().key("metadata").begin_object().key("finalizers").begin_array();
  for (const auto& finalizer : finalizers) w.string(finalizer);
  w.end_array().end_object().end_object();
  return w.take();
}

template <class T>
Status read_all(kube::Client& client, const kube::Resource& resource, Result<T> (*decode)(json::Value),
                std::vector<T>& into) {
  auto answer = client.list(kube::path_of(resource, ns), {});
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  std::optional<Error> failed;
  document->root()["items"].for_each([&](json::Value item) {
    auto object = decode(item);
    if (object)
      into.push_back(std::move(object).value());
    else
      failed = object.error();
  });
  if (failed) return *failed;
  return success();
}

void rest() {
  std::this_thread::sleep_for(std::chrono::milliseconds(pace_millis));
}

}  // namespace

KubeSide::KubeSide(kube::Config config)
    : client_(loop_, std::move(config), registry_), cluster_(client_, ns, [] { return true; }) {}

WallMillis KubeSide::wall() const {
  return wall_now();
}

Status KubeSide::patch(const std::string& path, kube::Patch kind, std::string body) {
  return dropped(client_.patch(path, kind, std::move(body), manager));
}

Status KubeSide::prepare() {
  const kube::Resource namespaces{"", "v1", "namespaces"};
  std::string body =
      fmt::format(R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}"}}}})", ns);
  auto made = client_.create(kube::path_of(namespaces, ""), body, manager);
  if (!made && made.error().kind != ErrorKind::AlreadyExists) return made.error();
  // A kind that has just been installed is not served at once.
  for (BootMillis until = boot_now() + collector_patience_millis; !look() && boot_now() < until;) rest();
  if (auto done = clear(); !done) return done;
  // A pod whose owner is gone vanishes once the collector watches both kinds.
  if (auto done = create_stack(stack_manifest("probe")); !done) return done;
  auto all = look();
  if (!all) return all.error();
  const api::InferenceStack& stack = all->stacks.front();
  if (auto done = cluster_.create_pod(ns, pod_body(stack, 0)); !done) return done;
  if (auto done = delete_stack("probe", sim::Propagation::Background); !done) return done;
  for (BootMillis until = boot_now() + collector_patience_millis; boot_now() < until; rest()) {
    all = look();
    if (!all) return all.error();
    if (all->pods.empty()) return success();
  }
  return Error{ErrorKind::Timeout, "the garbage collector does not act", 0};
}

Status KubeSide::create_stack(const std::string& manifest) {
  return dropped(client_.create(kube::path_of(app::stacks, ns), manifest, manager));
}

Status KubeSide::edit_context(const std::string& stack, int tier, int64_t tokens) {
  // With a test of what nobody changes, as a careful person's JSON patch has.
  return patch(stack_path(stack), kube::Patch::Json,
               fmt::format(R"([{{"op":"test","path":"/spec/tiers/{0}/name","value":"{1}"}},)"
                           R"({{"op":"replace","path":"/spec/tiers/{0}/contextLength","value":{2}}}])",
                           tier, tier_name(tier), tokens));
}

Status KubeSide::edit_suspend(const std::string& stack, bool suspend) {
  return patch(stack_path(stack), kube::Patch::Merge, fmt::format(R"({{"spec":{{"suspend":{}}}}})", suspend));
}

Status KubeSide::annotate_stack(const std::string& stack, const std::string& name, const std::string& value) {
  return patch(
      stack_path(stack), kube::Patch::Merge,
      fmt::format(R"({{"metadata":{{"annotations":{{{}:{}}}}}}})", json::quote(name), json::quote(value)));
}

Status KubeSide::delete_stack(const std::string& stack, sim::Propagation propagation) {
  std::string_view policy = propagation == sim::Propagation::Background   ? "Background"
                            : propagation == sim::Propagation::Foreground ? "Foreground"
                                                                          : "Orphan";
  return dropped(client_.remove(stack_path(stack), {}, pods_own_grace, policy));
}

Status KubeSide::delete_pod(const std::string& pod, const sim::Preconditions& given,
                            std::optional<int64_t> grace_seconds) {
  return dropped(client_.remove(pod_path(pod), {given.uid, given.resource_version},
                                grace_seconds.value_or(pods_own_grace), ""));
}

Status KubeSide::set_pod_finalizers(const std::string& pod, const std::vector<std::string>& finalizers) {
  return patch(pod_path(pod), kube::Patch::Merge, finalizers_patch(finalizers));
}

Status KubeSide::bind_pod(const std::string& pod, const std::string& node) {
  std::string body = fmt::format(R"({{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"{}"}},)"
                                 R"("target":{{"kind":"Node","name":"{}"}}}})",
                                 pod, node);
  return dropped(client_.create(pod_path(pod, "binding"), body, manager));
}

Status KubeSide::report_pod(const std::string& pod, const std::string& uid, const PodReport& report) {
  json::Writer w;
  w.begin_object().key("metadata").begin_object().member("uid", uid).end_object();
  w.key("status").begin_object().member("phase", report.phase).member("podIP", "10.0.0.1");
  w.key("podIPs").begin_array().begin_object().member("ip", "10.0.0.1").end_object().end_array();
  w.key("containerStatuses").begin_array().begin_object().member("name", "engine");
  w.member("image", "x").member("imageID", "x").member("ready", false).member("restartCount", 0);
  w.key("state").begin_object();
  if (report.phase == "Running") {
    w.key("running").begin_object().member("startedAt", format_time(report.when)).end_object();
  } else {
    w.key("terminated").begin_object().member("exitCode", report.exit_code);
    w.member("finishedAt", format_time(report.when)).end_object();
  }
  w.end_object().end_object().end_array().end_object().end_object();
  return patch(pod_path(pod, "status"), kube::Patch::Merge, w.take());
}

Result<Objects> KubeSide::look() {
  Objects all;
  if (auto done = read_all(client_, app::stacks, api::decode_stack, all.stacks); !done) return done.error();
  if (auto done = read_all(client_, app::pods, api::decode_pod, all.pods); !done) return done.error();
  if (auto done = read_all(client_, app::services, api::decode_service, all.services); !done)
    return done.error();
  return all;
}

Status KubeSide::clear() {
  for (BootMillis until = boot_now() + collector_patience_millis; boot_now() < until; rest()) {
    auto all = look();
    if (!all) return all.error();
    if (all->stacks.empty() && all->pods.empty() && all->services.empty()) return success();
    for (const auto& stack : all->stacks) {
      (void)delete_stack(stack.metadata.name, sim::Propagation::Background);
      (void)patch(stack_path(stack.metadata.name), kube::Patch::Merge, finalizers_patch({}));
    }
    for (const auto& pod : all->pods) {
      (void)set_pod_finalizers(pod.metadata.name, {});
      (void)delete_pod(pod.metadata.name, {}, 0);
    }
    for (const auto& service : all->services)
      (void)client_.remove(kube::path_of(app::services, ns, service.metadata.name), {}, pods_own_grace, "");
  }
  return Error{ErrorKind::Timeout, "objects are left over", 0};
}

}  // namespace strix::conformance
