#include "serve/listener.h"

// The library's macro U is a template parameter elsewhere.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pplx/threadpool.h>
#include <sys/socket.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
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

Reply answer_with(Calls& calls, const http_request& request, std::string_view body) {
  std::string method = request.method(), target = request.request_uri().to_string(),
              content_type = request.headers().content_type();
  return calls.answer({method, target, content_type, body});
}

// Every path ends in one reply.
void handle(const std::shared_ptr<Calls>& calls, size_t body_bytes_max, http_request request) {
  try {
    if (body_bytes_max == 0) {
      discard_body(request);
      return send(request, answer_with(*calls, request, ""));
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

// A port of the loopback that is free and, as long as this is held, given to nobody who asks for any.
class HeldPort {
 public:
  HeldPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    int shared = 1;  // with the library, which sets the same
    bool held = ::setsockopt(socket_.number(), SOL_SOCKET, SO_REUSEADDR, &shared, sizeof(shared)) == 0 &&
                ::bind(socket_.number(), any, size) == 0 && ::getsockname(socket_.number(), any, &size) == 0;
    number_ = held ? ntohs(address.sin_port) : 0;
  }
  int number() const { return number_; }  // 0: there is none

 private:
  Descriptor socket_;
  int number_ = 0;
};

web::uri loopback_uri(int port) {
  web::uri_builder builder;
  builder.set_scheme("http").set_host("127.0.0.1").set_port(port).set_path("/");
  return builder.to_uri();
}

}  // namespace

class Listener::Library {
 public:
  Library(int port, size_t body_bytes_max, Handler handler)
      : calls_(std::make_shared<Calls>(std::move(handler))), listener_(loopback_uri(port)) {
    auto answer = [calls = calls_, most = body_bytes_max](http_request request) {
      handle(calls, most, std::move(request));
    };
    listener_.support(answer);
    // Two methods that the library answers itself; its TRACE would say back every header it was sent.
    listener_.support(web::http::methods::OPTIONS, answer);
    listener_.support(web::http::methods::TRCE, answer);
    listener_.open().wait();
  }
  ~Library() {
    try {
      listener_.close().wait();
    } catch (const std::exception& failure) {
      log::warn("a port of the operator did not close cleanly", {{"error", failure.what()}});
    }
    calls_->close();
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  std::shared_ptr<Calls> calls_;
  http_listener listener_;
};

Listener::Listener(std::unique_ptr<Library> library, std::unique_ptr<Port> port)
    : library_(std::move(library)), port_(std::move(port)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(const ListenOptions& options, Handler handler) {
  std::string where = fmt::format("listen on {}:{}", options.address, options.port);
  if (options.address.find(':') != std::string::npos)
    return Error{ErrorKind::Invalid, where + ": only IPv4 addresses can be listened on", 0};
  size_t body_bytes_max = options.body_bytes_max > 0 ? options.body_bytes_max : discarded_bytes_max;
  auto port = Port::open(
      {options.address, options.port, body_bytes_max, options.identity, options.limits, options.load});
  if (!port) return port.error().wrap(where);
  start_pool();
  try {
    HeldPort loopback;
    if (loopback.number() == 0)
      return Error{ErrorKind::Unavailable, where + ": no port of the loopback is free", 0};
    auto library = std::make_unique<Library>(loopback.number(), options.body_bytes_max, std::move(handler));
    port.value()->pass_on_to(loopback.number());
    return std::unique_ptr<Listener>(new Listener(std::move(library), std::move(port).value()));
  } catch (const std::exception& failure) {
    return Error{ErrorKind::Unavailable, where + ": " + failure.what(), 0};
  }
}

}  // namespace strix::serve
