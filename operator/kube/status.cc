#include "kube/status.h"

#include <fmt/format.h>

#include <algorithm>

namespace strix::kube {

namespace {

constexpr size_t message_bytes_max = 512;
constexpr size_t text_bytes_max = 1024;
constexpr size_t body_excerpt_bytes_max = 128;
constexpr size_t causes_max = 8;
constexpr int64_t retry_after_seconds_max = 24 * 3600;

// At most `bytes_max` bytes, not cutting a UTF-8 sequence in two.
std::string truncate(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  size_t end = bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

ErrorKind kind_of(int code, std::string_view reason) {
  // An expired continue token or resourceVersion, whichever code it came with.
  if (code == 410 || reason == "Gone" || reason == "Expired") return ErrorKind::Gone;
  switch (code) {
    case 401:
      return ErrorKind::Unauthorized;
    case 403:
      return ErrorKind::Forbidden;
    case 404:
      return ErrorKind::NotFound;
    case 408:
      return ErrorKind::Timeout;
    case 409:
      return reason == "AlreadyExists" ? ErrorKind::AlreadyExists : ErrorKind::Conflict;
    case 412:
      return ErrorKind::Conflict;
    case 429:
      return ErrorKind::Throttled;
    default:
      break;
  }
  if (code >= 500) return ErrorKind::Unavailable;
  return code >= 400 ? ErrorKind::Invalid : ErrorKind::Internal;
}

// "spec.tiers[1].port: must be at most 65535; ...": those whose field the message does not name already
// (it names them all unless it was cut).
std::string causes_of(json::Value status, std::string_view message) {
  std::string text;
  json::Value causes = status["details"]["causes"];
  for (size_t i = 0; i < std::min(causes.size(), causes_max); ++i) {
    std::string field = causes.at(i)["field"].string_or("");
    if (field.empty() || message.find(field) != std::string_view::npos) continue;
    text += fmt::format("; {}: {}", field,
                        truncate(causes.at(i)["message"].string_or(""), message_bytes_max / 2));
  }
  return text;
}

Error describe(int code, json::Value status, int retry_after_seconds) {
  std::string reason = truncate(status["reason"].string_or(""), 64);
  std::string message = truncate(status["message"].string_or(""), message_bytes_max);
  std::string text = fmt::format("{}{}{}", code, reason.empty() ? "" : " ", reason);
  if (!message.empty()) text += ": " + message;
  if (code == 422) text += causes_of(status, message);
  if (retry_after_seconds == 0) {
    int64_t seconds = status["details"]["retryAfterSeconds"].integer_or(0);
    retry_after_seconds = static_cast<int>(std::clamp<int64_t>(seconds, 0, retry_after_seconds_max));
  }
  return Error{kind_of(code, reason), truncate(text, text_bytes_max), retry_after_seconds};
}

// The first line of what is no Status, without what would not print.
std::string excerpt(std::string_view body) {
  std::string line;
  for (char c : body.substr(0, body_excerpt_bytes_max)) {
    if (c == '\n' || c == '\r') break;
    line += c >= ' ' && c <= '~' ? c : '?';
  }
  return line;
}

}  // namespace

Error error_from_answer(int http_status, std::string_view body, int retry_after_seconds) {
  auto document = json::Document::parse(body, json::Limits{.bytes_max = 1u << 20, .depth_max = 32});
  if (document.ok() && document->root()["kind"].string_or("") == "Status") {
    return describe(http_status, document->root(), retry_after_seconds);
  }
  std::string line = excerpt(body);
  std::string text = line.empty() ? std::to_string(http_status) : fmt::format("{}: {}", http_status, line);
  return Error{kind_of(http_status, ""), text, retry_after_seconds};
}

Error error_from_status(json::Value status) {
  int64_t code = status["code"].integer_or(0);
  return describe(code >= 100 && code <= 599 ? static_cast<int>(code) : 500, status, 0);
}

}  // namespace strix::kube
