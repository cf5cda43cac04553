// Why: a test of what a reconciler does with the world needs one that answers: every write is accepted and
// written down, every read has what the test put there.
// May not: decide, or change anything that it was given.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reconcile/ports.h"

namespace strix::fake {

class AcceptingCluster : public reconcile::Cluster {
 public:
  api::InferenceStack stack;
  std::vector<api::Pod> admitted_pods;
  std::function<void()> on_read = [] {};
  std::function<Status()> on_admit = [] { return success(); };
  std::function<Status()> on_vouch = [] { return success(); };
  std::function<Status()> on_service = [] { return success(); };  // made or changed
  std::function<Result<std::string>()> on_log = [] { return std::string(); };
  int logs_read = 0;
  std::vector<api::StackStatus> statuses;
  std::vector<std::string> writes;  // "admit llm/strix-one boot-1"

  Status create_pod(const std::string&, const std::string&) override { return wrote("create pod"); }
  Status delete_pod(const reconcile::PodRef& pod) override { return wrote("delete " + pod.name.text()); }
  Status set_serving(const reconcile::PodRef& pod, bool serving, std::string_view, const std::string&,
                     WallMillis) override {
    return wrote((serving ? "serve " : "drain ") + pod.name.text());
  }
  Status admit_pod(const reconcile::PodRef& pod, const std::string& boot_id, WallMillis) override {
    (void)wrote("admit " + pod.name.text() + " " + boot_id);
    return on_admit();
  }
  Status vouch_for_pod(const reconcile::PodRef& pod, const std::string&) override {
    (void)wrote("vouch for " + pod.name.text());
    return on_vouch();
  }
  Status adopt_pod(const reconcile::PodRef& pod, const api::InferenceStack&) override {
    return wrote("adopt " + pod.name.text());
  }
  Status note_claim(const reconcile::PodRef& pod, const std::string&) override {
    return wrote("note claim of " + pod.name.text());
  }
  Status create_service(const std::string&, const std::string&) override {
    (void)wrote("create service");
    return on_service();
  }
  Status apply_service(const std::string&, const std::string& name, const std::string&) override {
    (void)wrote("apply service " + name);
    return on_service();
  }
  Status delete_service(const std::string&, const std::string& name, const std::string&) override {
    return wrote("delete service " + name);
  }
  Result<std::string> set_finalizer(const api::InferenceStack&, bool) override { return std::string("8"); }
  Result<std::string> apply_status(const api::InferenceStack&, const std::string&,
                                   const api::StackStatus& status) override {
    statuses.push_back(status);
    return std::string("9");
  }
  Result<api::InferenceStack> read_stack(const api::NamespacedName&) override {
    on_read();
    return stack;
  }
  Result<std::vector<api::Pod>> read_admitted_pods(const std::string&) override { return admitted_pods; }
  Result<std::string> read_log(const api::NamespacedName&) override {
    ++logs_read;
    return on_log();
  }
  Result<std::string> read_secret(const std::string&, const std::string&, const std::string&) override {
    return std::string();
  }

 private:
  Status wrote(std::string what) {
    writes.push_back(std::move(what));
    return success();
  }
};

// Pods and nodes as the test has them; there is nothing else.
class StillCache : public reconcile::Cache {
 public:
  std::vector<reconcile::Shared<api::Pod>> pods;
  std::vector<reconcile::Shared<api::Node>> all_nodes;

  reconcile::Shared<api::InferenceStack> stack(const api::NamespacedName&) const override { return nullptr; }
  std::vector<api::NamespacedName> stack_names() const override { return {}; }
  std::vector<reconcile::Shared<api::Pod>> pods_of_stack(const api::NamespacedName&) const override {
    return pods;
  }
  std::vector<reconcile::Shared<api::Pod>> pull_pods_of_stack(const api::NamespacedName&) const override {
    return {};
  }
  std::vector<reconcile::Shared<api::Pod>> pods_of_node(const std::string&) const override { return pods; }
  std::vector<reconcile::Shared<api::Node>> nodes() const override { return all_nodes; }
  std::vector<reconcile::Shared<api::Service>> services_of_stack(const api::NamespacedName&) const override {
    return {};
  }
};

}  // namespace strix::fake
