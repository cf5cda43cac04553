// Why: keeps the certificate of the webhook's port current. A check looks at the Secret that all replicas
// share, makes what certificates.h finds due, tells the API server whom to trust, and only then shows it.
// May not: know how Kubernetes is reached (ports do), or let what a Secret holds reach an error or a log.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "serve/certificates.h"
#include "serve/identity.h"

namespace strix::serve {

struct StoredSecret {
  std::string uid, resource_version;
  SecretData data;
};

// Where the API server is told to ask this webhook.
struct Registration {
  std::string uid, resource_version;
  std::string ca_bundle;  // PEM
};

struct RotationPorts {
  std::function<Result<StoredSecret>()> read_secret;
  // These members get these bytes. Conflict: it is not as it was seen any more.
  std::function<Status(const StoredSecret& seen, const SecretData& data)> write_secret;
  std::function<Result<std::optional<Registration>>()> read_registration;  // absent: there is none
  std::function<Status(const Registration& seen, const std::string& bundle)> write_registration;
  std::function<WallMillis()> now;
};

struct Checked {
  bool registered = true;    // false: nobody asks this webhook yet
  std::string renewed;       // why something was made; empty: nothing was
  WallMillis not_after = 0;  // of the certificate that is shown
  int64_t next_millis = 0;   // until the next check
};

// One check of certificates of our own. Safe to break off anywhere and to do in several replicas at once: the
// loser of a race takes what the winner made. Errors: the ports', and Internal of OpenSSL.
Result<Checked> check_managed(const RotationPorts& ports, const std::vector<std::string>& names,
                              Identity& identity);

// One check of tls.crt and tls.key in a folder that somebody else keeps, cert-manager for one. Errors:
// NotFound, Invalid; what is shown stays.
Result<Checked> check_provided(const std::string& folder, Identity& identity);

// Owner: main's thread. Runs a check, waits, and runs the next, on a thread of its own.
class Rotation {
 public:
  using Check = std::function<Result<Checked>()>;

  explicit Rotation(Check check) : check_(std::move(check)) {}
  ~Rotation() { stop(); }
  void start();
  void stop();  // waits for a check under way

  std::string trouble() const;                                // of the last check; empty: it went well
  WallMillis not_after() const { return not_after_.load(); }  // of what is shown; 0: nothing is known of it

 private:
  void run(std::stop_token stop);
  void pause(int64_t millis, const std::stop_token& stop);
  int64_t note(const Result<Checked>& checked, int failures);

  const Check check_;
  std::atomic<WallMillis> not_after_{0};
  mutable std::mutex mutex_;
  std::condition_variable_any wakened_;
  std::string trouble_;
  bool told_unregistered_ = false;  // the thread's
  std::jthread thread_;             // last: it uses all of the above
};

}  // namespace strix::serve
