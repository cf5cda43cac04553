#include "app/capabilities.h"

#include <fmt/format.h>

#include "api/codec.h"
#include "api/names.h"
#include "app/resources.h"
#include "base/log.h"

namespace strix::app {

namespace {

constexpr std::string_view metric_valid = "strix_capability_override_valid";
constexpr std::string_view metric_rows = "strix_capability_override_rows";
constexpr std::string_view event_refused = "CapabilitiesRefused";

std::shared_ptr<const planner::CapabilityTable> built_in() {
  return {std::shared_ptr<const void>(), &planner::built_in_capabilities()};
}

kube::InformerOptions<api::ConfigMap> options_for(const std::string& name) {
  kube::InformerOptions<api::ConfigMap> options;
  options.kind = "ConfigMap";
  options.field_selector = "metadata.name=" + name;  // RBAC grants this one name
  options.decode = api::decode_config_map;
  return options;
}

}  // namespace

OverrideRead read_override(const api::ConfigMap& map) {
  auto text = map.data.find(std::string(names::capabilities_key));
  if (text == map.data.end())
    return {
        .table = nullptr, .rows = 0, .complaint = fmt::format("it has no key {}", names::capabilities_key)};
  auto over = planner::CapabilityTable::parse(text->second);
  if (!over.ok()) return {.table = nullptr, .rows = 0, .complaint = over.error().text};
  size_t rows = over->combinations().size() + over->all_settings().size() + over->images().size();
  return {.table = std::make_shared<const planner::CapabilityTable>(
              planner::CapabilityTable::layered(*over, planner::built_in_capabilities())),
          .rows = rows,
          .complaint = {}};
}

void describe_capability_metrics(metrics::Registry& registry) {
  registry.describe(
      metric_valid, "gauge",
      "1 while the ConfigMap of capabilities is in force or absent, 0 while it is refused and the "
      "last good table stays");
  registry.describe(metric_rows, "gauge", "Rows of the ConfigMap of capabilities that are in force.");
}

Capabilities::Capabilities(kube::Client& client, metrics::Registry& registry, std::string ns,
                           std::string name)
    : registry_(registry), namespace_(std::move(ns)), name_(std::move(name)), table_(built_in()) {
  registry_.set(metric_valid, {}, 1);
  registry_.set(metric_rows, {}, 0);
  if (name_.empty()) return;
  informer_ = std::make_unique<kube::Informer<api::ConfigMap>>(
      kube::watch_ports(client, kube::path_of(config_maps, namespace_)), registry_, options_for(name_));
}

void Capabilities::start() {
  if (informer_) informer_->start();
}

void Capabilities::stop() {
  if (informer_) informer_->stop();
}

std::shared_ptr<const planner::CapabilityTable> Capabilities::table() const {
  std::lock_guard lock(mutex_);
  return table_;
}

void Capabilities::put(std::shared_ptr<const planner::CapabilityTable> table) {
  std::lock_guard lock(mutex_);
  table_ = std::move(table);
}

bool Capabilities::refresh() {
  if (!informer_ || !informer_->synced()) return false;
  auto map = informer_->get(namespace_, name_);
  std::string version = map ? map->metadata.resource_version : "";
  if (version == read_version_) {
    read_once_ = true;
    return false;
  }
  read_version_ = version;
  auto before = table();
  complaint_.clear();
  complained_.reset();
  if (map) {
    take(*map);
  } else {
    put(built_in());
    registry_.set(metric_valid, {}, 1);
    registry_.set(metric_rows, {}, 0);
    log::info("capabilities are the built-in ones", {{"configmap", namespace_ + "/" + name_}});
  }
  read_once_ = true;
  return table() != before;
}

void Capabilities::take(const api::ConfigMap& map) {
  OverrideRead read = read_override(map);
  registry_.set(metric_valid, {}, read.table ? 1 : 0);
  if (read.table) {
    put(read.table);
    registry_.set(metric_rows, {}, static_cast<double>(read.rows));
    log::info("capabilities read", {{"configmap", namespace_ + "/" + name_}, {"rows", read.rows}});
    return;
  }
  complaint_ = fmt::format("{}; the rows that were in force before stay", read.complaint);
  const api::ObjectMeta& meta = map.metadata;
  complained_ = {"v1", "ConfigMap", meta.namespace_, meta.name, meta.uid, meta.resource_version};
  log::error("capabilities refused", {{"configmap", namespace_ + "/" + name_}, {"error", complaint_}});
}

void Capabilities::tell(EventWriter& events) {
  if (!complained_) return;
  events.record(*complained_, {true, std::string(event_refused), "Read", complaint_});
  complained_.reset();
}

}  // namespace strix::app
