#include "kube/watch_machine.h"

#include <algorithm>

namespace strix::kube {

namespace {

// A list of more pages than this does not end; the number of objects is bounded with it.
constexpr int pages_max = 4096;

}  // namespace

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::Closed:
      return "Closed";
    case Cause::Expired:
      return "Expired";
    case Cause::TooLargeResourceVersion:
      return "TooLargeResourceVersion";
    case Cause::Throttled:
      return "Throttled";
    case Cause::Unauthorized:
      return "Unauthorized";
    case Cause::Forbidden:
      return "Forbidden";
    case Cause::ShortWatch:
      return "ShortWatch";
    case Cause::Silent:
      return "Silent";
    case Cause::Broken:
      return "Broken";
    case Cause::ServerError:
      return "ServerError";
    case Cause::Malformed:
      return "Malformed";
    case Cause::Rejected:
      return "Rejected";
  }
  return "Rejected";
}

WatchMachine::WatchMachine(WatchSettings settings)
    : settings_(settings), backoff_(settings.backoff), page_limit_(settings.page_limit) {}

std::vector<WatchEffect> WatchMachine::step(const WatchInput& input, BootMillis now, double random) {
  std::vector<WatchEffect> out;
  if (stopped()) return out;
  std::visit([&](const auto& given) { on(given, out, now, random); }, input);
  return out;
}

// What a failure means for where we go on. A resumed watch misses nothing as long as the server still knows
// the version; where an event may have been lost, or the version is what was refused, only a list helps.
WatchMachine::Verdict WatchMachine::judge(const Error& error, bool in_stream) {
  // client-go tells this one by its text too: older servers send no cause.
  if (error.text.find("oo large resource version") != std::string::npos)
    return {Cause::TooLargeResourceVersion, true};
  switch (error.kind) {
    case ErrorKind::Gone:
      return {Cause::Expired, true};
    case ErrorKind::Throttled:
      return {Cause::Throttled, false};
    case ErrorKind::Unauthorized:
      return {Cause::Unauthorized, false};
    case ErrorKind::Forbidden:
      return {Cause::Forbidden, false};
    case ErrorKind::Unavailable:
      if (error.retry_after_seconds > 0) return {Cause::Throttled, false};
      // Inside a stream it says that the server could not send us an event, and at the same version it never
      // will.
      return {Cause::ServerError, in_stream};
    case ErrorKind::Timeout:
    case ErrorKind::Unreachable:
    case ErrorKind::Canceled:
      return {Cause::Broken, false};
    default:
      return {Cause::Rejected, true};
  }
}

void WatchMachine::list(std::vector<WatchEffect>& out, std::string continue_token) {
  pages_ = continue_token.empty() ? 1 : pages_ + 1;
  state_ = Listing{};
  out.push_back(FetchPage{++attempt_, page_limit_, std::move(continue_token)});
}

void WatchMachine::watch(std::vector<WatchEffect>& out, BootMillis now, double random) {
  int spread = std::max(0, settings_.timeout_seconds_max - settings_.timeout_seconds_min);
  int timeout_seconds = settings_.timeout_seconds_min + static_cast<int>(random * (spread + 1));
  timeout_seconds = std::min(timeout_seconds, settings_.timeout_seconds_max);
  BootMillis silent_at = now + int64_t{timeout_seconds} * 1000 + settings_.silence_margin_millis;
  state_ = Watching{now, silent_at, 0};
  out.push_back(OpenWatch{++attempt_, resource_version_, timeout_seconds});
  out.push_back(WakeAt{silent_at});
}

void WatchMachine::wait(std::vector<WatchEffect>& out, Verdict verdict, std::string text,
                        int64_t delay_millis, BootMillis now) {
  state_ = Waiting{now + delay_millis, verdict.relist};
  out.push_back(Report{verdict.cause, std::move(text), delay_millis, backoff_.failures(), verdict.relist});
  out.push_back(WakeAt{now + delay_millis});
}

// Every failure waits, even one that a list puts right at once: a server that answers every watch with 410
// must not make us list without a pause.
void WatchMachine::fail(std::vector<WatchEffect>& out, Verdict verdict, const Error& error, BootMillis now,
                        double random) {
  if (verdict.relist) resource_version_.clear();
  out.push_back(CancelRequest{});
  int64_t asked_millis =
      std::min(int64_t{error.retry_after_seconds} * 1000, settings_.retry_after_max_millis);
  int64_t delay_millis = std::max(backoff_.next_millis(now, random), asked_millis);
  wait(out, verdict, error.text, delay_millis, now);
}

