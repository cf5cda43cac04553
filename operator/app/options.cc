#include "app/options.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <map>

#include "api/names.h"
#include "engines/engine.h"
#include "serve/x509.h"

namespace strix::app {

namespace {

struct Raw {
  int lease_duration_seconds = 15, renew_deadline_seconds = 10, retry_period_seconds = 2;
  std::string log_level = "info";
  std::string listen = "0.0.0.0:8080", webhook_listen;
  std::string webhook_certificates = "managed";
};

// "0.0.0.0:8080"; empty stays empty. What is wrong is returned.
std::string read_address(const std::string& flag, const std::string& text, Address& address) {
  if (text.empty()) return "";
  size_t colon = text.rfind(':');
  const char* end = text.data() + text.size();
  bool number = colon != std::string::npos && colon > 0 &&
                std::from_chars(text.data() + colon + 1, end, address.port).ptr == end;
  if (!number || address.port < 1 || address.port > 65535)
    return flag + ": " + text + " is not address:port, such as 0.0.0.0:8080";
  address.host = text.substr(0, colon);
  return "";
}

void add_policy(CLI::App& command, api::Policy& policy) {
  command.add_flag("--allow-privileged-tiers", policy.allow_privileged_tiers,
                   "accept devices.strategy Privileged");
  command
      .add_option("--model-roots", policy.model_roots, "host folders under which hostPath volumes may lie")
      ->delimiter(',');
  command
      .add_option("--allowed-images", policy.allowed_images,
                  "prefixes of images that tiers may run; default: any")
      ->delimiter(',');
}

struct RawOffline {
  std::string format = "table";
  bool no_colour = false;
  int width = 0;
};

void add_manifests(CLI::App& command, offline::Request& request) {
  command
      .add_option("-f,--filename", request.files,
                  "files, folders, or - for standard input; documents of other kinds are passed over")
      ->required();
  command.add_option("--capabilities", request.capabilities,
                     "file with rows that come before those of the built-in capability table");
  add_policy(command, request.policy);
}

void add_models(CLI::App& command, offline::Request& request) {
  command.add_option("--models", request.models, "folder of a model store to read facts from");
}

void add_facts(CLI::App& command, offline::Request& request) {
  add_models(command, request);
  command.add_option(
      "--node", request.node_facts,
      "file with what was measured of nodes: {name, unifiedMemory, gpuMemory}, a document each");
}

void add_offline(CLI::App& plan, CLI::App& render, CLI::App& validate, offline::Request& request,
                 RawOffline& raw) {
  add_manifests(plan, request);
  add_facts(plan, request);
  plan.add_option("-o,--output", raw.format, "table, json, yaml or svg")
      ->check(CLI::IsMember({"table", "json", "yaml", "svg"}))
      ->capture_default_str();
  plan.add_option("--width", raw.width, "columns of the table; default: the terminal's, or 100")
      ->check(CLI::Range(60, 500));
  plan.add_flag("--no-color", raw.no_colour, "no colours; also with NO_COLOR set, and where no terminal is");
  add_manifests(render, request);
  add_facts(render, request);
  render.add_option("-o,--output", raw.format, "yaml or json")->check(CLI::IsMember({"json", "yaml"}));
  add_manifests(validate, request);
  add_models(validate, request);
}

planner::Style style_of(const RawOffline& raw) {
  winsize window{};
  bool terminal = isatty(STDOUT_FILENO) != 0;
  bool sized = terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
  const char* no_colour = std::getenv("NO_COLOR");
  planner::Style style;
  style.width = raw.width > 0 ? raw.width : sized ? std::clamp<int>(window.ws_col, 60, 160) : 100;
  style.colour = terminal && !raw.no_colour && !(no_colour && *no_colour);
  return style;
}

// Offline nobody gives anything away: without flags every image, folder and privilege is taken as allowed.
void finish_offline(const RawOffline& raw, bool policy_given, offline::Request& request) {
  using offline::Format;
  const std::map<std::string, Format> formats = {
      {"table", Format::Table}, {"json", Format::Json}, {"yaml", Format::Yaml}, {"svg", Format::Svg}};
  request.format = formats.at(raw.format);
  request.style = style_of(raw);
  if (!policy_given) {
    request.policy.allow_privileged_tiers = true;
    request.policy.model_roots = {"/"};
  }
  request.policy.owned_flag = engines::owned_flag;
  request.policy.owned_env = engines::owned_env();
}

bool policy_given(const CLI::App& command) {
  return command.count("--allow-privileged-tiers") + command.count("--model-roots") +
             command.count("--allowed-images") >
         0;
}

void add_run(CLI::App& run, RunOptions& options, Raw& raw) {
  run.add_option("--kubeconfig", options.kubeconfig,
                 "kubeconfig file; default: $KUBECONFIG, in-cluster, ~/.kube/config");
  run.add_option("--namespace", options.namespace_, "look after InferenceStacks of this namespace only");
  run.add_option("--listen", raw.listen, "address:port of /healthz, /readyz and /metrics; empty: none")
      ->capture_default_str();
  run.add_flag("--leader-elect,!--no-leader-elect", options.leader_elect,
               "act only while holding the Lease (default)");
  run.add_option("--lease-namespace", options.lease_namespace,
                 "namespace of the Lease, and of the Secret with the webhook's certificates")
      ->capture_default_str();
  run.add_option("--lease-name", options.lease_name, "name of the Lease")->capture_default_str();
  run.add_option("--lease-duration-seconds", raw.lease_duration_seconds,
                 "how long others wait for a silent leader")
      ->capture_default_str();
  run.add_option("--renew-deadline-seconds", raw.renew_deadline_seconds,
                 "how long the leader tries to renew before it ends")
      ->capture_default_str();
  run.add_option("--retry-period-seconds", raw.retry_period_seconds, "between two tries to renew or acquire")
      ->capture_default_str();
  run.add_option(
      "--capabilities-config-map", options.capabilities_config_map,
      "ConfigMap, in the Lease's namespace, whose key capabilities.yaml has rows that come before the "
      "built-in ones; watched");
  run.add_option("--workers", options.workers, "passes at once")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  add_policy(run, options.policy);
  run.add_option("--log-level", raw.log_level, "debug, info, warn or error")->capture_default_str();
}

void add_webhook(CLI::App& run, WebhookOptions& options, Raw& raw) {
  run.add_option("--webhook-listen", raw.webhook_listen,
                 "address:port of the admission webhook (HTTPS), such as 0.0.0.0:9443; default: none");
  run.add_option("--webhook-certificates", raw.webhook_certificates,
                 "managed: made, renewed and published by the operator; provided: somebody else's")
      ->check(CLI::IsMember({"managed", "provided"}))
      ->capture_default_str();
  run.add_option("--webhook-cert-dir", options.certificate_folder,
                 "folder of tls.crt and tls.key, with --webhook-certificates=provided");
  run.add_option(
         "--webhook-names", options.names,
         "DNS names and addresses that the managed certificate is for; default: those of the Service " +
             std::string(names::webhook_service))
      ->delimiter(',');
}

// What is wrong; empty: all is well.
std::string finish_webhook(const Raw& raw, const std::string& ns, WebhookOptions& options) {
  bool provided = raw.webhook_certificates == "provided";
  if (provided == options.certificate_folder.empty())
    return "--webhook-cert-dir goes with --webhook-certificates=provided, and with nothing else";
  if (options.names.empty()) options.names = {std::string(names::webhook_service) + "." + ns + ".svc"};
  for (std::string& name : options.names) {
    std::string spelled = serve::canonical_name(name);
    if (spelled.empty()) return "--webhook-names: " + name + " is neither a DNS name nor an IP address";
    name = spelled;
  }
  return read_address("--webhook-listen", raw.webhook_listen, options.listen);
}

// What CLI11 cannot check by itself; empty: all is well.
std::string finish_run(const Raw& raw, RunOptions& options) {
  options.election.lease_duration_millis = raw.lease_duration_seconds * 1000LL;
  options.election.renew_deadline_millis = raw.renew_deadline_seconds * 1000LL;
  options.election.retry_period_millis = raw.retry_period_seconds * 1000LL;
  if (!log::parse_level(raw.log_level, &options.log_level))
    return "--log-level: " + raw.log_level + " is none of debug, info, warn, error";
  kube::ElectionSettings named = options.election;
  named.identity = "checked";
  if (auto valid = kube::validate(named); !valid) return valid.error().text;
  std::string wrong = read_address("--listen", raw.listen, options.listen);
  return wrong.empty() ? finish_webhook(raw, options.lease_namespace, options.webhook) : wrong;
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Raw raw;
  CLI::App cli{"Strix operator: runs InferenceStacks on machines with one pool of memory", "strix-operator"};
  cli.require_subcommand(1);
  CLI::App* run = cli.add_subcommand("run", "watch InferenceStacks and act");
  CLI::App* plan = cli.add_subcommand("plan",
                                      "say what a stack holds and whether it fits, without a cluster; exit "
                                      "code 0: it fits, 1: it does not, 2: unreadable");
  CLI::App* render =
      cli.add_subcommand("render", "print the pods and Services of a stack, without a cluster");
  CLI::App* validate = cli.add_subcommand("validate",
                                          "say what is wrong with a stack's spec, by file, line and "
                                          "field; exit code 0: nothing, 1: something, 2: unreadable");
  RawOffline raw_offline;
  CLI::App* version = cli.add_subcommand("version", "print the version");
  add_run(*run, parsed.options.run, raw);
  add_webhook(*run, parsed.options.run.webhook, raw);
  add_offline(*plan, *render, *validate, parsed.options.offline, raw_offline);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = cli.exit(error);
    return parsed;
  }
  using Command = Options::Command;
  for (const auto& [command, app] :
       {std::pair{Command::Version, version}, std::pair{Command::Plan, plan},
        std::pair{Command::Render, render}, std::pair{Command::Validate, validate}}) {
    if (!app->parsed()) continue;
    parsed.options.command = command;
    if (command != Command::Version) finish_offline(raw_offline, policy_given(*app), parsed.options.offline);
  }
  if (run->parsed()) {
    std::string complaint = finish_run(raw, parsed.options.run);
    if (!complaint.empty()) {
      std::cerr << "strix-operator: " << complaint << "\n";
      parsed.exit_code = 2;
    }
  }
  return parsed;
}

}  // namespace strix::app
