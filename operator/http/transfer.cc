#include "http/transfer.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

namespace strix::http {

namespace {

constexpr size_t request_bytes_max = 16u << 20;  // ours are below 1 MiB; etcd takes 1.5
constexpr size_t header_bytes_max = 256u << 10;
constexpr long receive_buffer_bytes = 16 * 1024;        // held only while a request runs
constexpr long stream_receive_buffer_bytes = 4 * 1024;  // held for as long as the watch
constexpr long upload_buffer_bytes = 16 * 1024;         // libcurl's smallest
// A Go server drops idle connections after 90 s or more: ours are never reused near that.
constexpr long connection_idle_seconds_max = 60;
// Renewed so that a moved endpoint and rotated certificates are picked up.
constexpr long connection_lifetime_seconds_max = 300;
// Keepalive probes find a peer that went away while nothing was sent; the user timeout one that went
// away with data of ours on the way. Together a dead watch ends within a minute or so.
constexpr long keepalive_idle_seconds = 30;
constexpr long keepalive_interval_seconds = 10;
constexpr int unacknowledged_millis_max = 30'000;
constexpr int retry_after_seconds_max = 24 * 3600;

template <typename T>
bool set(CURL* easy, CURLoption option, T value) {
  return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

// The blob is not copied: the Transfer holds the Tls for as long as libcurl may read it.
bool set_blob(CURL* easy, CURLoption option, const std::string& text) {
  curl_blob blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
  return curl_easy_setopt(easy, option, &blob) == CURLE_OK;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// No line breaks: a value with one would be a second header.
bool is_header_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool has_header(const Request& request, std::string_view name) {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [&](const auto& header) { return equal_ignoring_case(header.first, name); });
}

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  if (url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) url.reset();
  return url;
}

std::string part_of(const Url& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (!url || curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

ErrorKind kind_of(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:     // our own certificate or key
    case CURLE_SSL_CACERT_BADFILE:  // our own CA
      return ErrorKind::Invalid;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return ErrorKind::Internal;
    default:
      return ErrorKind::Unreachable;
  }
}

}  // namespace

int parse_retry_after(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  int64_t seconds = 0;
  for (char c : value) {
    if (c < '0' || c > '9') return 0;
    seconds = std::min<int64_t>(seconds * 10 + (c - '0'), retry_after_seconds_max);
  }
  return static_cast<int>(seconds);
}

Transfer::Transfer(RequestId id, Request request, BootMillis deadline, Done done)
    : id_(id), request_(std::move(request)), deadline_(deadline), stream_(false), done_(std::move(done)) {}

Transfer::Transfer(RequestId id, Request request, BootMillis deadline, StreamEvents events)
    : id_(id), request_(std::move(request)), deadline_(deadline), stream_(true), events_(std::move(events)) {
  done_ = std::move(events_.on_end);
}

Status Transfer::check() const {
  if (!is_token(request_.method)) return Error{ErrorKind::Invalid, "the method is no token"};
  if (request_.body.size() > request_bytes_max) {
    return Error{ErrorKind::Invalid, fmt::format("the body of {} bytes is longer than the {} allowed",
                                                 request_.body.size(), request_bytes_max)};
  }
  for (const auto& [name, value] : request_.headers) {
    if (!is_token(name) || !is_header_value(value)) {
      return Error{ErrorKind::Invalid, "a header name or value has characters that cannot be sent"};
    }
  }
  std::string scheme = part_of(parse_url(request_.url), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return Error{ErrorKind::Invalid, "not an http or https URL"};
  return success();
}

Status Transfer::prepare() {
  if (Status valid = check(); !valid.ok()) return valid.error();
  easy_.reset(curl_easy_init());
  CURL* easy = easy_.get();
  bool ok = easy && set(easy, CURLOPT_URL, request_.url.c_str()) && set(easy, CURLOPT_PRIVATE, this) &&
            set(easy, CURLOPT_ERRORBUFFER, error_text_) && set(easy, CURLOPT_WRITEFUNCTION, &on_body) &&
            set(easy, CURLOPT_WRITEDATA, this) && set(easy, CURLOPT_HEADERFUNCTION, &on_header) &&
            set(easy, CURLOPT_HEADERDATA, this) && set(easy, CURLOPT_SOCKOPTFUNCTION, &on_socket) &&
            set(easy, CURLOPT_SOCKOPTDATA, this) && set_limits() && set_method() && set_tls() &&
            set_headers();
  if (!ok) return Error{ErrorKind::Internal, "libcurl refused an option of " + origin()};
  return success();
}

// HTTP/1.1 for everything: one request a connection at a time, so that a stalled answer delays nobody
// else and a dead connection takes one watch with it, not all (HTTP/2 would put them on one).
bool Transfer::set_limits() {
  CURL* easy = easy_.get();
  bool alone = stream_ || request_.fresh_connection;
  return set(easy, CURLOPT_NOSIGNAL, 1L) && set(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
         set(easy, CURLOPT_PROXY, "") && set(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
         set(easy, CURLOPT_PATH_AS_IS, 1L) && set(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1}) &&
         set(easy, CURLOPT_CONNECTTIMEOUT_MS,
             static_cast<long>(std::max<int64_t>(1, request_.connect_timeout_millis))) &&
         set(easy, CURLOPT_TCP_NODELAY, 1L) && set(easy, CURLOPT_TCP_KEEPALIVE, 1L) &&
         set(easy, CURLOPT_TCP_KEEPIDLE, keepalive_idle_seconds) &&
         set(easy, CURLOPT_TCP_KEEPINTVL, keepalive_interval_seconds) &&
         set(easy, CURLOPT_MAXAGE_CONN, connection_idle_seconds_max) &&
         set(easy, CURLOPT_MAXLIFETIME_CONN, connection_lifetime_seconds_max) &&
         set(easy, CURLOPT_FRESH_CONNECT, alone ? 1L : 0L) &&
         set(easy, CURLOPT_FORBID_REUSE, alone ? 1L : 0L) &&
         set(easy, CURLOPT_BUFFERSIZE, stream_ ? stream_receive_buffer_bytes : receive_buffer_bytes) &&
         set(easy, CURLOPT_UPLOAD_BUFFERSIZE, upload_buffer_bytes) &&
         // Without it a transfer that ends while its name is being looked up blocks the loop in getaddrinfo.
         set(easy, CURLOPT_QUICK_EXIT, 1L);
}

bool Transfer::set_method() {
  CURL* easy = easy_.get();
  const std::string& method = request_.method;
  if (method == "HEAD") return set(easy, CURLOPT_NOBODY, 1L);
  bool with_body = !request_.body.empty() || method == "POST" || method == "PUT" || method == "PATCH";
  if (!with_body) return method == "GET" || set(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  return set(easy, CURLOPT_POST, 1L) && set(easy, CURLOPT_POSTFIELDS, request_.body.c_str()) &&
         set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size())) &&
         set(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
}

// Each new connection parses the blobs into an SSL_CTX of its own: a bundle of one or two CAs costs some
// tens of KiB and well under a millisecond, the system's whole store a hundred times that.
bool Transfer::set_tls() {
  if (!request_.tls) return true;
  CURL* easy = easy_.get();
  const Tls& tls = *request_.tls;
  // Sessions are cached per handle and ours live for one request.
  if (!set(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L)) return false;
  if (!set(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2})) return false;
  if (!tls.ca_pem.empty()) {
    // The folder of the system's CAs is searched beside a blob unless it is taken away.
    const char* none = nullptr;
    if (!set_blob(easy, CURLOPT_CAINFO_BLOB, tls.ca_pem) || !set(easy, CURLOPT_CAPATH, none)) return false;
  }
  if (!tls.client_cert_pem.empty()) {
    if (!set_blob(easy, CURLOPT_SSLCERT_BLOB, tls.client_cert_pem)) return false;
    if (!set_blob(easy, CURLOPT_SSLKEY_BLOB, tls.client_key_pem)) return false;
    if (!set(easy, CURLOPT_SSLCERTTYPE, "PEM") || !set(easy, CURLOPT_SSLKEYTYPE, "PEM")) return false;
  }
  if (tls.insecure) {
    return set(easy, CURLOPT_SSL_VERIFYPEER, 0L) && set(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  return tls.server_name.empty() || set_server_name();
}

// libcurl takes the name it checks from the URL: the URL gets the name, and the connection and the Host
// header stay with the real host.
bool Transfer::set_server_name() {
  Url url = parse_url(request_.url);
  std::string host = part_of(url, CURLUPART_HOST);
  std::string port = part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (part_of(url, CURLUPART_SCHEME) != "https" || host.empty()) return true;
  if (curl_url_set(url.get(), CURLUPART_HOST, request_.tls->server_name.c_str(), 0) != CURLUE_OK)
    return false;
  if (!has_header(request_, "Host")) request_.headers.emplace_back("Host", host + ":" + port);
  return append(connect_to_, "::" + host + ":" + port) &&
         set(easy_.get(), CURLOPT_CONNECT_TO, connect_to_.get()) &&
         set(easy_.get(), CURLOPT_URL, part_of(url, CURLUPART_URL).c_str());
}

bool Transfer::append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (!longer) return false;
  static_cast<void>(list.release());
  list.reset(longer);
  return true;
}

bool Transfer::set_headers() {
  // A large body would otherwise wait a second for "100 Continue"; a body without a type is no form.
  if (!append(headers_, "Expect:")) return false;
  if (!has_header(request_, "Content-Type") && !append(headers_, "Content-Type:")) return false;
  for (const auto& [name, value] : request_.headers) {
    if (!append(headers_, value.empty() ? name + ";" : name + ": " + value)) return false;
  }
  return set(easy_.get(), CURLOPT_HTTPHEADER, headers_.get());
}

int Transfer::on_socket(void*, curl_socket_t socket, curlsocktype purpose) {
  if (purpose == CURLSOCKTYPE_IPCXN) {
    // Not fatal where it is not supported: the keepalive probes still find a dead peer, later.
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_millis_max,
               sizeof(unacknowledged_millis_max));
  }
  return CURL_SOCKOPT_OK;
}

size_t Transfer::on_header(char* bytes, size_t size, size_t count, void* self) {
  return static_cast<Transfer*>(self)->take_header({bytes, size * count}) ? size * count : 0;
}

size_t Transfer::on_body(char* bytes, size_t size, size_t count, void* self) {
  std::string_view slice(bytes, size * count);
  return static_cast<Transfer*>(self)->take_body(slice) ? slice.size() : slice.size() + 1;
}

bool Transfer::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > header_bytes_max) {
    too_long_ = true;
    return false;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.empty()) return headers_complete();
  constexpr std::string_view name = "Retry-After:";
  if (line.size() > name.size() && equal_ignoring_case(line.substr(0, name.size()), name)) {
    response_.retry_after_seconds = parse_retry_after(line.substr(name.size()));
  }
  return true;
}

bool Transfer::headers_complete() {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  // "100 Continue" and its kind come before the real one; a trailer after it.
  if (status < 200 || response_.status != 0) return true;
  response_.status = static_cast<int>(status);
  if (stream_) {
    opened_ = status < 300;
    if (events_.on_open) events_.on_open(response_.status);
  }
  if (opened_) return true;
  curl_off_t length = -1;
  curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  bool has_body = length > 0 && request_.method != "HEAD";
  if (has_body && static_cast<uint64_t>(length) > request_.response_bytes_max) {
    too_long_ = true;
    return false;
  }
  if (has_body) response_.body.reserve(static_cast<size_t>(length));
  return true;
}

bool Transfer::take_body(std::string_view bytes) {
  if (opened_) {
    if (events_.on_bytes) events_.on_bytes(bytes);
    return true;
  }
  if (bytes.size() > request_.response_bytes_max - response_.body.size()) {
    too_long_ = true;
    return false;
  }
  response_.body.append(bytes);
  return true;
}

std::string Transfer::origin() const {
  Url url = parse_url(request_.url);
  std::string host = part_of(url, CURLUPART_HOST);
  if (host.empty()) return "an unreadable URL";
  return part_of(url, CURLUPART_SCHEME) + "://" + host + ":" +
         part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

// Texts reach status and events: what differs from one attempt to the next (durations, counts) is left
// out, so that the same failure reads the same.
Result<Response> Transfer::outcome(CURLcode code) {
  if (too_long_) {
    return Error{ErrorKind::Invalid, fmt::format("{}: the answer is longer than {} bytes", origin(),
                                                 request_.response_bytes_max)};
  }
  if (code == CURLE_OK && response_.status == 0) {  // libcurl is content with half a header
    return Error{ErrorKind::Unreachable, origin() + ": the connection was closed within the headers"};
  }
  if (code == CURLE_OK) return std::move(response_);
  if (code == CURLE_OPERATION_TIMEDOUT) {  // the only time limit libcurl knows of is the one to connect
    return Error{ErrorKind::Unreachable, fmt::format("{}: no connection within {}", origin(),
                                                     format_duration(request_.connect_timeout_millis))};
  }
  long number = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &number);
  std::string why = curl_easy_strerror(code);
  if (code == CURLE_COULDNT_CONNECT && number != 0) {
    why = std::generic_category().message(static_cast<int>(number));
  } else if ((code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
              code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE) &&
             error_text_[0] != '\0') {
    why = error_text_;
  }
  return Error{kind_of(code), origin() + ": " + why};
}

Error Transfer::timed_out() const {
  return Error{ErrorKind::Timeout,
               fmt::format("{}: no answer within {}", origin(), format_duration(request_.deadline_millis))};
}

void Transfer::complete(Result<Response> result) {
  Done done = std::move(done_);
  done_ = nullptr;
  if (done) done(std::move(result));
}

}  // namespace strix::http
