// Why: the verbs of the Kubernetes API that the operator uses, as plain calls. It knows no kind of ours:
// a resource is a path, an object is JSON text.
// May not: retry by itself (callers observe again instead), or cache.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/metrics.h"
#include "base/result.h"
#include "http/loop.h"
#include "kube/config.h"
#include "kube/credentials.h"

namespace strix::kube {

// A collection: group "" is the core group.
struct Resource {
  std::string group, version, plural;
};

// "/apis/inference.strix.dev/v1alpha1/namespaces/llm/inferencestacks/strix/status"; empty parts are left
// out. Names are percent-encoded; the subresource is a constant of the caller's and goes as it is.
std::string path_of(const Resource& resource, std::string_view namespace_, std::string_view name = {},
                    std::string_view subresource = {});

struct Query {
  std::string label_selector, field_selector, resource_version, resource_version_match, continue_token;
  int limit = 0;
};

enum class Patch { Apply, Json, Merge, StrategicMerge };

struct Preconditions {
  std::string uid, resource_version;  // empty: not checked
};

// Thread-safe; blocking calls wait at most the configured deadline, and are not for the loop's thread. Every
// request counts in rest_client_requests_total{code,method,host}. On 401 a token older than the request is
// read again and a blocking call is tried once more; one that does not block is left to its caller, whose
// next attempt has the fresh token. libcurl sends a request again by itself when a kept-alive connection
// turns out to be closed before a byte of an answer came: every write of ours is guarded by a name, a uid
// or a resourceVersion, so that the second of two is refused.
class Client {
 public:
  Client(http::Loop& loop, Config config, metrics::Registry& metrics);

  // The body of a 2xx answer; otherwise the error that the server's Status stands for.
  Result<std::string> get(const std::string& path);
  Result<std::string> list(const std::string& path, const Query& query);
  Result<std::string> create(const std::string& path, std::string body, std::string_view field_manager);
  // Apply is sent with force; its body is JSON (which is YAML).
  Result<std::string> patch(const std::string& path, Patch kind, std::string body,
                            std::string_view field_manager);
  Result<std::string> put(const std::string& path, std::string body, std::string_view field_manager);
  // NotFound is an error here; callers decide. propagation: "Background", "Foreground", "Orphan" or "".
  // A negative grace_seconds leaves the object's own.
  Result<std::string> remove(const std::string& path, const Preconditions& preconditions,
                             int64_t grace_seconds, std::string_view propagation);

  // As list, but not blocking; `done` runs on the loop's thread. fresh_connection false.
  http::RequestId start_list(const std::string& path, const Query& query,
                             std::function<void(Result<std::string>)> done);
  // A watch on a connection of its own (HTTP/1.1): `query` becomes the URL's parameters with watch=1,
  // allowWatchBookmarks=true and timeoutSeconds. on_end gets a refusal as a Response with its status and
  // body: error_from_answer in kube/status.h reads it.
  http::RequestId open_watch(const std::string& path, const Query& query, int timeout_seconds,
                             http::StreamEvents events);
  void cancel(http::RequestId id);

  http::Loop& loop() { return loop_; }
  // The same client (credentials, counters) with another deadline a call: for the elector's shorter calls.
  Client with_deadline(int64_t deadline_millis) const;

 private:
  struct Shared;
  struct Call {
    std::string method, path, content_type, body;
  };
  Result<std::string> call(const Call& what);

  http::Loop& loop_;
  std::shared_ptr<Shared> shared_;
  int64_t deadline_millis_ = 30'000;
};

}  // namespace strix::kube
