#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "api/names.h"
#include "base/yaml.h"
#include "catch.h"
#include "source_dir.h"

using namespace strix;

namespace {

const std::string folder = fake::source_dir() + "/manifests";

std::vector<yaml::Document> read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto documents = yaml::parse_all(text.str());
  INFO(path.string());
  REQUIRE(documents.ok());
  return std::move(documents).value();
}

// By kind and name, of all of manifests/.
std::map<std::string, yaml::Document> objects() {
  std::map<std::string, yaml::Document> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    for (auto& document : read(entry.path())) {
      json::Value root = document.root();
      std::string key = root["kind"].string_or("") + "/" + root["metadata"]["name"].string_or("");
      found.emplace(key, std::move(document));
    }
  }
  return found;
}

std::string first(json::Value list) {
  return list.size() == 1 ? list.at(0).string_or("") : "";
}

}  // namespace

TEST_CASE("no right is a wildcard, and Secrets and webhooks are granted by name alone") {
  int rules = 0;
  for (const auto& [key, document] : objects()) {
    if (key.find("Role/") == std::string::npos) continue;
    document.root()["rules"].for_each([&, name = key](json::Value rule) {
      ++rules;
      std::string text = rule.dump();
      CAPTURE(name, text);
      CHECK(text.find('*') == std::string::npos);
      std::string resource = first(rule["resources"]);
      bool named = rule["resourceNames"].size() > 0;
      // In a namespace, where somebody binds it for the keys that he names.
      bool api_keys = name == "ClusterRole/strix-operator-api-keys";
      CHECK((named || api_keys || (resource != "secrets" && resource != "validatingwebhookconfigurations")));
    });
  }
  REQUIRE(rules > 10);
}

TEST_CASE("the webhook's manifests say the names that the operator knows") {
  auto all = objects();
  auto configuration =
      all.find("ValidatingWebhookConfiguration/" + std::string(names::webhook_configuration));
  REQUIRE(configuration != all.end());
  REQUIRE(configuration->second.root()["webhooks"].size() == 1);
  json::Value webhook = configuration->second.root()["webhooks"].at(0);
  CHECK(webhook["name"].string() == names::webhook);
  json::Value service = webhook["clientConfig"]["service"];
  CHECK(service["name"].string() == names::webhook_service);
  CHECK(service["path"].string() == names::webhook_path);
  CHECK(webhook["rules"].size() == 1);
  json::Value rule = webhook["rules"].at(0);
  CHECK(first(rule["apiGroups"]) == names::group);
  CHECK(first(rule["apiVersions"]) == names::version);
  CHECK(first(rule["resources"]) == names::plural);
  CHECK(webhook["failurePolicy"].string() == "Ignore");
  CHECK(webhook["sideEffects"].string() == "None");
  CHECK_FALSE(webhook["clientConfig"]["caBundle"].exists());
  REQUIRE(all.contains("Service/" + std::string(names::webhook_service)));
  auto secret = all.find("Secret/" + std::string(names::webhook_secret));
  REQUIRE(secret != all.end());
  CHECK_FALSE(secret->second.root()["data"].exists());
  auto role = all.find("Role/strix-operator-webhook"),
       cluster_role = all.find("ClusterRole/strix-operator-webhook");
  REQUIRE((role != all.end() && cluster_role != all.end()));
  CHECK(first(role->second.root()["rules"].at(0)["resourceNames"]) == names::webhook_secret);
  CHECK(first(cluster_role->second.root()["rules"].at(0)["resourceNames"]) == names::webhook_configuration);
}
