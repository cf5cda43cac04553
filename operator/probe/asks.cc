#include "probe/asks.h"

#include <fmt/format.h>

#include <algorithm>

namespace strix::probe {

namespace {

constexpr size_t answer_bytes_max = 256 * 1024;  // the largest is vLLM's /metrics, 60 to 100 KiB
constexpr int64_t connect_timeout_millis = 2'000;

std::string_view name_of(AskKind kind) {
  switch (kind) {
    case AskKind::Health:
      return "health";
    case AskKind::WarmUp:
      return "warm-up";
    case AskKind::Effective:
      return "effective settings";
    case AskKind::Version:
      return "version";
    case AskKind::Cache:
      return "cache";
    case AskKind::Usage:
      return "usage";
    case AskKind::Load:
      return "load";
  }
  return "probe";
}

engines::Ask ask_of(AskKind kind, const api::Tier& tier) {
  switch (kind) {
    case AskKind::Health:
      return engines::health_ask(tier);
    case AskKind::WarmUp:
      return engines::warm_up_ask(tier);
    case AskKind::Effective:
      return engines::effective_ask(tier.engine);
    case AskKind::Version:
      return engines::version_ask();
    case AskKind::Cache:
    case AskKind::Usage:
    case AskKind::Load:
      return engines::metrics_ask();
  }
  return engines::health_ask(tier);
}

std::string url_of(const reconcile::ProbeTarget& target, const std::string& path) {
  bool ipv6 = target.pod_ip.find(':') != std::string::npos;
  std::string host = ipv6 ? "[" + target.pod_ip + "]" : target.pod_ip;
  return fmt::format("http://{}:{}{}", host, target.tier.port, path);
}

// Secrets are often made from files that end in a line feed. Any other control character would end the
// header early: such a key is not sent, and the engine says 401.
std::string bearer_of(std::string key) {
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r' || key.back() == ' ')) key.pop_back();
  bool clean = std::none_of(key.begin(), key.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  return clean ? key : std::string();
}

void read_body(AskKind kind, const api::Tier& tier, int status, std::string_view body, Answer& answer) {
  switch (kind) {
    case AskKind::Health:
      answer.health = engines::read_health(tier.engine, status, body);
      if (answer.health != engines::HealthReading::Healthy)
        answer.complaint = fmt::format("health answered {}", status);
      return;
    case AskKind::WarmUp: {
      auto complaint = engines::read_warm_up(status, body);
      answer.warmed_up = !complaint;
      answer.complaint = complaint.value_or("");
      return;
    }
    case AskKind::Effective:
      if (status == 200) answer.report = engines::read_effective(tier.engine, body);
      return;
    case AskKind::Version:
      if (status == 200) answer.report = engines::read_version(body);
      return;
    case AskKind::Cache:
      if (status == 200) answer.report = engines::read_cache(tier.engine, body);
      return;
    case AskKind::Usage:
      if (status == 200) answer.usage = engines::read_usage(tier.engine, body);
      return;
    case AskKind::Load:
      if (status == 200) answer.load = engines::read_load(tier.engine, body);
      return;
  }
}

}  // namespace

http::Request make_request(const reconcile::ProbeTarget& target, const Question& question) {
  engines::Ask ask = ask_of(question.kind, target.tier);
  http::Request request;
  request.method = ask.method;
  request.url = url_of(target, ask.path);
  request.body = std::move(ask.body);
  if (!request.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  if (std::string key = bearer_of(target.api_key); !key.empty())
    request.headers.emplace_back("Authorization", "Bearer " + key);
  request.connect_timeout_millis = std::min(connect_timeout_millis, question.deadline_millis);
  request.deadline_millis = question.deadline_millis;
  request.response_bytes_max = answer_bytes_max;
  return request;
}

Answer read_answer(AskKind kind, const api::Tier& tier, const Result<http::Response>& result) {
  Answer answer;
  answer.kind = kind;
  if (result.ok()) {
    read_body(kind, tier, result->status, result->body, answer);
  } else if (result.error().kind == ErrorKind::Timeout) {
    answer.delivery = Delivery::TimedOut;
    answer.health = engines::HealthReading::Failing;
    answer.complaint = fmt::format("{}: no answer in time", name_of(kind));
  } else if (result.error().kind == ErrorKind::Invalid) {
    answer.health = engines::HealthReading::Failing;
    answer.complaint =
        fmt::format("{} answered more than {} KiB, or not in HTTP", name_of(kind), answer_bytes_max / 1024);
  } else {
    answer.delivery = Delivery::Refused;
    answer.health = engines::read_health(tier.engine, 0, "");
    answer.complaint = fmt::format("{}: connection refused or broken", name_of(kind));
  }
  return answer;
}

}  // namespace strix::probe
