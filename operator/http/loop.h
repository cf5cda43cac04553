// Why: one I/O thread owns the libcurl multi handle and every connection, to the API server and to the
// tiers alike, so that no handle is ever used by two threads.
// May not: decide anything, know Kubernetes, follow redirects, use a proxy from the environment, or keep
// a response beyond its bound. Callbacks run on the loop's thread and must not block.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace strix::http {

// Immutable and shared by requests. PEM texts, never file names: libcurl caches a CA file for a day.
struct Tls {
  std::string ca_pem;           // empty: the system's store
  std::string client_cert_pem;  // both or neither
  std::string client_key_pem;
  std::string server_name;  // overrides the name checked, empty: the URL's host
  bool insecure = false;    // a developer's flag; refused in-cluster
};

struct Request {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::shared_ptr<const Tls> tls;
  int64_t connect_timeout_millis = 5'000;
  // From submission to the last byte. For a stream: until the response's headers.
  int64_t deadline_millis = 30'000;
  size_t response_bytes_max = 16u << 20;  // longer is Error{Invalid}; a stream has no total
  bool fresh_connection = false;          // its own connection, not one of the pool (watches, lease)
};

struct Response {
  int status = 0;
  std::string body;
  int retry_after_seconds = 0;  // 0: none was sent
};

using RequestId = uint64_t;  // never reused; 0 is none

struct StreamEvents {
  // The status line came; body bytes follow in arbitrary slices. For statuses over 299 the body is
  // collected and handed over in on_end.
  std::function<void(int status)> on_open;
  std::function<void(std::string_view bytes)> on_bytes;
  // Once, last: the end of the stream. ok: the server ended it (body is empty for 2xx).
  std::function<void(Result<Response>)> on_end;
};

// Owner thread: its own. All public functions may be called from any thread.
class Loop {
 public:
  Loop();   // starts the thread; curl_global_init must have been called
  ~Loop();  // cancels what is under way (with Canceled), then joins
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Blocks until the answer, the deadline or the loop's end. Not from the loop's own thread.
  // Errors: Timeout, Unreachable, Invalid (too long, bad URL), Canceled. An HTTP status is no error here.
  Result<Response> perform(Request request);

  // The same without waiting; `done` runs on the loop's thread, exactly once.
  RequestId start(Request request, std::function<void(Result<Response>)> done);
  RequestId open_stream(Request request, StreamEvents events);
  // Ends a request or stream; its last callback gets Canceled, later, on the loop's thread. Unknown ids are
  // ignored.
  void cancel(RequestId id);

  // Runs on the loop's thread, soon or at the given boot time. Earlier times first, equal ones in order.
  void post(std::function<void()> task);
  void post_at(BootMillis at, std::function<void()> task);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace strix::http
