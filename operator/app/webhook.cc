#include "app/webhook.h"

#include "app/webhook_ports.h"
#include "planner/combination.h"
#include "planner/spec_plan.h"

namespace strix::app {

namespace {

constexpr std::string_view connections_metric = "inferencestack_webhook_connections";
constexpr std::string_view bytes_metric = "inferencestack_webhook_request_bytes";
constexpr std::string_view expiry_metric = "inferencestack_webhook_certificate_expiry_timestamp_seconds";
// Short: who stops the process waits for a call under way.
constexpr int64_t call_deadline_millis = 5'000;

serve::PortLimits port_limits() {
  serve::PortLimits limits;
  limits.bytes_max = 2 * static_cast<int64_t>(serve::review_bytes_max + limits.head_bytes_max);
  return limits;
}

}  // namespace

serve::Opinion opinion_of_combinations(const api::InferenceStack& stack,
                                       const planner::CapabilityTable& capabilities) {
  return {planner::combination_errors(stack.spec, capabilities), {}};
}

serve::Opinion opinion_of_plan(const api::InferenceStack& stack,
                               const planner::CapabilityTable& capabilities) {
  serve::Opinion opinion;
  planner::Plan plan = planner::plan_of_spec(stack.spec, capabilities, stack.status.learned);
  for (const planner::Finding& finding : plan.findings)
    if (finding.severity == planner::Severity::Error || finding.code == planner::FindingCode::Parked ||
        finding.code == planner::FindingCode::CombinationDegraded)
      opinion.warnings.push_back(finding.message);
  return opinion;
}

Webhook::Webhook(const RunOptions& options, Measures measures, kube::Client& client,
                 metrics::Registry& registry)
    : admission_{std::move(measures.policy),
                 options.namespace_,
                 {[table = measures.capabilities](const auto& s) {
                    return opinion_of_combinations(s, *table());
                  },
                  [table = measures.capabilities](const auto& s) { return opinion_of_plan(s, *table()); }}},
      registry_(registry),
      client_(client.with_deadline(call_deadline_millis)) {
  serve::describe_webhook_metrics(registry_);
  registry_.describe(connections_metric, "gauge", "Connections to the webhook's port.");
  registry_.describe(bytes_metric, "gauge", "Bytes of reviews that are not answered yet.");
  registry_.describe(expiry_metric, "gauge", "When the webhook's certificate ends.");
  if (!options.webhook.certificate_folder.empty()) {
    rotation_ =
        std::make_unique<serve::Rotation>([shown = identity_, folder = options.webhook.certificate_folder] {
          return serve::check_provided(folder, *shown);
        });
    return;
  }
  rotation_ = std::make_unique<serve::Rotation>(
      [shown = identity_, ports = rotation_ports(client_, options.lease_namespace),
       names = options.webhook.names] { return serve::check_managed(ports, names, *shown); });
}

void Webhook::stop() {
  rotation_->stop();
  listener_.reset();
}

Result<std::unique_ptr<Webhook>> Webhook::open(const RunOptions& options, Measures measures,
                                               kube::Client& client, metrics::Registry& registry) {
  std::unique_ptr<Webhook> webhook(new Webhook(options, std::move(measures), client, registry));
  const Address& at = options.webhook.listen;
  auto listener = serve::Listener::open(
      {at.host, at.port, serve::review_bytes_max, webhook->identity_, port_limits(), webhook->load_},
      [made = webhook.get()](const serve::Request& request) {
        return serve::answer_webhook(made->admission_, request, made->registry_);
      });
  if (!listener) return listener.error();
  webhook->listener_ = std::move(listener).value();
  return webhook;
}

void Webhook::start() {
  rotation_->start();
}

std::optional<std::string> Webhook::not_ready() const {
  if (identity_->loaded()) return std::nullopt;
  std::string trouble = rotation_->trouble();
  return "no certificate yet" + (trouble.empty() ? "" : ": " + trouble);
}

void Webhook::update_metrics() const {
  registry_.set(connections_metric, {}, load_->connections);
  registry_.set(bytes_metric, {}, static_cast<double>(load_->bytes));
  if (WallMillis ends = rotation_->not_after())
    registry_.set(expiry_metric, {}, static_cast<double>(ends) / 1000);
}

}  // namespace strix::app
