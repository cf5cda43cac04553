#include "kube/lease_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace strix::kube {

namespace {

constexpr int release_tries_max = 5;
constexpr int64_t release_pause_millis = 200;

}  // namespace

Status validate(const ElectionSettings& settings) {
  auto invalid = [](std::string text) {
    return Error{ErrorKind::Invalid, "leader election: " + std::move(text)};
  };
  if (settings.identity.empty()) return invalid("no identity");
  if (settings.retry_period_millis < 1000) return invalid("the retry period is under a second");
  if (settings.lease_duration_millis % 1000 != 0)
    return invalid("the lease duration is not in whole seconds");
  // Jitter of the timers must not make one late try cost the lease (client-go's JitterFactor).
  if (settings.renew_deadline_millis * 10 <= settings.retry_period_millis * 12)
    return invalid(fmt::format("the renew deadline of {} has to be over 1.2 times the retry period of {}",
                               format_duration(settings.renew_deadline_millis),
                               format_duration(settings.retry_period_millis)));
  if (settings.lease_duration_millis <= settings.renew_deadline_millis)
    return invalid(fmt::format("the lease duration of {} has to be over the renew deadline of {}",
                               format_duration(settings.lease_duration_millis),
                               format_duration(settings.renew_deadline_millis)));
  return success();
}

LeaseAction LeaseMachine::begin(Now now) {
  retry_at_ = now.boot + settings_.retry_period_millis;
  return LeaseRead{};
}

LeaseAction LeaseMachine::woke(Now now) {
  if (stopping_) return LeaseRead{};
  if (leading_until_ != 0 && now.boot >= leading_until_)
    return lose("the lease could not be renewed in time");
  retry_at_ = now.boot + settings_.retry_period_millis;
  looked_again_ = false;
  // A leader knows the version of its own last write: no read is needed.
  if (leading_until_ != 0 && ours()) return write(now);
  return LeaseRead{};
}

LeaseAction LeaseMachine::read_done(Result<ReadLease> answer, Now now) {
  if (answer.ok()) {
    observe(std::move(answer).value(), now.boot);
    wrote_ = false;
    if (stopping_) return release(now);
    return acquire_or_wait(now);
  }
  if (answer.error().kind != ErrorKind::NotFound)
    return stopping_ ? release_failed(answer.error().kind, now) : wait(now.boot);
  wrote_ = false;
  // Somebody deleted it. Its holder does not know yet and goes on until its time is over: so do we.
  bool held = observed_ && !ours() && !observed_->record.holder.empty();
  if (held && !expired(now.boot) && !stopping_) return wait(now.boot);
  observed_.reset();
  return stopping_ ? LeaseAction(LeaseStopped{}) : write(now);
}

LeaseAction LeaseMachine::write_done(Result<ReadLease> answer, BootMillis sent, Now now) {
  if (!answer.ok()) {
    if (stopping_) return release_failed(answer.error().kind, now);
    return again_or_wait(now);
  }
  wrote_ = false;
  observe(std::move(answer).value(), now.boot);
  if (stopping_) return release(now);
  if (!ours()) return again_or_wait(now);  // something on the way changed what we wrote
  BootMillis until = sent + settings_.renew_deadline_millis;
  if (now.boot >= until) {
    // True by now for too long to act on it: the machine slept, or the network did.
    if (leading_until_ != 0) return lose("the lease was renewed, but the answer came too late");
    return LeaseRead{};
  }
  leading_until_ = until;
  return wait(now.boot);
}

LeaseAction LeaseMachine::stop(Now now) {
  stopping_ = true;
  leading_until_ = 0;
  // Perhaps a write of ours arrived and its answer did not.
  if (wrote_) return LeaseRead{};
  return release(now);
}

LeaseAction LeaseMachine::acquire_or_wait(Now now) {
  const LeaseRecord& record = observed_->record;
  if (ours() || record.holder.empty()) return write(now);
  if (leading_until_ != 0) return lose(fmt::format("the lease is held by {}", record.holder));
  return expired(now.boot) ? write(now) : wait(now.boot);
}

// As seen by us: its holder's own clock, and what it wrote, say nothing.
bool LeaseMachine::expired(BootMillis now) const {
  int64_t seconds = observed_->record.duration_seconds;
  return now - observed_at_ >= (seconds > 0 ? seconds * 1000 : settings_.lease_duration_millis);
}

// A write that failed: we may have been overtaken, or it may have arrived all the same. Reading tells.
LeaseAction LeaseMachine::again_or_wait(Now now) {
  if (leading_until_ != 0 && now.boot >= leading_until_)
    return lose("the lease could not be renewed in time");
  if (looked_again_) return wait(now.boot);
  looked_again_ = true;
  return LeaseRead{};
}

LeaseAction LeaseMachine::wait(BootMillis now) {
  if (leading_until_ == 0) return LeaseSleep{std::max(retry_at_, now)};
  if (now >= leading_until_) return lose("the lease could not be renewed in time");
  return LeaseSleep{std::min(std::max(retry_at_, now), leading_until_)};
}

LeaseAction LeaseMachine::write(Now now) {
  wrote_ = true;
  LeaseRecord record;
  record.holder = settings_.identity;
  record.duration_seconds = settings_.lease_duration_millis / 1000;
  record.renew_time = format_micro_time(now.wall);
  record.acquire_time = record.renew_time;
  if (!observed_) return LeaseCreate{std::move(record)};
  const LeaseRecord& before = observed_->record;
  // A renewal that changed nothing would be no write at all to the server, and no sign of life to the others:
  // a clock that was set back must not make one.
  if (record.renew_time == before.renew_time) record.renew_time = format_micro_time(now.wall + 1);
  record.transitions = before.transitions + (ours() ? 0 : 1);
  if (ours()) record.acquire_time = before.acquire_time;
  return LeaseUpdate{std::move(record), observed_->resource_version};
}

LeaseAction LeaseMachine::lose(std::string why) {
  leading_until_ = 0;
  return LeaseLost{std::move(why)};
}

LeaseAction LeaseMachine::release(Now now) {
  if (!ours() || release_tries_ >= release_tries_max) return LeaseStopped{};
  ++release_tries_;
  LeaseRecord record;
  record.duration_seconds = 1;
  record.acquire_time = format_micro_time(now.wall);
  record.renew_time = record.acquire_time;
  record.transitions = observed_->record.transitions;
  return LeaseUpdate{std::move(record), observed_->resource_version};
}

LeaseAction LeaseMachine::release_failed(ErrorKind kind, Now now) {
  if (kind == ErrorKind::NotFound) {
    observed_.reset();
    return LeaseStopped{};
  }
  if (++release_tries_ >= release_tries_max) return LeaseStopped{};
  if (kind == ErrorKind::Conflict) return LeaseRead{};
  return LeaseSleep{now.boot + release_pause_millis};
}

void LeaseMachine::observe(ReadLease seen, BootMillis now) {
  bool changed = !observed_ || !(observed_->record == seen.record) ||
                 observed_->resource_version != seen.resource_version;
  if (changed) observed_at_ = now;
  observed_ = std::move(seen);
}

}  // namespace strix::kube
