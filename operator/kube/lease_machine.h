// Why: who leads is decided by a Lease that two processes with clocks of their own write; every transition
// is here, with time as an input, so that "never two leaders" can be tested over any schedule.
// May not: do I/O, read a clock, or compare a time that another machine wrote: a lease has expired when
// *we* have seen it unchanged for its duration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/result.h"
#include "base/time.h"

namespace strix::kube {

struct ElectionSettings {
  std::string identity;  // hostname_<random>: never the same twice
  int64_t lease_duration_millis = 15'000;
  int64_t renew_deadline_millis = 10'000;
  int64_t retry_period_millis = 2'000;
};
// lease duration > renew deadline > 1.2 * retry period, each at least a second, and whole seconds of lease.
Status validate(const ElectionSettings& settings);

// The spec of a coordination.k8s.io/v1 Lease. Times stay texts: they are for people, and are carried over
// unchanged.
struct LeaseRecord {
  std::string holder;  // empty: released
  int64_t duration_seconds = 0;
  std::string acquire_time, renew_time;
  int64_t transitions = 0;
  bool operator==(const LeaseRecord&) const = default;
};

struct ReadLease {
  LeaseRecord record;
  std::string resource_version;
};

// What the shell does next, one at a time; it answers with the step of the same name.
struct LeaseRead {};
struct LeaseCreate {
  LeaseRecord record;
};
struct LeaseUpdate {
  LeaseRecord record;
  std::string resource_version;
};
struct LeaseSleep {
  BootMillis until = 0;
};
struct LeaseLost {
  std::string why;  // terminal: the process has to end
};
struct LeaseStopped {};  // terminal: not leading, and the lease is released if it was ours
using LeaseAction = std::variant<LeaseRead, LeaseCreate, LeaseUpdate, LeaseSleep, LeaseLost, LeaseStopped>;

// A value. Owner: the elector's thread, or a test.
class LeaseMachine {
 public:
  explicit LeaseMachine(ElectionSettings settings) : settings_(std::move(settings)) {}

  // Each returns the next action. `now.wall` is only written into the lease.
  LeaseAction begin(Now now);
  LeaseAction woke(Now now);
  // `sent` is when the request left, `now` when its answer came: what we wrote may have been true since
  // `sent`, what we read may have become true as late as `now`. Both are counted against us.
  LeaseAction read_done(Result<ReadLease> answer, Now now);
  LeaseAction write_done(Result<ReadLease> answer, BootMillis sent, Now now);
  // From now on only the release; called between two actions, instead of carrying out the last one.
  LeaseAction stop(Now now);

  // Until when we may act as the leader; 0 when we are not.
  BootMillis leading_until() const { return leading_until_; }
  bool leading(BootMillis now) const { return now < leading_until_; }
  // The lease was seen not to be ours after we began to stop, or has never been.
  bool free_of_us() const { return !ours() && !wrote_; }
  // Who was last seen to hold it, "" when nobody.
  const std::string& holder() const { return observed_ ? observed_->record.holder : nobody_; }

 private:
  LeaseAction acquire_or_wait(Now now);
  LeaseAction again_or_wait(Now now);
  LeaseAction wait(BootMillis now);
  LeaseAction write(Now now);
  LeaseAction lose(std::string why);
  LeaseAction release(Now now);
  LeaseAction release_failed(ErrorKind kind, Now now);
  void observe(ReadLease seen, BootMillis now);
  bool expired(BootMillis now) const;
  bool ours() const { return observed_ && observed_->record.holder == settings_.identity; }

  ElectionSettings settings_;
  std::string nobody_;
  std::optional<ReadLease> observed_;
  BootMillis observed_at_ = 0;  // when it was first seen as it is
  BootMillis leading_until_ = 0;
  BootMillis retry_at_ = 0;    // the next try, so that tries keep their period whatever the requests take
  bool looked_again_ = false;  // a try that failed reads and tries once more at once, and only once
  bool wrote_ = false;         // a write of ours may have become true although we were not told
  bool stopping_ = false;
  int release_tries_ = 0;
};

}  // namespace strix::kube
