#include "serve/listener.h"

// The library's macro U is a template parameter elsewhere.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>
#include <fmt/format.h>
#include <pplx/threadpool.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <vector>

#include "base/log.h"

namespace strix::serve {

namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::experimental::listener::http_listener;

// The default is 40. One thread is held by close() until the connections are done on another.
constexpr size_t pool_threads = 2;
constexpr size_t discarded_bytes_max = 16 * 1024;  // where nothing asked of us has a body

void start_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are main's
    try {
      crossplat::threadpool::initialize_with_threads(pool_threads);
    } catch (const std::exception&) {  // somebody used the library before us; its pool serves as well
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
}

// The library ends the process over a task whose exception nobody looked at. What fails here is a client
// that went away, which is its own business.
template <typename T>
void look_at(pplx::task<T> task) {
  task.then([](pplx::task<T> done) {
    try {
      done.get();
    } catch (...) {
    }
  });
}

enum class After { Stay, Close };

http_response to_response(Reply reply, After after) {
  http_response response(static_cast<web::http::status_code>(reply.status));
  response.headers().add("Cache-Control", "no-store");
  response.headers().add("X-Content-Type-Options", "nosniff");
  if (after == After::Close) response.headers().add("Connection", "close");
  if (!reply.allow.empty()) response.headers().add("Allow", reply.allow);
  response.set_body(std::move(reply.body), reply.content_type);
  return response;
}

Reply refusal(int status, std::string why) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(why);
  return reply;
}

// What the handler is called through. A body is collected after the library's own bookkeeping of handlers, so
// that the port has to know for itself who is still at it.
class Calls {
 public:
  explicit Calls(Handler handler) : handler_(std::move(handler)) {}

  Reply answer(const Request& request) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return refusal(503, "closing\n");
      ++running_;
    }
    Reply reply;
    try {
      reply = handler_(request);
    } catch (const std::exception& failure) {
      log::error("a request could not be answered", {{"error", failure.what()}});
      reply = refusal(500, "internal error\n");
    }
    std::lock_guard lock(mutex_);
    if (--running_ == 0) idle_.notify_all();
    return reply;
  }

  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  const Handler handler_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
  bool closed_ = false;
};

void send(const http_request& request, Reply reply, After after = After::Stay) {
  try {
    look_at(request.reply(to_response(std::move(reply), after)));
  } catch (const std::exception&) {  // the connection is gone
  }
}

// With the reading end closed the library throws a body away as it comes, however long it is; otherwise it
// would collect all of it in memory before it sends the reply.
void discard_body(const http_request& request) {
  look_at(request.body().streambuf().close(std::ios_base::in));
}

// After a body that was not read to its end by us the connection is closed. If the client stops within it,
// the library would wait for the next request for ever: see TlsPort::on_state.
bool has_body(const http_request& request) {
  return request.headers().content_length() > 0 ||
         request.headers().has(web::http::header_names::transfer_encoding);
}

// Why a body is not collected, before a byte of it is.
std::optional<Reply> body_refused(const http_request& request, size_t bytes_max) {
  const auto& headers = request.headers();
  if (bytes_max > 0 && headers.has(web::http::header_names::transfer_encoding))
    return refusal(411, "a body needs a Content-Length\n");
  size_t most = bytes_max > 0 ? bytes_max : discarded_bytes_max;
  if (headers.content_length() > most)
    return refusal(413, fmt::format("a body may have at most {} bytes\n", most));
  return std::nullopt;
}

Reply answer_with(Calls& calls, const http_request& request, std::string_view body) {
  std::string method = request.method(), target = request.request_uri().to_string(),
              content_type = request.headers().content_type();
  return calls.answer({method, target, content_type, body});
}

// Every path ends in one reply.
void handle(const std::shared_ptr<Calls>& calls, size_t body_bytes_max, http_request request) {
  try {
    auto refused = body_refused(request, body_bytes_max);
    if (refused || body_bytes_max == 0) {
      discard_body(request);
      Reply reply = refused ? std::move(*refused) : answer_with(*calls, request, "");
      return send(request, std::move(reply), has_body(request) ? After::Close : After::Stay);
    }
    look_at(request.extract_vector().then([calls, request](pplx::task<std::vector<unsigned char>> collected) {
      try {
        std::vector<unsigned char> bytes = collected.get();
        std::string_view body(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        send(request, answer_with(*calls, request, body));
      } catch (const std::exception&) {  // the connection is gone
        send(request, refusal(400, "the body ended early\n"), After::Close);
      }
    }));
  } catch (const std::exception& failure) {
    log::error("a request could not be answered", {{"error", failure.what()}});
    send(request, refusal(500, "internal error\n"), After::Close);
  }
}

web::http::experimental::listener::http_listener_config config_of(const std::shared_ptr<TlsPort>& tls) {
  web::http::experimental::listener::http_listener_config config;
  if (!tls) return config;
  // The one exception that the library catches here; it closes the connection then.
  config.set_ssl_context_callback([tls](boost::asio::ssl::context& context) {
    if (!tls->prepare(context.native_handle()))
      throw boost::system::system_error(boost::asio::error::connection_refused);
  });
  return config;
}

}  // namespace

class Listener::Port {
 public:
  Port(const web::uri& uri, const ListenOptions& options, Handler handler)
      : calls_(std::make_shared<Calls>(std::move(handler))), listener_(uri, config_of(options.tls)) {
    auto answer = [calls = calls_, most = options.body_bytes_max](http_request request) {
      handle(calls, most, std::move(request));
    };
    listener_.support(answer);
    // Two methods that the library answers itself; its TRACE would say back every header it was sent.
    listener_.support(web::http::methods::OPTIONS, answer);
    listener_.support(web::http::methods::TRCE, answer);
    listener_.open().wait();
  }
  ~Port() {
    try {
      listener_.close().wait();
    } catch (const std::exception& failure) {
      log::warn("a port of the operator did not close cleanly", {{"error", failure.what()}});
    }
    calls_->close();
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

 private:
  std::shared_ptr<Calls> calls_;
  http_listener listener_;
};

Listener::Listener(std::unique_ptr<Port> port) : port_(std::move(port)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(const ListenOptions& options, Handler handler) {
  std::string where = fmt::format("listen on {}:{}", options.address, options.port);
  // The library splits host and port at the first colon.
  if (options.address.find(':') != std::string::npos)
    return Error{ErrorKind::Invalid, where + ": only IPv4 addresses can be listened on", 0};
  start_pool();
  try {
    web::uri_builder builder;
    builder.set_scheme(options.tls ? "https" : "http").set_host(options.address).set_port(options.port);
    builder.set_path("/");
    auto opened = std::make_unique<Port>(builder.to_uri(), options, std::move(handler));
    return std::unique_ptr<Listener>(new Listener(std::move(opened)));
  } catch (const std::exception& failure) {
    return Error{ErrorKind::Unavailable, where + ": " + failure.what(), 0};
  }
}

}  // namespace strix::serve
