// Why: the command line, read once into plain values; what may be said there and what it means stands here.
// May not: act on anything.
#pragma once

#include <string>
#include <vector>

#include "api/validate.h"
#include "base/log.h"
#include "base/result.h"
#include "kube/lease_machine.h"
#include "offline/commands.h"

namespace strix::app {

struct Address {
  std::string host;  // empty: nothing is listened on
  int port = 0;
};

struct WebhookOptions {
  Address listen;
  std::vector<std::string> names;  // that its certificate is for; canonical
  std::string certificate_folder;  // of tls.crt and tls.key that somebody else keeps; empty: kept here
};

struct RunOptions {
  std::string kubeconfig;  // empty: $KUBECONFIG, then in-cluster, then ~/.kube/config
  std::string namespace_;  // empty: every namespace
  Address listen;
  WebhookOptions webhook;
  bool leader_elect = true;
  std::string lease_namespace = "strix-system";
  std::string lease_name = "strix-operator";
  kube::ElectionSettings election;
  std::string capabilities_config_map;  // in lease_namespace; empty: none
  int workers = 4;
  api::Policy policy;
  log::Level log_level = log::Level::Info;
};

struct Options {
  enum class Command { Run, Plan, Render, Validate, Version };
  Command command = Command::Run;
  RunOptions run;
  offline::Request offline;  // of plan, render and validate
};

struct ParsedOptions {
  Options options;
  int exit_code = -1;  // >= 0: everything is said (help, or what is wrong); leave with this
};

// Prints help and complaints itself, as a command line program does.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace strix::app
