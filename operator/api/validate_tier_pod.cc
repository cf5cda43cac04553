// The parts of a tier that end up in its pod and its Service.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "api/names.h"
#include "api/text.h"
#include "api/validate_checks.h"
#include "base/bytes.h"

namespace strix::api::checks {

namespace {

constexpr int port_max = 65535;
constexpr size_t list_max = 32;  // extraArgs, env, annotations
constexpr size_t argument_length_max = 1024;
constexpr size_t env_value_length_max = 4096;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void secret(const std::string& name, const std::string& key, const std::string& path, Findings& findings) {
  if (name.empty() && key.empty()) return;
  if (!is_subdomain(name))
    findings.add(path + ".name", fmt::format("{} is not the name of a Secret", quoted(name)));
  if (key.size() > 253 || !is_word(key, "._-", "._-"))
    findings.add(path + ".key", fmt::format("{} is not a key of a Secret", quoted(key)));
}

// A text that may be left out.
void word(const std::string& path, const std::string& text, size_t length_max, std::string_view extra,
          std::string_view first_extra, Findings& findings) {
  if (text.empty() || (text.size() <= length_max && is_word(text, extra, first_extra))) return;
  findings.add(
      path, fmt::format("{} must be at most {} letters, digits and '{}'", quoted(text), length_max, extra));
}

using Parse = std::optional<int64_t> (*)(std::string_view);

void quantity_pair(const TierSubject& subject, const char* name, const std::string& request,
                   const std::string& limit, Parse parse, Findings& findings) {
  auto read = [&](const char* side, const std::string& text) -> std::optional<int64_t> {
    if (text.empty()) return std::nullopt;
    auto amount = parse(text);
    if (!amount)
      findings.add(fmt::format("{}.resources.{}.{}", subject.path, side, name),
                   fmt::format("{} is not a quantity such as 8 or 48Gi", quoted(text)));
    return amount;
  };
  auto requested = read("requests", request);
  auto limited = read("limits", limit);
  if (requested && limited && *limited < *requested)
    findings.add(fmt::format("{}.resources.limits.{}", subject.path, name),
                 fmt::format("{} is less than the request of {}; raise it, or lower the request",
                             quoted(limit), quoted(request)));
}

}  // namespace

void environment(const std::vector<EnvVar>& env, const std::string& path, Findings& findings) {
  if (env.size() > list_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", env.size(), list_max));
  std::set<std::string> names;
  for (const auto& variable : env) {
    bool digit_first = !variable.name.empty() && variable.name.front() >= '0' && variable.name.front() <= '9';
    if (variable.name.size() > 128 || digit_first || !is_word(variable.name, "_", "_"))
      findings.add(
          path, fmt::format("{} is not a name of a variable; use letters, digits and underscores, no digit "
                            "first",
                            quoted(variable.name)));
    if (!names.insert(variable.name).second)
      findings.add(path, fmt::format("has {} twice; remove one", quoted(variable.name)));
    std::string at = fmt::format("{}[{}]", path, clipped(variable.name, 128));
    if (characters(variable.value) > env_value_length_max || variable.value.find('\0') != std::string::npos)
      findings.add(at + ".value",
                   fmt::format("must be at most {} characters, none of them NUL", env_value_length_max));
    secret(variable.secret_name, variable.secret_key, at + ".valueFrom.secretKeyRef", findings);
  }
}

void tier_numbers(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  const std::string& path = subject.path;
  range(path + ".port", tier.port, 1, port_max, findings);
  if (tier.host_port != 0) range(path + ".hostPort", tier.host_port, 1, port_max, findings);
  range(path + ".maxSequences", tier.max_sequences, 1, 1024, findings);
  if (tier.threads != 0) range(path + ".threads", tier.threads, 1, 1024, findings);
  range(path + ".priority", tier.priority, 0, 100, findings);
  range(path + ".probe.startupDeadlineSeconds", tier.probe.startup_deadline_seconds, 10, 86400, findings);
  range(path + ".restart.backoffSeconds", tier.restart.backoff_seconds, 1, 3600, findings);
  range(path + ".restart.maxBackoffSeconds", tier.restart.max_backoff_seconds, 1, 86400, findings);
  if (tier.restart.max_backoff_seconds < tier.restart.backoff_seconds)
    findings.add(path + ".restart.maxBackoffSeconds",
                 fmt::format("{} is less than backoffSeconds {}; raise it", tier.restart.max_backoff_seconds,
                             tier.restart.backoff_seconds));
  range(path + ".drainTimeoutSeconds", tier.drain_timeout_seconds, 0, 3600, findings);
}

void tier_texts(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  const std::string& path = subject.path;
  if (!tier.image.empty() && !is_image(tier.image))
    findings.add(path + ".image", fmt::format("{} is not the name of a container image", quoted(tier.image)));
  word(path + ".toolCallParser", tier.tool_call_parser, 64, "._-", "._-", findings);
  word(path + ".reasoningParser", tier.reasoning_parser, 64, "._-", "._-", findings);
  word(path + ".chatTemplate", tier.chat_template, 512, "/._-", "/", findings);
  word(path + ".servedModelName", tier.served_model_name, 128, "/._:-", "", findings);
  word(path + ".quantization", tier.quantization, 32, "_-", "_-", findings);
  bool probe_is_path = tier.probe.path.empty() || tier.probe.path.front() == '/';
  if (!probe_is_path || tier.probe.path.size() > 256)
    findings.add(path + ".probe.path", fmt::format("{} must begin with / and have at most 256 characters",
                                                   quoted(tier.probe.path)));
  if (probe_is_path && tier.probe.path.size() > 1)
    word(path + ".probe.path", tier.probe.path.substr(1), 255, "/._~-", "/._~-", findings);
  secret(tier.api_key_secret_name, tier.api_key_secret_key, path + ".apiKeySecretRef", findings);
}

void tier_arguments(const TierSubject& subject, Findings& findings) {
  const auto& arguments = subject.tier.extra_args;
  std::string path = subject.path + ".extraArgs";
  if (arguments.size() > list_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", arguments.size(), list_max));
  for (const auto& argument : arguments)
    if (argument.empty() || characters(argument) > argument_length_max || has_control(argument))
      findings.add(path, fmt::format("{} must be 1 to {} characters without control characters",
                                     quoted(argument), argument_length_max));
  environment(subject.tier.env, subject.path + ".env", findings);
}

void tier_resources(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  quantity_pair(subject, "cpu", tier.requests.cpu, tier.limits.cpu, parse_quantity_milli, findings);
  quantity_pair(subject, "memory", tier.requests.memory, tier.limits.memory, parse_quantity, findings);
}

void tier_service(const TierSubject& subject, Findings& findings) {
  const auto& annotations = subject.tier.service.annotations;
  std::string path = subject.path + ".service.annotations";
  if (annotations.size() > list_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", annotations.size(), list_max));
  for (const auto& [key, value] : annotations) {
    if (!is_qualified_name(key))
      findings.add(path,
                   fmt::format("{} is not a name of an annotation such as example.com/name", quoted(key)));
    if (key.rfind(std::string(names::group) + "/", 0) == 0)
      findings.add(path, fmt::format("{} belongs to the operator; remove it", quoted(key)));
    if (characters(value) > argument_length_max)
      findings.add(
          path, fmt::format("the value of {} has more than {} characters", quoted(key), argument_length_max));
  }
}

}  // namespace strix::api::checks
