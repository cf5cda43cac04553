#include "kube/informer.h"

#include <chrono>
#include <future>
#include <optional>
#include <random>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/log.h"
#include "kube/client.h"
#include "kube/framing.h"
#include "kube/status.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace strix::kube {

namespace {

constexpr std::string_view restarts_metric = "inferencestack_watch_restarts_total";
constexpr std::string_view undecodable_metric = "inferencestack_undecodable_objects_total";

// Pages of text and documents have come and gone; without this the allocator keeps their memory.
void give_back_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

double random_fraction() {
  static thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

std::string text_of(const ObjectKey& key) {
  return key.namespace_.empty() ? key.name : key.namespace_ + "/" + key.name;
}

ObjectKey key_of(json::Value object) {
  json::Value metadata = object["metadata"];
  return ObjectKey{metadata["namespace"].string_or(""), metadata["name"].string_or("")};
}

bool same_version(const StoredObject& stored, json::Value object) {
  json::Value metadata = object["metadata"];
  return stored.uid == metadata["uid"].string_or("") &&
         stored.resource_version == metadata["resourceVersion"].string_or("");
}

std::optional<WatchEventType> event_type_of(std::string_view name) {
  if (name == "ADDED") return WatchEventType::Added;
  if (name == "MODIFIED") return WatchEventType::Modified;
  if (name == "DELETED") return WatchEventType::Deleted;
  if (name == "BOOKMARK") return WatchEventType::Bookmark;
  return std::nullopt;
}

}  // namespace

WatchPorts watch_ports(Client& client, std::string path) {
  WatchPorts ports;
  ports.start_list = [&client, path](const Query& query, std::function<void(Result<std::string>)> done) {
    return client.start_list(path, query, std::move(done));
  };
  ports.open_watch = [&client, path](const Query& query, int timeout_seconds, http::StreamEvents events) {
    return client.open_watch(path, query, timeout_seconds, std::move(events));
  };
  ports.cancel = [&client](http::RequestId id) { client.cancel(id); };
  ports.post = [&client](std::function<void()> task) { client.loop().post(std::move(task)); };
  ports.post_at = [&client](BootMillis at, std::function<void()> task) {
    client.loop().post_at(at, std::move(task));
  };
  ports.now = [] { return boot_now(); };
  ports.random = [] { return random_fraction(); };
  return ports;
}

void describe_informer_metrics(metrics::Registry& registry) {
  registry.describe(restarts_metric, "counter",
                    "Watches that ended, by kind and cause; Closed is no failure.");
  registry.describe(undecodable_metric, "counter", "Objects that could not be read, by kind.");
}

// --- life ---------------------------------------------------------------------------------

struct InformerCore::Stream {
  uint64_t attempt = 0;
  Framing framing;
};

InformerCore::InformerCore(WatchPorts ports, metrics::Registry& registry, Options options, Decode decode)
    : ports_(std::move(ports)),
      registry_(registry),
      options_(std::move(options)),
      decode_(std::move(decode)),
      store_(options_.indexes),
      machine_(options_.watch) {}

void InformerCore::add_handler(Handler handler) {
  INVARIANT(!started_.load());
  handlers_.push_back(std::move(handler));
}

void InformerCore::start() {
  if (started_.exchange(true)) return;
  ports_.post([self = shared_from_this()] { self->feed(Start{}); });
}

void InformerCore::stop() {
  if (!started_.load() || stop_asked_.exchange(true)) return;
  auto stopped = std::make_shared<std::promise<void>>();
  auto wait = stopped->get_future();
  ports_.post([self = shared_from_this(), stopped] {
    self->feed(Stop{});
    self->handlers_.clear();
    stopped->set_value();
  });
  // The loop's tasks are short. If it is stuck all the same, going on would free what handlers use.
  constexpr auto deadline = std::chrono::seconds(30);
  INVARIANT(wait.wait_for(deadline) == std::future_status::ready);
}

void InformerCore::feed(WatchInput input) {
  INVARIANT(!feeding_);
  feeding_ = true;
  for (const WatchEffect& effect : machine_.step(input, ports_.now(), ports_.random())) carry_out(effect);
  feeding_ = false;
}

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

void InformerCore::carry_out(const WatchEffect& effect) {
  std::visit(
      Overloaded{[&](const FetchPage& fetch) { fetch_page(fetch); }, [&](const StagePage&) { stage_page(); },
                 [&](const Commit&) { commit(); }, [&](const ApplyEvent&) { apply(); },
                 [&](const OpenWatch& open) { open_watch(open); },
                 [&](const CancelRequest&) {
                   if (request_ != 0) ports_.cancel(request_);
                   request_ = 0;
                   staged_.clear();
                 },
                 [&](const WakeAt& wake) { wake_at(wake.at); }, [&](const Report& told) { report(told); }},
      effect);
}

// --- requests and what comes back ---------------------------------------------------------

void InformerCore::fetch_page(const FetchPage& effect) {
  if (effect.continue_token.empty()) staged_.clear();
  // No resourceVersion: a consistent read. The cache of an API server may be behind what we have written.
  Query query;
  query.label_selector = options_.label_selector;
  query.field_selector = options_.field_selector;
  query.continue_token = effect.continue_token;
  query.limit = effect.limit;
  request_ = ports_.start_list(query, [self = shared_from_this(), attempt = effect.attempt](auto answer) {
    self->on_page(attempt, std::move(answer));
  });
}

void InformerCore::open_watch(const OpenWatch& effect) {
  Query query;
  query.label_selector = options_.label_selector;
  query.field_selector = options_.field_selector;
  query.resource_version = effect.resource_version;
  auto stream = std::make_shared<Stream>();
  stream->attempt = effect.attempt;
  http::StreamEvents events;
  events.on_open = [self = shared_from_this()](int status) {
    if (status < 300) self->touch();
  };
  events.on_bytes = [self = shared_from_this(), stream](std::string_view bytes) {
    self->on_bytes(*stream, bytes);
  };
  events.on_end = [self = shared_from_this(), stream](Result<http::Response> answer) {
    self->on_end(stream, std::move(answer));
  };
  request_ = ports_.open_watch(query, effect.timeout_seconds, std::move(events));
}

void InformerCore::wake_at(BootMillis at) {
  // Not holding us: such a task may lie there for minutes after everything else is gone.
  ports_.post_at(at, [weak = weak_from_this(), at] {
    auto self = weak.lock();
    if (!self || self->machine_.stopped()) return;
    if (self->ports_.now() < at) return self->wake_at(at);
    self->feed(Tick{});
  });
}

void InformerCore::on_page(uint64_t attempt, Result<std::string> answer) {
  // A request that could not even be sent may answer before it has returned.
  if (feeding_) {
    ports_.post(
        [self = shared_from_this(), attempt, answer = std::move(answer)] { self->on_page(attempt, answer); });
    return;
  }
  if (!answer.ok()) return feed(ListFailed{attempt, answer.error()});
  std::string text = std::move(answer).value();
  auto document = json::Document::parse(text);
  text = std::string();  // the document has copied it, and it may be megabytes
  if (!document.ok()) return feed(ListFailed{attempt, document.error()});
  touch();
  json::Value metadata = document->root()["metadata"];
  given_ = document->root()["items"];
  feed(Page{attempt, metadata["resourceVersion"].string_or(""), metadata["continue"].string_or("")});
  given_ = {};
}

void InformerCore::on_bytes(Stream& stream, std::string_view bytes) {
  touch();
  Status framed =
      stream.framing.feed(bytes, [&](std::string_view line) { return on_line(stream.attempt, line); });
  if (!framed.ok()) feed(WatchMalformed{stream.attempt, framed.error().text});
}

// False: this stream has nothing more to say to us.
bool InformerCore::on_line(uint64_t attempt, std::string_view line) {
  auto document = json::Document::parse(line);
  if (!document.ok()) {
    feed(WatchMalformed{attempt, document.error().text});
    return false;
  }
  std::string type = document->root()["type"].string_or("");
  json::Value object = document->root()["object"];
  if (type == "ERROR") {
    feed(WatchFailed{attempt, error_from_status(object), true});
    return false;
  }
  auto known = event_type_of(type);
  if (!known || !object.is_object()) {
    feed(WatchMalformed{attempt, "a watch event without a known type or an object"});
    return false;
  }
  given_ = object;
  given_type_ = *known;
  feed(WatchEvent{attempt, *known, object["metadata"]["resourceVersion"].string_or("")});
  given_ = {};
  return true;
}

void InformerCore::on_end(const std::shared_ptr<Stream>& stream, Result<http::Response> answer) {
  if (feeding_) {
    ports_.post(
        [self = shared_from_this(), stream, answer = std::move(answer)] { self->on_end(stream, answer); });
    return;
  }
  if (!answer.ok()) return feed(WatchFailed{stream->attempt, answer.error(), false});
  const http::Response& response = answer.value();
  if (response.status >= 300) {
    Error error = error_from_answer(response.status, response.body, response.retry_after_seconds);
    return feed(WatchFailed{stream->attempt, error, false});
  }
  feed(WatchEnded{stream->attempt, stream->framing.pending_bytes() > 0});
}

void InformerCore::report(const Report& effect) {
  std::string cause(to_string(effect.cause));
  registry_.add(restarts_metric, {{"kind", options_.kind}, {"cause", cause}});
  if (effect.cause == Cause::Closed) return;
  // The first of a row, and then the rare ones: an API server that is down for an hour is one fact, not 120
  // lines.
  bool first = effect.failures <= 1;
  bool person_must_act = effect.cause == Cause::Forbidden || effect.cause == Cause::Unauthorized;
  log::Level level = !first ? log::Level::Debug : person_must_act ? log::Level::Warn : log::Level::Info;
  log::write(level, effect.relist ? "watch failed, listing again" : "watch failed, resuming",
             {{"kind", options_.kind},
              {"cause", cause},
              {"error", effect.text},
              {"delay_millis", effect.delay_millis}});
}

// --- objects ------------------------------------------------------------------------------

Result<StoredObject> InformerCore::read(json::Value object) const {
  StoredObject stored;
  stored.key = key_of(object);
  stored.uid = object["metadata"]["uid"].string_or("");
  stored.resource_version = object["metadata"]["resourceVersion"].string_or("");
  Status decoded = stored.key.name.empty() ? Status(Error{ErrorKind::Invalid, "an object without a name"})
                                           : decode_(object, &stored);
  if (decoded.ok()) return stored;
  // Only its name and what is wrong: an object may hold what must not be in a log.
  registry_.add(undecodable_metric, {{"kind", options_.kind}});
  log::warn("object cannot be read",
            {{"kind", options_.kind}, {"object", text_of(stored.key)}, {"error", decoded.error().text}});
  return decoded.error();
}

// An object that cannot be read stays as it was last read, or out: the others go on without it.
void InformerCore::stage_page() {
  given_.for_each([this](json::Value object) {
    ObjectKey key = key_of(object);
    const StoredObject* known = store_.peek(key);
    if (known != nullptr && same_version(*known, object)) {
      staged_.insert(*known);
      return;
    }
    Result<StoredObject> stored = read(object);
    if (stored.ok()) {
      staged_.insert(std::move(stored).value());
    } else if (known != nullptr) {
      staged_.insert(*known);
    }
  });
}

void InformerCore::commit() {
  StoredObjects before = store_.replace(std::exchange(staged_, {}));
  // Before the handlers: what they wake must not find an unsynced cache and go back to sleep.
  synced_.store(true, std::memory_order_release);
  for (const StoredObject& gone : before)
    if (store_.peek(gone.key) == nullptr) emit(&gone, nullptr);
  store_.for_each([&](const StoredObject& after) {
    auto known = before.find(after.key);
    emit(known == before.end() ? nullptr : &*known, &after);
  });
  before.clear();
  give_back_memory();
}

void InformerCore::apply() {
  ObjectKey key = key_of(given_);
  const StoredObject* known = store_.peek(key);
  if (given_type_ == WatchEventType::Deleted) {
    if (known == nullptr) return;
    StoredObject before = *known;
    store_.erase(key);
    emit(&before, nullptr);
    return;
  }
  if (known != nullptr && same_version(*known, given_)) return;
  Result<StoredObject> stored = read(given_);
  if (!stored.ok()) return;
  std::optional<StoredObject> before = known != nullptr ? std::optional(*known) : std::nullopt;
  store_.put(std::move(stored).value());
  emit(before ? &*before : nullptr, store_.peek(key));
}

void InformerCore::emit(const StoredObject* before, const StoredObject* after) {
  if (before != nullptr && after != nullptr) {
    if (before->object == after->object) return;
    if (before->uid != after->uid) {  // another object of the same name: the old one is gone
      emit(before, nullptr);
      emit(nullptr, after);
      return;
    }
  }
  for (const Handler& handler : handlers_)
    handler(before != nullptr ? before->object : nullptr, after != nullptr ? after->object : nullptr);
}

}  // namespace strix::kube
