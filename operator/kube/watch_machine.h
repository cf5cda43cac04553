// Why: list, watch, resume, relist: every way in which a watch ends has its own right answer, and all of
// them are decided here, in one place, where a test can walk through them without a server.
// May not: do I/O, read a clock or a generator, or see an object: it knows resourceVersions, and only
// their equality.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "kube/backoff.h"

namespace strix::kube {

struct WatchSettings {
  int page_limit = 250;    // objects a page; memory is spent on one page at a time
  int page_limit_min = 8;  // pages that are too long are asked for in halves, down to this
  int timeout_seconds_min = 300,
      timeout_seconds_max = 600;           // the server ends a watch itself after a random time
  int64_t silence_margin_millis = 30'000;  // that long after it should have: the connection is dead
  int64_t short_watch_millis = 1'000;      // ended sooner and without an event: a failure
  int64_t retry_after_max_millis = 300'000;
  BackoffSettings backoff;
};

// Why a watch did not just go on. The metric's label.
enum class Cause {
  Closed,                   // the server ended it in time: not a failure
  Expired,                  // 410, either way
  TooLargeResourceVersion,  // the server is behind what another one told us
  Throttled,                // 429, or 503 with Retry-After
  Unauthorized,
  Forbidden,
  ShortWatch,
  Silent,       // the watchdog: no end where there should have been one
  Broken,       // no connection, or it broke, or ended in the middle of a line
  ServerError,  // 5xx
  Malformed,    // not what a watch looks like
  Rejected,     // any other refusal
};
std::string_view to_string(Cause cause);

enum class WatchEventType { Added, Modified, Deleted, Bookmark };

// --- inputs. All but Start, Stop and Tick carry the attempt of the request that they answer; late ones are
// ignored.
struct Start {};
struct Stop {};
struct Tick {};
struct Page {
  uint64_t attempt = 0;
  std::string resource_version, continue_token;
};
struct ListFailed {
  uint64_t attempt = 0;
  Error error;
};
struct WatchEvent {
  uint64_t attempt = 0;
  WatchEventType type = WatchEventType::Bookmark;
  std::string resource_version;
};
// An ERROR event inside the stream, or a refusal of the watch: both become an error of the same kinds.
struct WatchFailed {
  uint64_t attempt = 0;
  Error error;
  bool in_stream = false;
};
struct WatchMalformed {
  uint64_t attempt = 0;
  std::string what;
};
struct WatchEnded {
  uint64_t attempt = 0;
  bool mid_line = false;
};
using WatchInput =
    std::variant<Start, Stop, Tick, Page, ListFailed, WatchEvent, WatchFailed, WatchMalformed, WatchEnded>;

// --- effects, to be carried out in order.
struct FetchPage {
  uint64_t attempt = 0;
  int limit = 0;
  std::string continue_token;  // empty: a first page; what was staged before is dropped
};
struct StagePage {};   // the page just given belongs to the list that is being read
struct Commit {};      // the list is complete: it becomes the store, at once
struct ApplyEvent {};  // the event just given becomes true
struct OpenWatch {
  uint64_t attempt = 0;
  std::string resource_version;
  int timeout_seconds = 0;
};
struct CancelRequest {};
struct WakeAt {
  BootMillis at = 0;
};
struct Report {
  Cause cause = Cause::Closed;
  std::string text;
  int64_t delay_millis = 0;
  int failures = 0;  // in a row, this one included
  bool relist = false;
};
using WatchEffect =
    std::variant<FetchPage, StagePage, Commit, ApplyEvent, OpenWatch, CancelRequest, WakeAt, Report>;

// A value. Owner: the informer's loop thread, or a test.
class WatchMachine {
 public:
  explicit WatchMachine(WatchSettings settings = {});

  // `random` is in [0, 1), fresh each time.
  std::vector<WatchEffect> step(const WatchInput& input, BootMillis now, double random);

  bool synced() const { return synced_; }  // a whole list has been committed
  bool stopped() const { return std::holds_alternative<Stopped>(state_); }
  const std::string& resource_version() const { return resource_version_; }

 private:
  struct Idle {};
  struct Listing {};
  struct Watching {
    BootMillis opened_at = 0, silent_at = 0;
    uint64_t events = 0;
  };
  struct Waiting {
    BootMillis until = 0;
    bool relist = false;
  };
  struct Stopped {};

  struct Verdict {
    Cause cause;
    bool relist;  // otherwise the watch resumes where it was
  };
  static Verdict judge(const Error& error, bool in_stream);
  void list(std::vector<WatchEffect>& out, std::string continue_token);
  void watch(std::vector<WatchEffect>& out, BootMillis now, double random);
  void fail(std::vector<WatchEffect>& out, Verdict verdict, const Error& error, BootMillis now,
            double random);
  void wait(std::vector<WatchEffect>& out, Verdict verdict, std::string text, int64_t delay_millis,
            BootMillis now);

  void on(const Start&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const Stop&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const Tick&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const Page&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const ListFailed&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const WatchEvent&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const WatchFailed&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const WatchMalformed&, std::vector<WatchEffect>& out, BootMillis now, double random);
  void on(const WatchEnded&, std::vector<WatchEffect>& out, BootMillis now, double random);

  WatchSettings settings_;
  Backoff backoff_;
  std::variant<Idle, Listing, Watching, Waiting, Stopped> state_;
  uint64_t attempt_ = 0;          // of the request under way; the next one has the next number
  std::string resource_version_;  // where a watch resumes; empty: nowhere, list first
  int page_limit_;
  int pages_ = 0;  // of the list under way
  bool synced_ = false;
};

}  // namespace strix::kube
