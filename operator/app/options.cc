#include "app/options.h"

#include <CLI/CLI.hpp>
#include <iostream>

namespace strix::app {

namespace {

struct Raw {
  int lease_duration_seconds = 15, renew_deadline_seconds = 10, retry_period_seconds = 2;
  std::string log_level = "info";
};

void add_run(CLI::App& run, RunOptions& options, Raw& raw) {
  run.add_option("--kubeconfig", options.kubeconfig,
                 "kubeconfig file; default: $KUBECONFIG, in-cluster, ~/.kube/config");
  run.add_option("--namespace", options.namespace_, "look after InferenceStacks of this namespace only");
  run.add_option("--listen", options.listen, "address:port of /healthz, /readyz and /metrics; empty: none")
      ->capture_default_str();
  run.add_flag("--leader-elect,!--no-leader-elect", options.leader_elect,
               "act only while holding the Lease (default)");
  run.add_option("--lease-namespace", options.lease_namespace, "namespace of the Lease")
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
  run.add_option("--workers", options.workers, "passes at once")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  run.add_flag("--allow-privileged-tiers", options.policy.allow_privileged_tiers,
               "accept devices.strategy Privileged");
  run.add_option("--model-roots", options.policy.model_roots,
                 "host folders under which hostPath volumes may lie")
      ->delimiter(',');
  run.add_option("--allowed-images", options.policy.allowed_images,
                 "prefixes of images that tiers may run; default: any")
      ->delimiter(',');
  run.add_option("--log-level", raw.log_level, "debug, info, warn or error")->capture_default_str();
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
  return "";
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Raw raw;
  CLI::App cli{"Strix operator: runs InferenceStacks on machines with one pool of memory", "strix-operator"};
  cli.require_subcommand(1);
  CLI::App* run = cli.add_subcommand("run", "watch InferenceStacks and act");
  CLI::App* version = cli.add_subcommand("version", "print the version");
  add_run(*run, parsed.options.run, raw);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = cli.exit(error);
    return parsed;
  }
  parsed.options.command = version->parsed() ? Options::Command::Version : Options::Command::Run;
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
