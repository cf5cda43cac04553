#include "kube/elector.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "kube/client.h"

namespace strix::kube {

namespace {

constexpr std::string_view status_metric = "leader_election_master_status";
constexpr std::string_view field_manager = "strix-operator-election";

const Resource leases{"coordination.k8s.io", "v1", "leases"};

}  // namespace

// --- leases on the wire -----------------------------------------------------------------------------

Result<ReadLease> decode_lease(std::string_view text) {
  auto document = json::Document::parse(text);
  if (!document.ok()) return document.error().wrap("lease");
  json::Value root = document->root();
  json::Value spec = root["spec"];
  ReadLease lease;
  lease.resource_version = root["metadata"]["resourceVersion"].string_or("");
  if (lease.resource_version.empty()) return Error{ErrorKind::Internal, "a lease without a resourceVersion"};
  lease.record.holder = spec["holderIdentity"].string_or("");
  lease.record.duration_seconds = spec["leaseDurationSeconds"].integer_or(0);
  lease.record.acquire_time = spec["acquireTime"].string_or("");
  lease.record.renew_time = spec["renewTime"].string_or("");
  lease.record.transitions = spec["leaseTransitions"].integer_or(0);
  return lease;
}

std::string encode_lease(const std::string& namespace_, const std::string& name, const LeaseRecord& record,
                         const std::string& resource_version) {
  json::Writer writer;
  writer.begin_object().member("apiVersion", "coordination.k8s.io/v1").member("kind", "Lease");
  writer.key("metadata").begin_object().member("name", name).member("namespace", namespace_);
  if (!resource_version.empty()) writer.member("resourceVersion", resource_version);
  writer.end_object();
  writer.key("spec").begin_object();
  writer.member("holderIdentity", record.holder);
  writer.member("leaseDurationSeconds", record.duration_seconds);
  // Somebody else's empty time is no valid one: it is left out as it was.
  if (!record.acquire_time.empty()) writer.member("acquireTime", record.acquire_time);
  if (!record.renew_time.empty()) writer.member("renewTime", record.renew_time);
  writer.member("leaseTransitions", record.transitions);
  writer.end_object().end_object();
  return writer.take();
}

LeasePorts lease_ports(Client& client, std::string namespace_, std::string name) {
  // A copy of its own: cheap, and its deadline is nobody else's.
  std::string collection = path_of(leases, namespace_);
  std::string path = path_of(leases, namespace_, name);
  LeasePorts ports;
  ports.get = [client, path](int64_t deadline_millis) {
    return client.with_deadline(deadline_millis).get(path);
  };
  ports.create = [client, collection](std::string body, int64_t deadline_millis) {
    return client.with_deadline(deadline_millis).create(collection, std::move(body), field_manager);
  };
  ports.put = [client, path](std::string body, int64_t deadline_millis) {
    return client.with_deadline(deadline_millis).put(path, std::move(body), field_manager);
  };
  ports.now = [] { return now(); };
  return ports;
}

std::string make_identity() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  std::string identity = host[0] != '\0' ? host.data() : "strix-operator";
  identity += '_';
  std::random_device entropy;
  static constexpr std::string_view digits = "0123456789abcdef";
  for (int i = 0; i < 32; ++i) identity += digits[entropy() % 16];
  return identity;
}

// --- the thread -------------------------------------------------------------------------------------

Result<std::unique_ptr<Elector>> Elector::make(LeasePorts ports, ElectorOptions options,
                                               metrics::Registry& registry, Callbacks callbacks) {
  if (options.election.identity.empty()) options.election.identity = make_identity();
  Status valid = validate(options.election);
  if (!valid.ok()) return valid.error();
  return std::unique_ptr<Elector>(
      new Elector(std::move(ports), std::move(options), registry, std::move(callbacks)));
}

Elector::Elector(LeasePorts ports, ElectorOptions options, metrics::Registry& registry, Callbacks callbacks)
    : ports_(std::move(ports)),
      options_(std::move(options)),
      registry_(registry),
      callbacks_(std::move(callbacks)),
      machine_(options_.election) {
  registry_.describe(status_metric, "gauge", "Whether this process leads.");
  registry_.set(status_metric, {{"name", options_.name}}, 0);
}

Elector::~Elector() {
  stop(0);
}