void WatchMachine::on(const Start&, std::vector<WatchEffect>& out, BootMillis, double) {
  if (std::holds_alternative<Idle>(state_)) list(out, "");
}

void WatchMachine::on(const Stop&, std::vector<WatchEffect>& out, BootMillis, double) {
  state_ = Stopped{};
  out.push_back(CancelRequest{});
}

void WatchMachine::on(const Tick&, std::vector<WatchEffect>& out, BootMillis now, double random) {
  if (const auto* waiting = std::get_if<Waiting>(&state_)) {
    if (now < waiting->until) return;
    if (waiting->relist || resource_version_.empty()) {
      list(out, "");
    } else {
      watch(out, now, random);
    }
  } else if (const auto* watching = std::get_if<Watching>(&state_)) {
    if (now < watching->silent_at) return;
    Error silence{ErrorKind::Timeout,
                  "the server should have ended the watch and has not: the connection is dead"};
    fail(out, {Cause::Silent, false}, silence, now, random);
  }
}

void WatchMachine::on(const Page& page, std::vector<WatchEffect>& out, BootMillis now, double random) {
  if (!std::holds_alternative<Listing>(state_) || page.attempt != attempt_) return;
  if (page.resource_version.empty() || pages_ >= pages_max) {
    Error error{ErrorKind::Invalid, page.resource_version.empty() ? "a list without a resourceVersion"
                                                                  : "a list that does not end"};
    return fail(out, {Cause::Malformed, true}, error, now, random);
  }
  out.push_back(StagePage{});
  if (!page.continue_token.empty()) return list(out, page.continue_token);
  resource_version_ = page.resource_version;
  synced_ = true;
  out.push_back(Commit{});
  watch(out, now, random);
}

void WatchMachine::on(const ListFailed& failed, std::vector<WatchEffect>& out, BootMillis now,
                      double random) {
  if (!std::holds_alternative<Listing>(state_) || failed.attempt != attempt_) return;
  // Among other things a page over the bound of an answer: the same objects fit in more, shorter ones.
  if (failed.error.kind == ErrorKind::Invalid)
    page_limit_ = std::max(std::min(settings_.page_limit_min, page_limit_), page_limit_ / 2);
  Verdict verdict = judge(failed.error, false);
  verdict.relist = true;
  fail(out, verdict, failed.error, now, random);
}

void WatchMachine::on(const WatchEvent& event, std::vector<WatchEffect>& out, BootMillis, double) {
  auto* watching = std::get_if<Watching>(&state_);
  if (watching == nullptr || event.attempt != attempt_) return;
  ++watching->events;
  if (!event.resource_version.empty()) resource_version_ = event.resource_version;
  if (event.type != WatchEventType::Bookmark) out.push_back(ApplyEvent{});
}

void WatchMachine::on(const WatchFailed& failed, std::vector<WatchEffect>& out, BootMillis now,
                      double random) {
  if (!std::holds_alternative<Watching>(state_) || failed.attempt != attempt_) return;
  fail(out, judge(failed.error, failed.in_stream), failed.error, now, random);
}

void WatchMachine::on(const WatchMalformed& malformed, std::vector<WatchEffect>& out, BootMillis now,
                      double random) {
  if (!std::holds_alternative<Watching>(state_) || malformed.attempt != attempt_) return;
  // It may have been an event, and we cannot know of which object.
  fail(out, {Cause::Malformed, true}, Error{ErrorKind::Invalid, malformed.what}, now, random);
}

void WatchMachine::on(const WatchEnded& ended, std::vector<WatchEffect>& out, BootMillis now, double random) {
  const auto* watching = std::get_if<Watching>(&state_);
  if (watching == nullptr || ended.attempt != attempt_) return;
  int64_t lived_millis = now - watching->opened_at;
  bool cut_short = lived_millis < settings_.short_watch_millis;
  if (ended.mid_line) {
    Error error{ErrorKind::Unreachable, "the watch ended in the middle of an event"};
    fail(out, {Cause::Broken, false}, error, now, random);
  } else if (cut_short && watching->events == 0) {
    fail(out, {Cause::ShortWatch, false},
         Error{ErrorKind::Unreachable, "a watch that ended at once, without an event"}, now, random);
  } else if (cut_short) {
    // Not a failure; but not more often than once in this time, whatever is at the other end.
    wait(out, {Cause::Closed, false}, "", settings_.short_watch_millis - lived_millis, now);
  } else {
    out.push_back(Report{Cause::Closed, "", 0, 0, false});
    watch(out, now, random);
  }
}

}  // namespace strix::kube
