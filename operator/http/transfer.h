// Why: one request on one libcurl easy handle, from its options to its answer, so that the loop only
// moves whole transfers about.
// May not: be touched by a thread other than the loop's once it was handed over, or call back into libcurl
// from a callback.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/loop.h"

namespace strix::http {

// Whole seconds of a Retry-After value, at most a day; 0 for anything else, dates included.
int parse_retry_after(std::string_view value);

// Owner thread: the loop's. libcurl keeps pointers into it, so it neither moves nor is copied.
class Transfer {
 public:
  using Done = std::function<void(Result<Response>)>;

  Transfer(RequestId id, Request request, BootMillis deadline, Done done);
  Transfer(RequestId id, Request request, BootMillis deadline, StreamEvents events);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  RequestId id() const { return id_; }
  BootMillis deadline() const { return deadline_; }
  // Those that share the pool wait for their turn; a stream and a request with its own connection do not.
  bool pooled() const { return !stream_ && !request_.fresh_connection; }
  // A stream that is open has no deadline any more; its owner's watchdog ends it.
  bool deadline_applies() const { return !(stream_ && opened_); }

  // Makes the easy handle. Errors: Invalid for a request that cannot be sent, Internal.
  Status prepare();
  CURL* handle() const { return easy_.get(); }

  // What libcurl's verdict means, once the transfer is over.
  Result<Response> outcome(CURLcode code);
  Error timed_out() const;
  // The last callback; a second call does nothing.
  void complete(Result<Response> result);

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using List = std::unique_ptr<curl_slist, FreeList>;

  static size_t on_header(char* bytes, size_t size, size_t count, void* self);
  static size_t on_body(char* bytes, size_t size, size_t count, void* self);
  static int on_socket(void* self, curl_socket_t socket, curlsocktype purpose);

  Status check() const;
  bool set_method();
  bool set_tls();
  bool set_server_name();
  bool set_headers();
  bool set_limits();
  bool take_header(std::string_view line);
  bool take_body(std::string_view bytes);
  bool headers_complete();
  std::string origin() const;  // scheme, host and port: what an error may say of a URL

  // A list in one step, so that none is lost when libcurl runs out of memory.
  static bool append(List& list, const std::string& line);

  RequestId id_;
  Request request_;
  BootMillis deadline_;
  bool stream_;
  Done done_;
  StreamEvents events_;

  bool opened_ = false;  // a stream's 2xx headers are complete
  bool too_long_ = false;
  size_t header_bytes_ = 0;
  Response response_;
  char error_text_[CURL_ERROR_SIZE] = {};
  List headers_, connect_to_;
  std::unique_ptr<CURL, FreeEasy> easy_;  // last: it goes first, and it points at all of the above
};

}  // namespace strix::http
