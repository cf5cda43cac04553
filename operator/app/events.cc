#include "app/events.h"

#include "api/names.h"
#include "base/log.h"

namespace strix::app {

namespace {

kube::RecorderSettings settings(const std::string& instance) {
  kube::RecorderSettings settings;
  settings.reporting_controller = std::string(names::group) + "/operator";
  settings.reporting_instance = instance.substr(0, 128);
  return settings;
}

}  // namespace

EventWriter::EventWriter(kube::Client& client, metrics::Registry& registry, const std::string& instance)
    : recorder_(kube::event_ports(client, std::string(names::manager)), settings(instance), registry) {}

void EventWriter::record(const api::InferenceStack& stack, const reconcile::Event& event) {
  const api::ObjectMeta& meta = stack.metadata;
  log::write(
      event.warning ? log::Level::Warn : log::Level::Info, "stack changed",
      {{"namespace", meta.namespace_}, {"name", meta.name}, {"reason", event.reason}, {"note", event.note}});
  record({std::string(names::api_version), std::string(names::kind), meta.namespace_, meta.name, meta.uid,
          meta.resource_version},
         event);
}

void EventWriter::record(kube::ObjectReference regarding, const reconcile::Event& event) {
  kube::EventInput input;
  input.regarding = std::move(regarding);
  input.warning = event.warning;
  input.reason = event.reason;
  input.action = event.action;
  input.note = event.note;
  recorder_.record(std::move(input));
}

}  // namespace strix::app