void Elector::start() {
  INVARIANT(!thread_.joinable());
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

bool Elector::stop(int64_t deadline_millis) {
  if (thread_.joinable()) {
    stop_by_.store(boot_now() + deadline_millis);
    thread_.request_stop();
    thread_.join();  // bounded: every request and every sleep of the thread is
  }
  leading_until_.store(0, std::memory_order_release);
  return released_.load();
}

void Elector::run(std::stop_token stop) {
  bool stopping = false;
  LeaseAction action = machine_.begin(ports_.now());
  while (true) {
    if (stop.stop_requested() && !stopping) {
      stopping = true;
      action = machine_.stop(ports_.now());
      publish();
    }
    if (const auto* lost = std::get_if<LeaseLost>(&action)) {
      if (callbacks_.on_lost) callbacks_.on_lost(lost->why);
      log::error("leadership lost", {{"lease", options_.name}, {"why", lost->why}});
      break;
    }
    bool out_of_time = stopping && ports_.now().boot >= stop_by_.load();
    if (std::holds_alternative<LeaseStopped>(action) || out_of_time) break;
    action = carry_out(action, stop);
    publish();
  }
  released_.store(machine_.free_of_us());
}

LeaseAction Elector::carry_out(const LeaseAction& action, const std::stop_token& stop) {
  Now sent = ports_.now();
  heartbeat_.store(sent.boot, std::memory_order_relaxed);
  if (const auto* sleep = std::get_if<LeaseSleep>(&action)) {
    pause(sleep->until - sent.boot, stop);
    return machine_.woke(ports_.now());
  }
  Result<std::string> answer = Error{ErrorKind::Internal, "no request"};
  bool reading = std::holds_alternative<LeaseRead>(action);
  if (reading) {
    answer = ports_.get(deadline_millis(sent.boot));
  } else if (const auto* create = std::get_if<LeaseCreate>(&action)) {
    answer = ports_.create(encode_lease(options_.namespace_, options_.name, create->record, ""),
                           deadline_millis(sent.boot));
  } else if (const auto* update = std::get_if<LeaseUpdate>(&action)) {
    answer =
        ports_.put(encode_lease(options_.namespace_, options_.name, update->record, update->resource_version),
                   deadline_millis(sent.boot));
  }
  take_note(answer);
  Result<ReadLease> lease = answer.ok() ? decode_lease(answer.value()) : Result<ReadLease>(answer.error());
  Now now = ports_.now();
  return reading ? machine_.read_done(std::move(lease), now)
                 : machine_.write_done(std::move(lease), sent.boot, now);
}

// Half of the renew deadline, so that one request that hangs leaves time for another; never past the moment
// at which its answer would be of no use.
int64_t Elector::deadline_millis(BootMillis now) const {
  int64_t millis = options_.election.renew_deadline_millis / 2;
  BootMillis leading_until = machine_.leading_until();
  if (leading_until != 0) millis = std::min(millis, leading_until - now);
  BootMillis stop_by = stop_by_.load();
  if (stop_by != 0) millis = std::min(millis, stop_by - now);
  return std::max<int64_t>(millis, 1);
}

void Elector::pause(int64_t millis, const std::stop_token& stop) {
  if (millis <= 0) return;
  std::unique_lock lock(mutex_);
  auto nothing_else = [] { return false; };
  if (stop.stop_requested()) {
    // Between two tries of a release; stop_by bounds them all.
    wakened_.wait_for(lock, std::chrono::milliseconds(millis), nothing_else);
  } else {
    wakened_.wait_for(lock, stop, std::chrono::milliseconds(millis), nothing_else);
  }
}

// One line when the answers turn bad, and one when they turn good again.
void Elector::take_note(const Result<std::string>& answer) {
  bool usual = answer.ok() || answer.error().kind == ErrorKind::NotFound ||
               answer.error().kind == ErrorKind::Conflict || answer.error().kind == ErrorKind::AlreadyExists;
  std::string failure = usual ? "" : std::string(to_string(answer.error().kind));
  if (failure == last_failure_) return;
  last_failure_ = failure;
  if (usual) {
    log::info("lease reachable again", {{"lease", options_.name}});
  } else {
    log::warn("lease request failed", {{"lease", options_.name}, {"error", answer.error().text}});
  }
}

void Elector::publish() {
  BootMillis until = machine_.leading_until();
  bool was_leading = leading_until_.exchange(until, std::memory_order_acq_rel) != 0;
  if (machine_.holder() != last_holder_) {
    last_holder_ = machine_.holder();
    log::info("lease holder changed", {{"lease", options_.name}, {"holder", last_holder_}});
  }
  if (was_leading == (until != 0)) return;
  registry_.set(status_metric, {{"name", options_.name}}, until != 0 ? 1 : 0);
  if (until == 0) return;
  log::info("leading", {{"lease", options_.name}, {"identity", options_.election.identity}});
  if (callbacks_.on_started) callbacks_.on_started();
}

}  // namespace strix::kube
