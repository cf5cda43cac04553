// Why: where the API server is and how to prove who we are: from a kubeconfig or from inside a pod.
// May not: talk to the server, or print what it read (tokens and keys are in it).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "http/loop.h"

namespace strix::kube {

struct Config {
  std::string server;  // https://host:port, no trailing slash
  std::shared_ptr<const http::Tls> tls;
  std::string token;       // a fixed bearer token
  std::string token_file;  // re-read at most once a minute; wins over token
  std::string ca_file;     // re-read by content, as the CA may rotate; empty: tls has all
  std::string namespace_;  // the context's or the pod's own
  std::string user_agent;  // "strix-operator/0.1.0 (linux/amd64)"
};

// In the order of controller-runtime: an explicit path, $KUBECONFIG, in-cluster, ~/.kube/config.
// `environment` is read through this, so that tests need no setenv.
struct Sources {
  std::string kubeconfig_flag;
  std::string kubeconfig_env;
  std::string service_host, service_port;  // KUBERNETES_SERVICE_HOST and _PORT
  std::string service_account_folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string home;
};
Sources sources_from_environment(std::string kubeconfig_flag);

// Errors: Invalid, NotFound; the text names the file and the field, never a value.
Result<Config> load_config(const Sources& sources);
Result<Config> load_kubeconfig(const std::string& path, const std::string& context);
Result<Config> load_in_cluster(const Sources& sources);

}  // namespace strix::kube
