#include "kube/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.h"

using namespace strix;
using namespace strix::kube;

namespace {

class Folder {
 public:
  Folder() {
    std::string name =
        (std::filesystem::temp_directory_path() / ("strix-config-" + std::string(6, 'X'))).string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

// A kubeconfig of one user, one cluster and two contexts; `more` are members of the user.
std::string kubeconfig(const std::string& more, const std::string& cluster = "") {
  return "apiVersion: v1\nkind: Config\ncurrent-context: main\n"
         "clusters:\n- name: here\n  cluster:\n    server: https://127.0.0.1:6443/\n" +
         cluster + "contexts:\n- name: main\n  context: {cluster: here, user: me, namespace: llm}\n" +
         "- name: other\n  context: {cluster: nowhere, user: me}\nusers:\n- name: me\n  user:\n" + more;
}

std::string refusal(const std::string& text, const std::string& context = "") {
  Folder folder;
  auto config = load_kubeconfig(folder.write("config", text), context);
  REQUIRE_FALSE(config.ok());
  REQUIRE(config.error().kind == ErrorKind::Invalid);
  return config.error().text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a kubeconfig's current context is read") {
  Folder folder;
  auto config = load_kubeconfig(folder.write("config", kubeconfig("    token: abc\n")), "");
  REQUIRE(config.ok());
  REQUIRE(config->server == "https://127.0.0.1:6443");
  REQUIRE(config->namespace_ == "llm");
  REQUIRE(config->token == "abc");
}

TEST_CASE("a path in a kubeconfig is relative to it") {
  Folder folder;
  std::string token = folder.write("token", "from a file");
  auto config = load_kubeconfig(folder.write("config", kubeconfig("    tokenFile: token\n")), "");
  REQUIRE(config.ok());
  REQUIRE(config->token == "from a file");
  REQUIRE(config->token_file == token);
}

TEST_CASE("booleans count as they are written, and numbers are refused as kubectl refuses them") {
  Folder folder;
  std::string insecure = kubeconfig("    token: abc\n", "    insecure-skip-tls-verify: true\n");
  auto read = load_kubeconfig(folder.write("config", insecure), "");
  INFO((read.ok() ? "" : read.error().text));
  REQUIRE(read.ok());
  REQUIRE(read->tls->insecure);
  std::string number = refusal(kubeconfig("    token: 0123\n"));
  REQUIRE(has(number, "token is a number; put it in quotes"));
  REQUIRE_FALSE(has(number, "123"));
  REQUIRE(load_kubeconfig(folder.write("config", kubeconfig("    token: '0123'\n")), "")->token == "0123");
}

TEST_CASE("an anchor in a kubeconfig is followed") {
  Folder folder;
  std::string text = kubeconfig("    token: &t abc\n") + "- name: you\n  user: {token: *t}\n";
  REQUIRE(load_kubeconfig(folder.write("config", text), "")->token == "abc");
}

TEST_CASE("a kubeconfig that makes no sense is refused with its file, and no value of it") {
  REQUIRE(has(refusal("[]"), "the top level is no map"));
  REQUIRE(has(refusal("clusters: 7"), "clusters is not a list"));
  REQUIRE(has(refusal("clusters: [{cluster: {}}]"), "an entry of clusters has no name"));
  REQUIRE(has(refusal("kind: Config"), "current-context is not set"));
  REQUIRE(has(refusal(kubeconfig(""), "third"), "no context is named \"third\""));
  REQUIRE(has(refusal(kubeconfig(""), "other"), "names a cluster that is not there"));
  REQUIRE(has(refusal(kubeconfig("    token: a\n    token: b\n")),
              "line 17, column 5: \"token\" is there twice"));
  REQUIRE(has(refusal(kubeconfig("    exec: {command: x}\n")), "exec is not supported"));
  std::string broken = refusal(kubeconfig("    token: \"secret\n"));
  REQUIRE(has(broken, "not readable as YAML"));
  REQUIRE_FALSE(has(broken, "secret"));
}

TEST_CASE("several kubeconfigs are merged, and the first that names a thing wins") {
  Folder folder;
  std::string first = folder.write("first", "users: [{name: me, user: {token: first}}]\n");
  std::string second = folder.write("second", kubeconfig("    token: second\n"));
  Sources sources;
  sources.kubeconfig_env = first + ":/not/there:" + second;
  auto config = load_config(sources);
  REQUIRE(config.ok());
  REQUIRE(config->token == "first");
}
