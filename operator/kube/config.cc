#include "kube/config.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/base64.h"
#include "base/yaml.h"
#include "kube/credentials.h"

namespace strix::kube {

namespace {

constexpr size_t files_max = 16;
constexpr size_t entries_max = 1024;  // of one kind in one file
constexpr std::string_view default_user_agent =
    "strix-operator/0.1.0 (linux/"
#if defined(__x86_64__)
    "amd64)";
#elif defined(__aarch64__)
    "arm64)";
#else
    "unknown)";
#endif

// One named entry of `clusters`, `users` or `contexts`: its scalar members, and where it was found.
struct Section {
  std::map<std::string, std::string> members;
  std::vector<std::string> structured;  // members that are maps or lists (exec, auth-provider)
  std::string file;

  std::string operator[](const std::string& name) const {
    auto found = members.find(name);
    return found == members.end() ? std::string() : found->second;
  }
  bool has_structured(std::string_view name) const {
    for (const std::string& member : structured) {
      if (member == name) return true;
    }
    return false;
  }
};
using Sections = std::map<std::string, Section>;

// Several files as kubectl merges them: what an earlier file names, a later one does not change.
struct Merged {
  std::string current_context;
  Sections clusters, users, contexts;
};

Error invalid(const std::string& file, std::string_view what) {
  return Error{ErrorKind::Invalid, fmt::format("{}: {}", file, what)};
}

// Of a text, or of a boolean as it is written; empty for what is not there. A number is neither: kubectl
// refuses it too, and a token of digits without quotes would have lost its zeros.
Result<std::string> text_of(json::Value value, const std::string& file, std::string_view name) {
  if (value.is_number()) return invalid(file, fmt::format("{} is a number; put it in quotes", name));
  if (value.is_bool()) return std::string(value.boolean_or(false) ? "true" : "false");
  return value.string_or("");
}

Result<Section> section_of(json::Value members, const std::string& file) {
  Section section{{}, {}, file};
  Status read = success();
  members.for_each_member([&](std::string_view key, json::Value value) {
    if (value.is_object() || value.is_array()) section.structured.emplace_back(key);
    auto text = text_of(value, file, key);
    if (!text.ok() && read.ok()) read = text.error();
    bool scalar = value.is_string() || value.is_bool();
    if (text.ok() && scalar) section.members.emplace(key, std::move(text).value());
  });
  if (!read.ok()) return read.error();
  return section;
}

// `list` is [{name: N, <body>: {...}}, ...].
Status merge_list(json::Value list, std::string_view body, const std::string& file, Sections* into) {
  if (!list.exists() || list.is_null()) return success();
  if (!list.is_array()) return invalid(file, fmt::format("{}s is not a list", body));
  if (list.size() > entries_max)
    return invalid(file, fmt::format("{}s has over {} entries", body, entries_max));
  for (size_t i = 0; i < list.size(); ++i) {
    auto name = text_of(list.at(i)["name"], file, fmt::format("the name of an entry of {}s", body));
    if (!name.ok()) return name.error();
    if (name->empty()) return invalid(file, fmt::format("an entry of {}s has no name", body));
    auto section = section_of(list.at(i)[body], file);
    if (!section.ok()) return section.error();
    into->emplace(std::move(name).value(), std::move(section).value());
  }
  return success();
}

Status merge_text(const std::string& text, const std::string& file, Merged* into) {
  auto document = yaml::parse(text);
  if (!document.ok()) return document.error().wrap(file);
  json::Value root = document->root();
  if (root.is_null()) return success();
  if (!root.is_object()) return invalid(file, "not a kubeconfig: the top level is no map");
  auto current = text_of(root["current-context"], file, "current-context");
  if (!current.ok()) return current.error();
  if (into->current_context.empty()) into->current_context = std::move(current).value();
  if (Status merged = merge_list(root["clusters"], "cluster", file, &into->clusters); !merged.ok())
    return merged;
  if (Status merged = merge_list(root["users"], "user", file, &into->users); !merged.ok()) return merged;
  return merge_list(root["contexts"], "context", file, &into->contexts);
}

// A path in a kubeconfig is relative to the folder of that file.
std::string resolve(const std::string& path, const std::string& kubeconfig) {
  if (path.empty() || path.front() == '/') return path;
  size_t slash = kubeconfig.rfind('/');
  return slash == std::string::npos ? path : kubeconfig.substr(0, slash + 1) + path;
}

Error in_section(const Section& section, std::string_view field, std::string_view what) {
  return invalid(section.file, fmt::format("{} {}", field, what));
}

// `field`-data, or else the file that `field` names. Empty when neither is there.
Result<std::string> pem_of(const Section& section, const std::string& field) {
  std::string pem;
  if (std::string data = section[field + "-data"]; !data.empty()) {
    auto decoded = base64_decode(data);
    if (!decoded) return in_section(section, field + "-data", "is not base64");
    pem = std::move(*decoded);
  } else if (std::string path = resolve(section[field], section.file); !path.empty()) {
    auto content = read_small_file(path);
    if (!content.ok()) return content.error().wrap(section.file + ": " + field);
    pem = std::move(content).value();
  } else {
    return pem;
  }
  if (pem.find("-----BEGIN ") == std::string::npos) return in_section(section, field, "is not PEM");
  return pem;
}

// The scheme and what must not be in a server's address.
std::optional<std::string_view> problem_of_server(std::string_view server) {
  if (server.empty()) return "server is missing";
  if (!server.starts_with("https://") && !server.starts_with("http://")) {
    return "server must begin with https:// or http://";
  }
  if (server.find_first_of("@?# \t\r\n") != std::string_view::npos) {
    return "server must not have a user, a query or blanks";
  }
  return std::nullopt;
}

Status read_cluster(const Section& cluster, Config* config, http::Tls* tls) {
  config->server = cluster["server"];
  while (config->server.ends_with('/')) config->server.pop_back();
  if (auto problem = problem_of_server(config->server)) return invalid(cluster.file, *problem);
  if (!cluster["proxy-url"].empty()) return in_section(cluster, "proxy-url", "is not supported");
  tls->server_name = cluster["tls-server-name"];
  tls->insecure = cluster["insecure-skip-tls-verify"] == "true";
  auto ca = pem_of(cluster, "certificate-authority");
  if (!ca.ok()) return ca.error();
  tls->ca_pem = std::move(ca).value();
  if (tls->insecure && !tls->ca_pem.empty()) {
    return in_section(cluster, "insecure-skip-tls-verify", "contradicts certificate-authority");
  }
  if (cluster["certificate-authority-data"].empty()) {
    config->ca_file = resolve(cluster["certificate-authority"], cluster.file);
  }
  return success();
}

// What would make us somebody else than kubectl is with the same file is refused, not passed over.
Status check_user(const Section& user) {
  constexpr std::string_view instead =
      "is not supported; use client-certificate-data and client-key-data, token or tokenFile "
      "(`kubectl create token` makes one for a service account)";
  if (user.has_structured("exec")) return in_section(user, "exec", instead);
  if (user.has_structured("auth-provider")) return in_section(user, "auth-provider", instead);
  if (!user["username"].empty() || !user["password"].empty()) return in_section(user, "username", instead);
  if (!user["as"].empty() || !user["as-uid"].empty() || user.has_structured("as-groups")) {
    return in_section(user, "as (impersonation)", "is not supported");
  }
  return success();
}

Status read_user(const Section& user, Config* config, http::Tls* tls) {
  if (Status usable = check_user(user); !usable.ok()) return usable;
  auto certificate = pem_of(user, "client-certificate");
  if (!certificate.ok()) return certificate.error();
  auto key = pem_of(user, "client-key");
  if (!key.ok()) return key.error();
  if (certificate->empty() != key->empty()) {
    return invalid(user.file, "client-certificate and client-key go together, and one is missing");
  }
  tls->client_cert_pem = std::move(certificate).value();
  tls->client_key_pem = std::move(key).value();
  config->token = user["token"];
  config->token_file = resolve(user["tokenFile"], user.file);
  if (config->token_file.empty()) return success();
  auto token = read_small_file(config->token_file);
  if (!token.ok()) return token.error().wrap(user.file + ": tokenFile");
  config->token = std::move(token).value();
  return success();
}

Result<Config> config_of(const Merged& merged, std::string context, const std::string& files) {
  if (context.empty()) context = merged.current_context;
  if (context.empty()) return invalid(files, "current-context is not set");
  auto chosen = merged.contexts.find(context);
  if (chosen == merged.contexts.end()) {
    return invalid(files, fmt::format("no context is named \"{}\"", context));
  }
  const Section& section = chosen->second;
  auto cluster = merged.clusters.find(section["cluster"]);
  if (cluster == merged.clusters.end()) {
    return invalid(section.file, fmt::format("context \"{}\" names a cluster that is not there", context));
  }
  Config config;
  config.user_agent = default_user_agent;
  config.namespace_ = section["namespace"].empty() ? "default" : section["namespace"];
  http::Tls tls;
  if (Status read = read_cluster(cluster->second, &config, &tls); !read.ok()) return read.error();
  auto user = merged.users.find(section["user"]);
  if (user == merged.users.end() && !section["user"].empty()) {
    return invalid(section.file, fmt::format("context \"{}\" names a user that is not there", context));
  }
  // As client-go: nothing that proves who we are is sent in the clear.
  bool secure = config.server.starts_with("https://");
  if (secure && user != merged.users.end()) {
    if (Status read = read_user(user->second, &config, &tls); !read.ok()) return read.error();
  }
  config.tls = std::make_shared<const http::Tls>(std::move(tls));
  return config;
}

std::vector<std::string> split_paths(std::string_view list) {
  std::vector<std::string> paths;
  while (!list.empty() && paths.size() < files_max) {
    size_t colon = list.find(':');
    if (colon != 0) paths.emplace_back(list.substr(0, colon));
    list = colon == std::string_view::npos ? std::string_view() : list.substr(colon + 1);
  }
  return paths;
}

// $KUBECONFIG: files that are not there are passed over, as long as one is.
Result<Config> load_merged(const std::string& list, const std::string& context) {
  Merged merged;
  size_t read = 0;
  for (const std::string& path : split_paths(list)) {
    auto text = read_small_file(path);
    if (!text.ok() && text.error().kind == ErrorKind::NotFound) continue;
    if (!text.ok()) return text.error();
    if (Status added = merge_text(*text, path, &merged); !added.ok()) return added.error();
    ++read;
  }
  if (read == 0) return Error{ErrorKind::NotFound, list + ": no such kubeconfig"};
  return config_of(merged, context, list);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

Result<Config> choose(const Sources& sources) {
  if (!sources.kubeconfig_flag.empty()) return load_kubeconfig(sources.kubeconfig_flag, "");
  if (!sources.kubeconfig_env.empty()) return load_merged(sources.kubeconfig_env, "");
  auto in_cluster = load_in_cluster(sources);
  if (in_cluster.ok() || sources.home.empty()) return in_cluster;
  auto at_home = load_kubeconfig(sources.home + "/.kube/config", "");
  bool neither = !at_home.ok() && at_home.error().kind == ErrorKind::NotFound;
  // In a pod the reason why the service account cannot be used says more than a missing kubeconfig.
  if (neither && !sources.service_host.empty()) return in_cluster;
  if (!neither) return at_home;
  return Error{ErrorKind::NotFound, "no cluster: not in a pod, and neither --kubeconfig, $KUBECONFIG nor " +
                                        sources.home + "/.kube/config is there"};
}

}  // namespace

Sources sources_from_environment(std::string kubeconfig_flag) {
  Sources sources;
  sources.kubeconfig_flag = std::move(kubeconfig_flag);
  sources.kubeconfig_env = environment("KUBECONFIG");
  sources.service_host = environment("KUBERNETES_SERVICE_HOST");
  sources.service_port = environment("KUBERNETES_SERVICE_PORT");
  sources.home = environment("HOME");
  return sources;
}

Result<Config> load_config(const Sources& sources) {
  auto config = choose(sources);
  if (config.ok() && config->tls->insecure && !sources.service_host.empty()) {
    return Error{ErrorKind::Invalid, "insecure-skip-tls-verify is refused in a cluster: name the CA instead"};
  }
  return config;
}

Result<Config> load_kubeconfig(const std::string& path, const std::string& context) {
  auto text = read_small_file(path);
  if (!text.ok()) return text.error().wrap("kubeconfig");
  Merged merged;
  if (Status added = merge_text(*text, path, &merged); !added.ok()) return added.error();
  return config_of(merged, context, path);
}

Result<Config> load_in_cluster(const Sources& sources) {
  if (sources.service_host.empty() || sources.service_port.empty()) {
    return Error{ErrorKind::NotFound, "not in a pod: KUBERNETES_SERVICE_HOST and _PORT are not set"};
  }
  const std::string& folder = sources.service_account_folder;
  Config config;
  config.token_file = folder + "/token";
  config.ca_file = folder + "/ca.crt";
  auto token = read_small_file(config.token_file);
  if (!token.ok()) return token.error().wrap("service account");
  auto ca = read_small_file(config.ca_file);
  if (!ca.ok()) return ca.error().wrap("service account");
  if (ca->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
    return invalid(config.ca_file, "is not PEM");
  auto own_namespace = read_small_file(folder + "/namespace");
  config.namespace_ =
      own_namespace.ok() ? own_namespace->substr(0, own_namespace->find_first_of(" \t\r\n")) : "";
  if (config.namespace_.empty()) config.namespace_ = "default";
  bool is_ipv6 = sources.service_host.find(':') != std::string::npos;
  std::string host = is_ipv6 ? "[" + sources.service_host + "]" : sources.service_host;
  config.server = "https://" + host + ":" + sources.service_port;
  if (auto problem = problem_of_server(config.server))
    return Error{ErrorKind::Invalid, std::string(*problem)};
  http::Tls tls;
  tls.ca_pem = std::move(ca).value();
  config.token = std::move(token).value();
  config.tls = std::make_shared<const http::Tls>(std::move(tls));
  config.user_agent = default_user_agent;
  return config;
}

}  // namespace strix::kube
