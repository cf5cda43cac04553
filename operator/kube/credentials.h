// Why: the token and the CA of a pod are files that the kubelet replaces while we run.
// May not: cache a credential for longer than a minute, drop a good one because a read failed, or log one.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/time.h"
#include "http/loop.h"
#include "kube/config.h"

namespace strix::kube {

// When a text that lives in a file is read again: pure, the time is given. As client-go's
// transport/token_source.go: a minute less ten seconds of leeway.
class RotatedText {
 public:
  static constexpr int64_t age_millis_max = 50'000;
  static constexpr int64_t retry_millis = 10'000;  // after a read that failed

  RotatedText(std::string text, bool from_file) : text_(std::move(text)), from_file_(from_file) {}

  const std::string& text() const { return text_; }
  bool due(BootMillis now) const { return from_file_ && now >= due_at_; }
  // What a read brought; absent or empty when it failed, and then the old text stays. True: it is new.
  bool offer(std::optional<std::string> content, BootMillis now);
  // The text was refused for a request that started then. One that was read since is not to blame.
  void reject_older_than(BootMillis request_started);

 private:
  std::string text_;
  bool from_file_;
  BootMillis read_at_ = 0;
  BootMillis due_at_ = 0;
};

// What a request carries. Immutable.
struct Identity {
  std::string authorization;  // the header's value; empty: none
  std::shared_ptr<const http::Tls> tls;
};

// Thread-safe: one mutex, held across the read of two small files (a pod's are in memory), so that of two
// callers after a 401 neither goes on with the old token.
class Credentials {
 public:
  explicit Credentials(const Config& config);

  Identity current(BootMillis now);
  void reject_older_than(BootMillis request_started);

 private:
  void note(bool failed, const std::string& path, bool& failing);

  const std::string token_file_, ca_file_;
  std::mutex mutex_;
  RotatedText token_, ca_;
  std::shared_ptr<const http::Tls> tls_;
  bool token_failing_ = false, ca_failing_ = false;
};

// The content of a small file (certificates, tokens, kubeconfigs). Errors: NotFound, Forbidden, Invalid
// (no regular file, too long), Internal; the text names the file.
Result<std::string> read_small_file(const std::string& path);

}  // namespace strix::kube
