// Why: of all replicas one acts; this thread holds the Lease and says until when.
// May not: decide (lease_machine does), share a connection pool with the rest longer than it must, or wait
// for anybody: callbacks must return at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "base/metrics.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/lease_machine.h"

namespace strix::kube {

class Client;

// What an elector needs from the world: a Client in the operator, an in-memory lease in tests. Bodies are
// JSON.
struct LeasePorts {
  std::function<Result<std::string>(int64_t deadline_millis)> get;
  std::function<Result<std::string>(std::string body, int64_t deadline_millis)> create;
  std::function<Result<std::string>(std::string body, int64_t deadline_millis)> put;
  std::function<Now()> now;
};
// The client must outlive the elector.
LeasePorts lease_ports(Client& client, std::string namespace_, std::string name);

struct ElectorOptions {
  std::string namespace_, name;  // of the Lease
  ElectionSettings election;     // an empty identity is filled in with make_identity()
};

// "<hostname>_<32 random hexadecimal digits>".
std::string make_identity();

// Owns one thread. leading_until() and what follows from it may be read by any.
class Elector {
 public:
  struct Callbacks {
    std::function<void()> on_started;  // on the elector's thread, once
    std::function<void(const std::string& why)>
        on_lost;  // on the elector's thread, once, last: end the process
  };

  // Errors: Invalid settings. Nothing runs before start().
  static Result<std::unique_ptr<Elector>> make(LeasePorts ports, ElectorOptions options,
                                               metrics::Registry& registry, Callbacks callbacks);
  ~Elector();  // as stop(0): without a release
  Elector(const Elector&) = delete;
  Elector& operator=(const Elector&) = delete;

  void start();
  // Ends the election and releases the lease if it is ours, trying for at most this long. Call it when all
  // writers have stopped. True when the lease is known to be free of us. on_lost is not called any more.
  bool stop(int64_t deadline_millis);

  // In boot time; 0 when not leading. Every writer checks is_leading() right before each write.
  BootMillis leading_until() const { return leading_until_.load(std::memory_order_acquire); }
  bool is_leading() const { return boot_now() < leading_until(); }
  const std::string& identity() const { return options_.election.identity; }
  // When the thread last did something; for /healthz: it never rests longer than a retry period and a
  // request.
  BootMillis heartbeat() const { return heartbeat_.load(std::memory_order_relaxed); }

 private:
  Elector(LeasePorts ports, ElectorOptions options, metrics::Registry& registry, Callbacks callbacks);

  void run(std::stop_token stop);
  LeaseAction carry_out(const LeaseAction& action, const std::stop_token& stop);
  void pause(int64_t millis, const std::stop_token& stop);
  void take_note(const Result<std::string>& answer);
  int64_t deadline_millis(BootMillis now) const;
  void publish();

  const LeasePorts ports_;
  const ElectorOptions options_;
  metrics::Registry& registry_;
  const Callbacks callbacks_;
  std::atomic<BootMillis> leading_until_{0};
  std::atomic<BootMillis> heartbeat_{0};
  std::atomic<BootMillis> stop_by_{0};  // while stopping: the end of all tries
  std::atomic<bool> released_{false};
  LeaseMachine machine_;  // the thread's
  std::string last_holder_, last_failure_;
  std::mutex mutex_;
  std::condition_variable_any wakened_;
  std::jthread thread_;  // last: it uses all of the above
};

// Lease objects on the wire.
Result<ReadLease> decode_lease(std::string_view text);
std::string encode_lease(const std::string& namespace_, const std::string& name, const LeaseRecord& record,
                         const std::string& resource_version);

}  // namespace strix::kube
