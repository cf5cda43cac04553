#include "app/app.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/utsname.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <ctime>
#include <memory>
#include <set>
#include <utility>

#include "app/cache.h"
#include "app/capabilities.h"
#include "app/cluster.h"
#include "app/events.h"
#include "app/version.h"
#include "app/webhook.h"
#include "app/workers.h"
#include "base/log.h"
#include "engines/engine.h"
#include "kube/elector.h"
#include "probe/prober.h"
#include "serve/endpoints.h"
#include "serve/listener.h"

namespace strix::app {

namespace {

constexpr int exit_stopped = 0, exit_broken = 1, exit_not_started = 2;
constexpr int64_t release_millis = 5'000, flush_millis = 2'000;
constexpr std::string_view restarts_metric = "inferencestack_restarts_total";
constexpr int64_t heartbeat_silence_least_millis = 30'000, heartbeat_slack_millis = 15'000;

std::string user_agent() {
  utsname name{};
  uname(&name);
  return fmt::format("strix-operator/" STRIX_VERSION " (linux/{})", name.machine);
}

// Waits for SIGTERM or SIGINT for at most this long; the signal, or 0.
int wait_for_signal(int64_t millis) {
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGTERM);
  sigaddset(&waited, SIGINT);
  timespec timeout{millis / 1000, static_cast<long>(millis % 1000) * 1'000'000};
  int signal = sigtimedwait(&waited, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

// Everything that runs, in the order in which it is made; it is unmade in reverse. Owner: the main thread.
class Operator {
 public:
  Operator(const RunOptions& options, kube::Config config);

  Status start();
  int wait();
  void stop();

 private:
  api::Policy policy() const;
  InformerCache::Wakes cache_wakes();
  reconcile::StackReconciler::Ports stack_ports();
  reconcile::NodeReconciler::Ports node_ports();
  bool may_write() const { return !options_.leader_elect || (elector_ && elector_->is_leading()); }
  void wake_every_stack();
  void refresh_capabilities();
  void lead();
  Status make_elector();
  Status listen();
  Status open_webhook();
  void update_metrics();

  const RunOptions options_;
  const std::string identity_ = kube::make_identity();
  metrics::Registry registry_;
  http::Loop loop_;
  kube::Client client_;
  kube::Client lease_client_;
  std::unique_ptr<kube::Workqueue> queue_;
  reconcile::Board board_;
  std::unique_ptr<reconcile::NodeReconciler> nodes_;
  std::unique_ptr<InformerCache> cache_;
  std::unique_ptr<Capabilities> capabilities_;
  std::unique_ptr<kube::Elector> elector_;
  std::unique_ptr<KubeCluster> cluster_;
  std::unique_ptr<probe::TierProber> prober_;
  std::unique_ptr<EventWriter> events_;
  std::unique_ptr<reconcile::StackReconciler> stacks_;
  std::unique_ptr<Workers> workers_;
  serve::Health alive_, ready_;
  const serve::Endpoints endpoints_{alive_, ready_, registry_};
  std::unique_ptr<serve::Listener> listener_;
  std::unique_ptr<Webhook> webhook_;
  std::atomic<bool> elected_{false}, lost_{false};
  bool leading_ = false;
};

Operator::Operator(const RunOptions& options, kube::Config config)
    : options_(options), client_(loop_, config, registry_), lease_client_(loop_, config, registry_) {
  kube::describe_informer_metrics(registry_);
  kube::describe_workqueue_metrics(registry_);
  describe_worker_metrics(registry_);
  describe_capability_metrics(registry_);
  registry_.describe(restarts_metric, "counter",
                     "Starts of a tier after it failed, by class, or was stopped for its change.");
  kube::WorkqueueSettings queue;
  queue.name = "inferencestack";
  queue_ = std::make_unique<kube::Workqueue>(queue, registry_);
  cluster_ = std::make_unique<KubeCluster>(client_, options_.namespace_, [this] { return may_write(); });
  cache_ = std::make_unique<InformerCache>(client_, registry_, options_.namespace_, cache_wakes());
  capabilities_ = std::make_unique<Capabilities>(client_, registry_, options_.lease_namespace,
                                                 options_.capabilities_config_map);
  nodes_ = std::make_unique<reconcile::NodeReconciler>(node_ports(), board_, identity_);
  prober_ = std::make_unique<probe::TierProber>(loop_,
                                                [this](const auto& stack) { queue_->add(stack_key(stack)); });
  events_ = std::make_unique<EventWriter>(client_, registry_, identity_);
  stacks_ = std::make_unique<reconcile::StackReconciler>(stack_ports(), board_, policy(), identity_);
  workers_ = std::make_unique<Workers>(*queue_, *stacks_, *nodes_, registry_);
}

// The same for the reconciler and the admission path.
api::Policy Operator::policy() const {
  api::Policy policy = options_.policy;
  policy.owned_flag = engines::owned_flag;
  policy.owned_env = engines::owned_env();
  return policy;
}

InformerCache::Wakes Operator::cache_wakes() {
  return {[this](const auto& stack) { queue_->add(stack_key(stack)); },
          [this](const auto& stack) { queue_->add(stack_key(stack), kube::Urgency::Later); },
          [this] { wake_every_stack(); }, [this](const auto& node) { queue_->add(node_key(node)); },
          [this](const auto* before, const auto* after) { nodes_->pod_changed(before, after); }};
}

reconcile::StackReconciler::Ports Operator::stack_ports() {
  return {cluster_.get(),
          cache_.get(),
          prober_.get(),
          events_.get(),
          [] { return now(); },
          [this](const auto& node) { queue_->add(node_key(node)); },
          [this] { return capabilities_->table(); },
          [this](const auto& stack, const auto& restart) {
            registry_.add(restarts_metric, {{"namespace", stack.namespace_},
                                            {"name", stack.name},
                                            {"tier", restart.tier},
                                            {"reason", restart.reason}});
          },
          [this](const auto& stack) {
            registry_.drop(restarts_metric, {{"namespace", stack.namespace_}, {"name", stack.name}});
          }};
}

reconcile::NodeReconciler::Ports Operator::node_ports() {
  return {cluster_.get(), cache_.get(), [] { return now(); },
          [this](const auto& stack) { queue_->add(stack_key(stack)); }};
}

void Operator::wake_every_stack() {
  for (const auto& stack : cache_->stack_names()) queue_->add(stack_key(stack));
}

Status Operator::listen() {
  // Between two beats lie a wait and a request, however long the flags make them.
  const kube::ElectionSettings& election = options_.election;
  int64_t silence_millis =
      std::max(heartbeat_silence_least_millis,
               election.retry_period_millis + election.renew_deadline_millis / 2 + heartbeat_slack_millis);
  alive_.add("elector", [this, silence_millis]() -> std::optional<std::string> {
    BootMillis last = elector_ ? elector_->heartbeat() : 0;
    if (last == 0 || boot_now() - last < silence_millis) return std::nullopt;
    return "the election has stood still";
  });
  ready_.add("informers", [this]() -> std::optional<std::string> {
    if (cache_->synced() && capabilities_->ready()) return std::nullopt;
    return "not synced";
  });
  const Address& at = options_.listen;
  auto listener = serve::Listener::open({at.host, at.port}, [this](const serve::Request& request) {
    if (request.target.starts_with("/metrics")) update_metrics();
    return endpoints_.answer(request.method, request.target);
  });
  if (!listener) return listener.error();
  listener_ = std::move(listener).value();
  return success();
}

void Operator::update_metrics() {
  queue_->update_metrics();
  if (webhook_) webhook_->update_metrics();
}

Status Operator::open_webhook() {
  auto webhook =
      Webhook::open(options_, {policy(), [this] { return capabilities_->table(); }}, client_, registry_);
  if (!webhook) return webhook.error();
  webhook_ = std::move(webhook).value();
  ready_.add("webhook", [this] { return webhook_->not_ready(); });
  webhook_->start();
  return success();
}

Status Operator::make_elector() {
  if (!options_.leader_elect) {
    elected_ = true;
    return success();
  }
  kube::ElectorOptions election{options_.lease_namespace, options_.lease_name, options_.election};
  election.election.identity = identity_;
  auto elector = kube::Elector::make(
      kube::lease_ports(lease_client_, options_.lease_namespace, options_.lease_name), election, registry_,
      {[this] { elected_ = true; },
       [this](const std::string& why) {
         lost_ = true;
         log::error("lost the lease", {{"why", why}});
       }});
  if (!elector) return elector.error();
  elector_ = std::move(elector).value();
  return success();
}

// All that other threads look at is there before the first of them starts. The webhook and health first,
// then caches, and once these are synced the election: a replica that waits for the lease answers probes,
// metrics and reviews, and one that could not lead does not take the lease.
Status Operator::start() {
  if (auto made = make_elector(); !made) return made;
  if (!options_.webhook.listen.host.empty()) {
    if (auto opened = open_webhook(); !opened) return opened;
  }
  if (!options_.listen.host.empty()) {
    if (auto listening = listen(); !listening) return listening;
  }
  cache_->start();
  capabilities_->start();
  return success();
}

void Operator::lead() {
  leading_ = true;
  auto names = cache_->stack_names();
  board_.expect({names.begin(), names.end()});
  wake_every_stack();
  for (const auto& node : cache_->nodes()) queue_->add(node_key(node->metadata.name));
  workers_->start(options_.workers);
  malloc_trim(0);  // the first lists are parsed and gone
  log::info("leading", {{"stacks", names.size()}, {"identity", identity_}});
}

int Operator::wait() {
  constexpr int64_t starting_millis = 10'000, starting_poll_millis = 5, standby_poll_millis = 50;
  constexpr int64_t running_poll_millis = 200;
  BootMillis begun = boot_now();
  bool electing = false;
  while (true) {
    int64_t waiting_millis =
        boot_now() - begun < starting_millis ? starting_poll_millis : standby_poll_millis;
    if (int signal = wait_for_signal(leading_ ? running_poll_millis : waiting_millis)) {
      log::info("stopping", {{"signal", signal}});
      return exit_stopped;
    }
    if (lost_) return exit_broken;
    refresh_capabilities();
    if (leading_ || !cache_->synced() || !capabilities_->ready()) continue;
    if (elector_ && !std::exchange(electing, true)) elector_->start();
    if (elected_) lead();
  }
}

// A new table is a new plan for every stack.
void Operator::refresh_capabilities() {
  if (capabilities_->refresh() && leading_) wake_every_stack();
  if (leading_) capabilities_->tell(*events_);
}

void Operator::stop() {
  // After a lost lease nothing may be finished: whoever leads now has the cluster to itself.
  queue_->shut_down();
  workers_->stop();
  capabilities_->stop();
  cache_->stop();
  if (webhook_) webhook_->stop();
  listener_.reset();
  if (elector_ && !lost_) elector_->stop(release_millis);
  events_->flush(lost_ ? 0 : flush_millis);
}

}  // namespace

int run(const RunOptions& options) {
  log::set_level(options.log_level);
  auto config = kube::load_config(kube::sources_from_environment(options.kubeconfig));
  if (!config) {
    log::error("no way to the API server", {{"error", config.error().text}});
    return exit_not_started;
  }
  config.value().user_agent = user_agent();
  log::info("starting", {{"version", STRIX_VERSION}, {"server", config->server}});
  Operator process(options, std::move(config).value());
  if (auto started = process.start(); !started) {
    log::error("could not start", {{"error", started.error().text}});
    return exit_not_started;
  }
  int code = process.wait();
  process.stop();
  return code;
}

}  // namespace strix::app
