// Why: reconcilers and servers read what the cluster looks like from memory, kept current by one watch a
// kind, and are told which keys changed.
// May not: know any kind (a decode function does), write, or let a reader see half a list. Handlers run on
// the I/O loop's thread: they may only enqueue.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/time.h"
#include "http/loop.h"
#include "kube/object_store.h"
#include "kube/watch_machine.h"

namespace strix::kube {

class Client;
struct Query;

// What an informer needs from the world: a Client in the operator, a script in tests.
struct WatchPorts {
  std::function<http::RequestId(const Query&, std::function<void(Result<std::string>)>)> start_list;
  std::function<http::RequestId(const Query&, int timeout_seconds, http::StreamEvents)> open_watch;
  std::function<void(http::RequestId)> cancel;
  std::function<void(std::function<void()>)> post;  // on the loop's thread
  std::function<void(BootMillis, std::function<void()>)> post_at;
  std::function<BootMillis()> now;
  std::function<double()> random;  // [0, 1)
};
// `path` is the collection's, as path_of makes it. The client must outlive the informer.
WatchPorts watch_ports(Client& client, std::string path);

// The families of all informers together; before the first informer of a registry is made.
void describe_informer_metrics(metrics::Registry& registry);

// The part of an informer that does not depend on the type. Held by shared_ptr: callbacks of the loop outlive
// stop(). Owner thread: the loop's, but for what is said to be thread-safe.
class InformerCore : public std::enable_shared_from_this<InformerCore> {
 public:
  // Decodes one object; its key and versions are filled in already.
  using Decode = std::function<Status(json::Value, StoredObject*)>;
  using Handler = std::function<void(const std::shared_ptr<const void>& before,
                                     const std::shared_ptr<const void>& after)>;

  struct Options {
    std::string kind, label_selector, field_selector;
    std::vector<StoreIndex> indexes;
    WatchSettings watch;
  };

  InformerCore(WatchPorts ports, metrics::Registry& registry, Options options, Decode decode);

  // Before start only.
  void add_handler(Handler handler);

  // Thread-safe. stop() returns when no handler runs any more and none will; not from the loop's thread.
  void start();
  void stop();
  bool synced() const { return synced_.load(std::memory_order_acquire); }
  BootMillis last_activity() const { return last_activity_.load(std::memory_order_relaxed); }
  const ObjectStore& store() const { return store_; }

 private:
  struct Stream;  // one watch: its attempt and its framing

  void feed(WatchInput input);
  void carry_out(const WatchEffect& effect);
  void fetch_page(const FetchPage& effect);
  void open_watch(const OpenWatch& effect);
  void wake_at(BootMillis at);
  void report(const Report& effect);
  void touch() { last_activity_.store(ports_.now(), std::memory_order_relaxed); }

  void on_page(uint64_t attempt, Result<std::string> answer);
  void on_bytes(Stream& stream, std::string_view bytes);
  bool on_line(uint64_t attempt, std::string_view line);
  void on_end(const std::shared_ptr<Stream>& stream, Result<http::Response> answer);

  Result<StoredObject> read(json::Value object) const;
  void stage_page();
  void commit();
  void apply();
  void emit(const StoredObject* before, const StoredObject* after);

  const WatchPorts ports_;
  metrics::Registry& registry_;
  const Options options_;
  const Decode decode_;
  std::vector<Handler> handlers_;
  ObjectStore store_;
  std::atomic<bool> synced_{false};
  std::atomic<BootMillis> last_activity_{0};
  std::atomic<bool> started_{false}, stop_asked_{false};

  WatchMachine machine_;
  bool feeding_ = false;
  http::RequestId request_ = 0;
  StoredObjects staged_;  // the list that is being read
  // What the input that is being carried out is about: the items of a page, or the object of an event.
  json::Value given_;
  WatchEventType given_type_ = WatchEventType::Bookmark;
};

// How to look objects up other than by name: the values under which an object is found.
template <class T>
struct Index {
  std::string name;
  std::function<std::vector<std::string>(const T&)> values;
};

template <class T>
struct InformerOptions {
  std::string kind;            // for logs and metrics
  std::string label_selector;  // as narrow as can be: what is not watched costs nothing
  std::string field_selector;
  std::function<Result<T>(json::Value)> decode;
  std::vector<Index<T>> indexes;
  WatchSettings watch;
};

// All reading is thread-safe and gives objects that nobody changes. Owned by app; the loop and the client
// outlive it. Whether it has caught up with a write of ours is seen by comparing resource versions, for
// equality only.
template <class T>
class Informer {
 public:
  using Object = std::shared_ptr<const T>;

  // The options are copied twice: the order in which arguments are evaluated is open, so none may be moved
  // from.
  Informer(WatchPorts ports, metrics::Registry& registry, InformerOptions<T> options)
      : core_(std::make_shared<InformerCore>(std::move(ports), registry, core_options(options),
                                             core_decode(options))) {}
  ~Informer() { core_->stop(); }
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;

  // Called after every change: (null, new) added, (old, new) changed, (old, null) gone. An object that was
  // deleted and made again between two looks is reported as gone and added. Before start() only.
  void add_handler(std::function<void(const Object& before, const Object& after)> on_change) {
    core_->add_handler([on_change = std::move(on_change)](const auto& before, const auto& after) {
      on_change(typed(before), typed(after));
    });
  }
  void start() { core_->start(); }
  void stop() { core_->stop(); }

  // A whole list has been read. Before that, an object that is not here may well exist.
  bool synced() const { return core_->synced(); }
  // When the server was last heard of: a page, an event, a bookmark. 0: never.
  BootMillis last_activity() const { return core_->last_activity(); }

  Object get(std::string_view namespace_, std::string_view name) const {
    return typed(core_->store().get(ObjectKey{std::string(namespace_), std::string(name)}));
  }
  // In the order of namespace and name.
  std::vector<Object> list() const { return typed(core_->store().list()); }
  std::vector<Object> by_index(std::string_view index, const std::string& value) const {
    return typed(core_->store().by_index(index, value));
  }
  size_t size() const { return core_->store().size(); }

 private:
  static Object typed(const std::shared_ptr<const void>& object) {
    return std::static_pointer_cast<const T>(object);
  }
  static std::vector<Object> typed(const std::vector<std::shared_ptr<const void>>& objects) {
    std::vector<Object> result;
    result.reserve(objects.size());
    for (const auto& object : objects) result.push_back(typed(object));
    return result;
  }
  static InformerCore::Options core_options(const InformerOptions<T>& options) {
    InformerCore::Options core{
        options.kind, options.label_selector, options.field_selector, {}, options.watch};
    for (const auto& index : options.indexes)
      core.indexes.push_back({index.name, [values = index.values](const void* object) {
                                return values(*static_cast<const T*>(object));
                              }});
    return core;
  }
  static InformerCore::Decode core_decode(InformerOptions<T> options) {
    return [decode = std::move(options.decode)](json::Value value, StoredObject* stored) -> Status {
      Result<T> decoded = decode(value);
      if (!decoded.ok()) return decoded.error();
      stored->object = std::make_shared<const T>(std::move(decoded).value());
      return success();
    };
  }

  const std::shared_ptr<InformerCore> core_;
};

}  // namespace strix::kube
