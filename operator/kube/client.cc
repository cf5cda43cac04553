#include "kube/client.h"

#include <fmt/format.h>

#include "kube/status.h"

namespace strix::kube {

namespace {

constexpr std::string_view requests_metric = "rest_client_requests_total";
constexpr std::string_view no_answer_code = "<error>";  // as client-go spells it

// All but the unreserved characters of RFC 3986, so that what is encoded is right in paths and queries.
std::string percent_encode(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                 c == '_' || c == '.' || c == '~';
    auto byte = static_cast<unsigned char>(c);
    if (plain) {
      encoded += c;
    } else {
      encoded += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return encoded;
}

void add_parameter(std::string& query, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  query += query.empty() ? '?' : '&';
  query += fmt::format("{}={}", name, percent_encode(value));
}

std::string parameters_of(const Query& query) {
  std::string text;
  add_parameter(text, "labelSelector", query.label_selector);
  add_parameter(text, "fieldSelector", query.field_selector);
  add_parameter(text, "resourceVersion", query.resource_version);
  add_parameter(text, "resourceVersionMatch", query.resource_version_match);
  add_parameter(text, "continue", query.continue_token);
  if (query.limit > 0) add_parameter(text, "limit", std::to_string(query.limit));
  return text;
}

std::string_view content_type_of(Patch kind) {
  switch (kind) {
    case Patch::Apply:
      return "application/apply-patch+yaml";
    case Patch::Json:
      return "application/json-patch+json";
    case Patch::Merge:
      return "application/merge-patch+json";
    case Patch::StrategicMerge:
      return "application/strategic-merge-patch+json";
  }
  return "application/json";
}

// host:port of the server, the label of the metric.
std::string host_of(std::string_view server) {
  size_t start = server.find("://");
  start = start == std::string_view::npos ? 0 : start + 3;
  return std::string(server.substr(start, server.find('/', start) - start));
}

std::string delete_options(const Preconditions& preconditions, int64_t grace_seconds,
                           std::string_view propagation) {
  json::Writer writer;
  writer.begin_object().member("apiVersion", "v1").member("kind", "DeleteOptions");
  if (grace_seconds >= 0) writer.member("gracePeriodSeconds", grace_seconds);
  if (!preconditions.uid.empty() || !preconditions.resource_version.empty()) {
    writer.key("preconditions").begin_object();
    if (!preconditions.uid.empty()) writer.member("uid", preconditions.uid);
    if (!preconditions.resource_version.empty())
      writer.member("resourceVersion", preconditions.resource_version);
    writer.end_object();
  }
  if (!propagation.empty()) writer.member("propagationPolicy", propagation);
  writer.end_object();
  return writer.take();
}

// A call's verb and path, without its parameters (a continue token is long and says nothing).
std::string target_of(std::string_view method, std::string_view path) {
  return fmt::format("{} {}", method, path.substr(0, path.find('?')));
}

Result<std::string> body_or_error(Result<http::Response> result, std::string_view method,
                                  std::string_view path) {
  if (!result.ok()) return result.error().wrap(target_of(method, path));
  http::Response response = std::move(result).value();
  if (response.status >= 200 && response.status < 300) return std::move(response.body);
  return error_from_answer(response.status, response.body, response.retry_after_seconds)
      .wrap(target_of(method, path));
}

}  // namespace

std::string path_of(const Resource& resource, std::string_view namespace_, std::string_view name,
                    std::string_view subresource) {
  std::string path = resource.group.empty() ? "/api" : "/apis/" + percent_encode(resource.group);
  path += "/" + percent_encode(resource.version);
  if (!namespace_.empty()) path += "/namespaces/" + percent_encode(namespace_);
  path += "/" + percent_encode(resource.plural);
  if (!name.empty()) path += "/" + percent_encode(name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

// Shared by the copies of a Client and by the callbacks that outlive it.
struct Client::Shared {
  Shared(Config c, metrics::Registry& m)
      : config(std::move(c)), credentials(config), metrics(m), host(host_of(config.server)) {}

  http::Request request(std::string_view method, std::string_view path_and_query, BootMillis now) {
    Identity identity = credentials.current(now);
    http::Request request;
    request.method = method;
    request.url = config.server + std::string(path_and_query);
    request.headers.emplace_back("Accept", "application/json, */*");
    request.headers.emplace_back("User-Agent", config.user_agent);
    if (!identity.authorization.empty())
      request.headers.emplace_back("Authorization", identity.authorization);
    request.tls = identity.tls;
    return request;
  }

  void count(std::string_view method, std::string_view code) {
    metrics.add(requests_metric,
                {{"code", std::string(code)}, {"method", std::string(method)}, {"host", host}});
  }

  // Counts an answer; true when it says that the credentials of a request that started then are refused.
  bool take_note(std::string_view method, const Result<http::Response>& result, BootMillis started) {
    count(method, result.ok() ? std::to_string(result->status) : std::string(no_answer_code));
    bool refused = result.ok() && result->status == 401;
    if (refused) credentials.reject_older_than(started);
    return refused;
  }

  const Config config;
  Credentials credentials;
  metrics::Registry& metrics;
  const std::string host;
};

Client::Client(http::Loop& loop, Config config, metrics::Registry& metrics)
    : loop_(loop), shared_(std::make_shared<Shared>(std::move(config), metrics)) {
  metrics.describe(requests_metric, "counter", "Requests to the API server by code, method and host.");
}

Client Client::with_deadline(int64_t deadline_millis) const {
  Client copy = *this;
  copy.deadline_millis_ = deadline_millis;
  return copy;
}

Result<std::string> Client::call(const Call& what) {
  BootMillis deadline = boot_now() + deadline_millis_;
  for (int attempt = 1;; ++attempt) {
    BootMillis started = boot_now();
    http::Request request = shared_->request(what.method, what.path, started);
    if (!what.content_type.empty()) request.headers.emplace_back("Content-Type", what.content_type);
    request.body = what.body;
    request.deadline_millis = deadline - started;
    auto result = loop_.perform(std::move(request));
    bool refused = shared_->take_note(what.method, result, started);
    // The server did nothing on a 401, so that even a create may be sent again.
    if (refused && attempt == 1 && boot_now() < deadline) continue;
    return body_or_error(std::move(result), what.method, what.path);
  }
}

Result<std::string> Client::get(const std::string& path) {
  return call({"GET", path, "", ""});
}

Result<std::string> Client::list(const std::string& path, const Query& query) {
  return call({"GET", path + parameters_of(query), "", ""});
}

Result<std::string> Client::create(const std::string& path, std::string body,
                                   std::string_view field_manager) {
  std::string parameters;
  add_parameter(parameters, "fieldManager", field_manager);
  return call({"POST", path + parameters, "application/json", std::move(body)});
}

Result<std::string> Client::patch(const std::string& path, Patch kind, std::string body,
                                  std::string_view field_manager) {
  std::string parameters;
  add_parameter(parameters, "fieldManager", field_manager);
  if (kind == Patch::Apply) add_parameter(parameters, "force", "true");
  return call({"PATCH", path + parameters, std::string(content_type_of(kind)), std::move(body)});
}

Result<std::string> Client::put(const std::string& path, std::string body, std::string_view field_manager) {
  std::string parameters;
  add_parameter(parameters, "fieldManager", field_manager);
  return call({"PUT", path + parameters, "application/json", std::move(body)});
}

Result<std::string> Client::remove(const std::string& path, const Preconditions& preconditions,
                                   int64_t grace_seconds, std::string_view propagation) {
  return call(
      {"DELETE", path, "application/json", delete_options(preconditions, grace_seconds, propagation)});
}

http::RequestId Client::start_list(const std::string& path, const Query& query,
                                   std::function<void(Result<std::string>)> done) {
  BootMillis started = boot_now();
  http::Request request = shared_->request("GET", path + parameters_of(query), started);
  request.deadline_millis = deadline_millis_;
  return loop_.start(std::move(request), [shared = shared_, path, started,
                                          done = std::move(done)](Result<http::Response> result) {
    shared->take_note("GET", result, started);
    done(body_or_error(std::move(result), "GET", path));
  });
}

http::RequestId Client::open_watch(const std::string& path, const Query& query, int timeout_seconds,
                                   http::StreamEvents events) {
  std::string parameters = parameters_of(query);
  add_parameter(parameters, "watch", "1");
  add_parameter(parameters, "allowWatchBookmarks", "true");
  if (timeout_seconds > 0) add_parameter(parameters, "timeoutSeconds", std::to_string(timeout_seconds));
  BootMillis started = boot_now();
  http::Request request = shared_->request("GET", path + parameters, started);
  request.deadline_millis = deadline_millis_;
  request.fresh_connection = true;
  // Counted when it opens: it may stay open for minutes.
  auto opened = std::make_shared<bool>(false);
  http::StreamEvents counted;
  counted.on_open = [shared = shared_, opened, user = std::move(events.on_open), started](int status) {
    *opened = true;
    shared->count("GET", std::to_string(status));
    if (status == 401) shared->credentials.reject_older_than(started);
    if (user) user(status);
  };
  counted.on_bytes = std::move(events.on_bytes);
  counted.on_end = [shared = shared_, opened,
                    user = std::move(events.on_end)](Result<http::Response> result) {
    if (!*opened) shared->count("GET", no_answer_code);
    if (user) user(std::move(result));
  };
  return loop_.open_stream(std::move(request), std::move(counted));
}

void Client::cancel(http::RequestId id) {
  loop_.cancel(id);
}

}  // namespace strix::kube
