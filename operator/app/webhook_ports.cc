#include "app/webhook_ports.h"

#include "app/resources.h"
#include "base/base64.h"
#include "base/time.h"

namespace strix::app {

namespace {

using kube::Patch;
using kube::path_of;

Result<serve::StoredSecret> read_secret(kube::Client& client, const std::string& path) {
  auto answer = client.get(path);
  if (!answer && answer.error().kind == ErrorKind::NotFound)
    return answer.error().wrap("`kubectl apply -k manifests/webhook` makes this Secret");
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  json::Value root = document->root();
  serve::StoredSecret secret;
  secret.uid = root["metadata"]["uid"].string_or("");
  secret.resource_version = root["metadata"]["resourceVersion"].string_or("");
  root["data"].for_each_member([&](std::string_view key, json::Value value) {
    secret.data[std::string(key)] = base64_decode(value.string_or("")).value_or("");
  });
  return secret;
}

// Opens {"metadata":{"uid":...,"resourceVersion":...}: the API server refuses what was seen otherwise.
json::Writer begin_patch(const std::string& uid, const std::string& resource_version) {
  json::Writer w;
  w.begin_object().key("metadata").begin_object();
  w.member("uid", uid).member("resourceVersion", resource_version).end_object();
  return w;
}

Status write_secret(kube::Client& client, const std::string& path, const serve::StoredSecret& seen,
                    const serve::SecretData& data) {
  json::Writer w = begin_patch(seen.uid, seen.resource_version);
  w.key("data").begin_object();
  for (const auto& [key, bytes] : data) w.member(key, base64_encode(bytes));
  w.end_object().end_object();
  auto answer = client.patch(path, Patch::Merge, w.take(), names::manager);
  if (!answer) return answer.error();
  return success();
}

Result<std::optional<serve::Registration>> read_registration(kube::Client& client, const std::string& path) {
  auto answer = client.get(path);
  std::optional<serve::Registration> found;
  if (!answer && answer.error().kind == ErrorKind::NotFound) return found;
  if (!answer) return answer.error();
  auto document = json::Document::parse(*answer);
  if (!document) return document.error();
  json::Value root = document->root();
  root["webhooks"].for_each([&](json::Value webhook) {
    if (webhook["name"].string() != names::webhook) return;
    found = {root["metadata"]["uid"].string_or(""), root["metadata"]["resourceVersion"].string_or(""),
             base64_decode(webhook["clientConfig"]["caBundle"].string_or("")).value_or("")};
  });
  return found;
}

Status write_registration(kube::Client& client, const std::string& path, const serve::Registration& seen,
                          const std::string& bundle) {
  json::Writer w = begin_patch(seen.uid, seen.resource_version);
  w.key("webhooks").begin_array().begin_object().key("name").string(names::webhook);
  w.key("clientConfig").begin_object().member("caBundle", base64_encode(bundle)).end_object();
  w.end_object().end_array().end_object();
  auto answer = client.patch(path, Patch::StrategicMerge, w.take(), names::manager);
  if (!answer) return answer.error();
  return success();
}

}  // namespace

serve::RotationPorts rotation_ports(kube::Client& client, const std::string& ns) {
  std::string secret = path_of(secrets, ns, names::webhook_secret);
  std::string registration = path_of(webhook_configurations, "", names::webhook_configuration);
  serve::RotationPorts ports;
  ports.read_secret = [&client, secret] { return read_secret(client, secret); };
  ports.write_secret = [&client, secret](const auto& seen, const auto& data) {
    return write_secret(client, secret, seen, data);
  };
  ports.read_registration = [&client, registration] { return read_registration(client, registration); };
  ports.write_registration = [&client, registration](const auto& seen, const std::string& bundle) {
    return write_registration(client, registration, seen, bundle);
  };
  ports.now = wall_now;
  return ports;
}

}  // namespace strix::app
