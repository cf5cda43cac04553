#include "serve/listener.h"

// The library's macro U is a template parameter elsewhere.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>
#include <fmt/format.h>
#include <pplx/threadpool.h>

#include <csignal>
#include <mutex>

#include "base/log.h"

namespace strix::serve {

namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::experimental::listener::http_listener;

// The default is 40. One thread is held by close() until the connections are done on another.
constexpr size_t pool_threads = 2;
constexpr uint64_t request_body_bytes_max = 16 * 1024;  // nothing asked of us has a body

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

http_response to_response(Reply reply) {
  http_response response(static_cast<web::http::status_code>(reply.status));
  response.headers().add("Cache-Control", "no-store");
  response.headers().add("X-Content-Type-Options", "nosniff");
  if (!reply.allow.empty()) response.headers().add("Allow", reply.allow);
  response.set_body(std::move(reply.body), reply.content_type);
  return response;
}

Reply answer_of(const Handler& handler, const http_request& request) {
  if (request.headers().content_length() > request_body_bytes_max) {
    Reply reply;
    reply.status = 413;
    reply.body = "no request here has a body\n";
    return reply;
  }
  return handler(request.method(), request.request_uri().to_string());
}

// Every path ends in one reply.
void handle(const Handler& handler, http_request request) {
  Reply reply;
  try {
    // With the reading end closed the library throws a body away as it comes, however long it is;
    // otherwise it would collect all of it in memory before it sends the reply.
    look_at(request.body().streambuf().close(std::ios_base::in));
    reply = answer_of(handler, request);
  } catch (const std::exception& failure) {
    log::error("a request could not be answered", {{"error", failure.what()}});
    reply = Reply{500, "text/plain; charset=utf-8", "internal error\n", ""};
  }
  try {
    look_at(request.reply(to_response(std::move(reply))));
  } catch (const std::exception&) {  // the connection is gone
  }
}

}  // namespace

class Listener::Port {
 public:
  Port(const web::uri& uri, Handler handler) : handler_(std::move(handler)), listener_(uri) {
    auto answer = [this](http_request request) { handle(handler_, std::move(request)); };
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
      log::warn("the HTTP port did not close cleanly", {{"error", failure.what()}});
    }
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

 private:
  Handler handler_;
  http_listener listener_;
};

Listener::Listener(std::unique_ptr<Port> port) : port_(std::move(port)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(const std::string& address, int port, Handler handler) {
  // The library splits host and port at the first colon.
  if (address.find(':') != std::string::npos)
    return Error{ErrorKind::Invalid,
                 fmt::format("listen on {}: only IPv4 addresses can be listened on", address)};
  start_pool();
  try {
    web::uri_builder builder;
    builder.set_scheme("http").set_host(address).set_port(port).set_path("/");
    auto opened = std::make_unique<Port>(builder.to_uri(), std::move(handler));
    return std::unique_ptr<Listener>(new Listener(std::move(opened)));
  } catch (const std::exception& failure) {
    return Error{ErrorKind::Unavailable, fmt::format("listen on {}:{}: {}", address, port, failure.what())};
  }
}

}  // namespace strix::serve
