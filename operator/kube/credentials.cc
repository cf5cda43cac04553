#include "kube/credentials.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/log.h"

namespace strix::kube {

namespace {

constexpr size_t file_bytes_max = 1u << 20;
constexpr std::string_view certificate_marker = "-----BEGIN CERTIFICATE-----";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

Error failed(const std::string& path, int number) {
  ErrorKind kind = number == ENOENT || number == ENOTDIR ? ErrorKind::NotFound
                   : number == EACCES || number == EPERM ? ErrorKind::Forbidden
                                                         : ErrorKind::Internal;
  return Error{kind, path + ": " + std::generic_category().message(number)};
}

// A header's value must not have the line break that most editors leave at the end of a token file.
std::string trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(blank) - first + 1));
}

std::optional<std::string> read_trimmed(const std::string& path) {
  auto content = read_small_file(path);
  if (!content.ok()) return std::nullopt;
  return trim(*content);
}

}  // namespace

Result<std::string> read_small_file(const std::string& path) {
  // O_NONBLOCK: a named pipe must not stop the operator.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.number() < 0) return failed(path, errno);
  struct stat facts {};
  if (::fstat(file.number(), &facts) != 0) return failed(path, errno);
  if (!S_ISREG(facts.st_mode)) return Error{ErrorKind::Invalid, path + ": not a regular file"};
  std::string content;
  char buffer[4096];
  while (true) {
    ssize_t count = ::read(file.number(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(path, errno);
    if (count == 0) return content;
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > file_bytes_max) {
      return Error{ErrorKind::Invalid, fmt::format("{}: longer than {} bytes", path, file_bytes_max)};
    }
  }
}

bool RotatedText::offer(std::optional<std::string> content, BootMillis now) {
  if (!content || content->empty()) {
    due_at_ = now + retry_millis;
    return false;
  }
  read_at_ = now;
  due_at_ = now + age_millis_max;
  if (*content == text_) return false;
  text_ = std::move(*content);
  return true;
}

void RotatedText::reject_older_than(BootMillis request_started) {
  // In doubt (the same millisecond) it is read again: that costs one small read.
  if (read_at_ <= request_started) due_at_ = 0;
}

Credentials::Credentials(const Config& config)
    : token_file_(config.token_file),
      ca_file_(config.ca_file),
      token_(trim(config.token), !config.token_file.empty()),
      ca_(config.tls ? trim(config.tls->ca_pem) : "", !config.ca_file.empty()),
      tls_(config.tls) {}

// Once when it starts to fail, and once when it is well again.
void Credentials::note(bool failed, const std::string& path, bool& failing) {
  if (failed == failing) return;
  failing = failed;
  if (failed) {
    log::warn("credential file cannot be read; the old content stays in use", {{"path", path}});
  } else {
    log::info("credential file can be read again", {{"path", path}});
  }
}

Identity Credentials::current(BootMillis now) {
  std::lock_guard lock(mutex_);
  if (token_.due(now)) {
    auto content = read_trimmed(token_file_);
    note(!content || content->empty(), token_file_, token_failing_);
    token_.offer(std::move(content), now);
  }
  if (ca_.due(now)) {
    auto content = read_trimmed(ca_file_);
    // A file that is just being written must not replace a CA that works.
    if (content && content->find(certificate_marker) == std::string::npos) content.reset();
    note(!content || content->empty(), ca_file_, ca_failing_);
    if (ca_.offer(std::move(content), now)) {
      // A new object: libcurl compares the CA by content, so that new connections are made with it.
      auto renewed = tls_ ? std::make_shared<http::Tls>(*tls_) : std::make_shared<http::Tls>();
      renewed->ca_pem = ca_.text();
      tls_ = std::move(renewed);
    }
  }
  return Identity{token_.text().empty() ? "" : "Bearer " + token_.text(), tls_};
}

void Credentials::reject_older_than(BootMillis request_started) {
  std::lock_guard lock(mutex_);
  token_.reject_older_than(request_started);
}

}  // namespace strix::kube
