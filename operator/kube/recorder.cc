#include "kube/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "kube/backoff.h"
#include "kube/client.h"

namespace strix::kube {

namespace {

constexpr std::string_view dropped_metric = "inferencestack_events_dropped_total";
constexpr size_t note_bytes_max = 1024;
constexpr size_t word_bytes_max = 128;              // reason, action, reportingInstance
constexpr size_t name_bytes_max = 253 - 17;         // of an event: its object's, a dot, 16 digits
constexpr int64_t server_keeps_millis = 3'600'000;  // kube-apiserver's --event-ttl
constexpr int64_t request_deadline_millis = 5'000;

const Resource events{"events.k8s.io", "v1", "events"};

// A separator that is in none of the parts.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (std::string_view part : parts) text.append(part).push_back('\0');
  return text;
}

bool worth_another_try(ErrorKind kind) {
  return kind == ErrorKind::Timeout || kind == ErrorKind::Unreachable || kind == ErrorKind::Unavailable ||
         kind == ErrorKind::Throttled;
}

void write_series(json::Writer& writer, int count, WallMillis now) {
  writer.key("series").begin_object();
  writer.member("count", count).member("lastObservedTime", format_micro_time(now));
  writer.end_object();
}

}  // namespace

std::string cut_note(const std::string& note, size_t bytes_max) {
  if (note.size() <= bytes_max) return note;
  static constexpr std::string_view mark = "...";
  size_t end = bytes_max > mark.size() ? bytes_max - mark.size() : 0;
  while (end > 0 && (static_cast<unsigned char>(note[end]) & 0xC0) == 0x80) --end;
  return note.substr(0, end).append(mark);
}

// --- the core ---------------------------------------------------------------------------------------

EventCore::EventCore(RecorderSettings settings)
    : settings_(std::move(settings)),
      similar_(settings_.remembered_max),
      buckets_(settings_.remembered_max),
      sent_(settings_.remembered_max) {}

std::optional<EventWrite> EventCore::record(const EventInput& given, Now now) {
  EventInput input = given;
  input.reason = cut_note(input.reason, word_bytes_max);
  input.action = cut_note(input.action.empty() ? input.reason : input.action, word_bytes_max);
  const ObjectReference& about = input.regarding;
  std::string object = join({about.api_version, about.kind, about.namespace_, about.name, about.uid});
  std::string alike = object + join({input.warning ? "Warning" : "Normal", input.reason, input.action});
  std::string key = alike + input.note;
  if (combined(alike, input.note, now.boot)) {
    key = join({"combined", alike});
    input.note = "(combined from similar events): " + input.note;
  }
  input.note = cut_note(input.note, note_bytes_max);
  // Counted even when it is not sent: the next one that is sent carries the whole count.
  Sent& sent = count(key, input, now);
  if (!spend(object, now.boot)) return std::nullopt;
  EventWrite write;
  write.namespace_ = about.namespace_.empty() ? "default" : about.namespace_;
  write.name = sent.name;
  write.create_body = create_body(input, sent, now.wall);
  if (sent.created) {
    json::Writer writer;
    writer.begin_object();
    write_series(writer, sent.count, now.wall);
    writer.end_object();
    write.patch_body = writer.take();
  }
  sent.created = true;
  return write;
}

// More different notes than a person reads, all about the same.
bool EventCore::combined(const std::string& alike, const std::string& note, BootMillis now) {
  Similar* similar = similar_.find(alike);
  if (similar == nullptr || now - similar->last > settings_.similar_window_millis)
    similar = &similar_.insert(alike, Similar{});
  similar->last = now;
  bool full = similar->notes.size() > static_cast<size_t>(settings_.similar_max);
  if (!full) similar->notes.insert(stable_hash(note));
  return similar->notes.size() > static_cast<size_t>(settings_.similar_max);
}

EventCore::Sent& EventCore::count(const std::string& key, const EventInput& input, Now now) {
  Sent* sent = sent_.find(key);
  if (sent == nullptr || now.boot - sent->last > server_keeps_millis) {
    Sent fresh;
    std::string unique = join({key, settings_.reporting_instance, std::to_string(now.wall)});
    fresh.name = fmt::format("{}.{}", input.regarding.name.substr(0, name_bytes_max),
                             stable_hash_hex(unique + std::to_string(++sequence_)));
    fresh.first = now;
    sent = &sent_.insert(key, std::move(fresh));
  }
  sent->last = now.boot;
  ++sent->count;
  return *sent;
}

bool EventCore::spend(const std::string& object, BootMillis now) {
  Bucket* bucket = buckets_.find(object);
  if (bucket == nullptr) bucket = &buckets_.insert(object, Bucket{static_cast<double>(settings_.burst), now});
  double refilled = static_cast<double>(now - bucket->at) / static_cast<double>(settings_.refill_millis);
  bucket->tokens = std::min(bucket->tokens + refilled, static_cast<double>(settings_.burst));
  bucket->at = now;
  if (bucket->tokens < 1.0) return false;
  bucket->tokens -= 1.0;
  return true;
}

std::string EventCore::create_body(const EventInput& input, const Sent& sent, WallMillis now) const {
  const ObjectReference& about = input.regarding;
  json::Writer writer;
  writer.begin_object().member("apiVersion", "events.k8s.io/v1").member("kind", "Event");
  writer.key("metadata").begin_object().member("name", sent.name);
  writer.member("namespace", about.namespace_.empty() ? "default" : about.namespace_).end_object();
  writer.member("eventTime", format_micro_time(sent.first.wall));
  if (sent.count > 1) write_series(writer, sent.count, now);
  writer.member("reportingController", settings_.reporting_controller);
  writer.member("reportingInstance", settings_.reporting_instance.substr(0, word_bytes_max));
  writer.member("action", input.action).member("reason", input.reason);
  writer.key("regarding").begin_object();
  writer.member("apiVersion", about.api_version).member("kind", about.kind);
  if (!about.namespace_.empty()) writer.member("namespace", about.namespace_);
  writer.member("name", about.name);
  if (!about.uid.empty()) writer.member("uid", about.uid);
  if (!about.resource_version.empty()) writer.member("resourceVersion", about.resource_version);
  writer.end_object();
  writer.member("note", input.note).member("type", input.warning ? "Warning" : "Normal");
  writer.end_object();
  return writer.take();
}

// --- the thread -------------------------------------------------------------------------------------

EventPorts event_ports(Client& client, std::string field_manager) {
  Client own = client.with_deadline(request_deadline_millis);
  EventPorts ports;
  ports.create = [own, field_manager](const std::string& namespace_, std::string body) mutable -> Status {
    auto answer = own.create(path_of(events, namespace_), std::move(body), field_manager);
    return answer.ok() ? success() : Status(answer.error());
  };
  ports.patch = [own, field_manager](const std::string& namespace_, const std::string& name,
                                     std::string body) mutable -> Status {
    auto answer = own.patch(path_of(events, namespace_, name), Patch::Merge, std::move(body), field_manager);
    return answer.ok() ? success() : Status(answer.error());
  };
  ports.now = [] { return now(); };
  return ports;
}

Recorder::Recorder(EventPorts ports, RecorderSettings settings, metrics::Registry& registry)
    : ports_(std::move(ports)), settings_(settings), registry_(registry), core_(std::move(settings)) {
  registry_.describe(dropped_metric, "counter", "Events that were not sent, by cause.");
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

Recorder::~Recorder() {
  flush_and_stop(0);
}

void Recorder::record(EventInput input) {
  Queued queued{std::move(input), ports_.now()};
  std::lock_guard lock(mutex_);
  if (closed_) return dropped("Stopped");
  if (queue_.size() >= settings_.queue_max) {
    queue_.pop_front();
    dropped("QueueFull");
  }
  queue_.push_back(std::move(queued));
  wakened_.notify_all();
}

void Recorder::flush_and_stop(int64_t deadline_millis) {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    wakened_.notify_all();
    wakened_.wait_for(lock, std::chrono::milliseconds(deadline_millis), [this] { return finished_; });
  }
  thread_.request_stop();
  thread_.join();  // bounded by one request
  std::lock_guard lock(mutex_);
  dropped("Stopped", queue_.size());
  queue_.clear();
}

void Recorder::run(std::stop_token stop) {
  while (auto queued = next(stop)) send(*queued, stop);
  std::lock_guard lock(mutex_);
  finished_ = true;
  wakened_.notify_all();
}

std::optional<Recorder::Queued> Recorder::next(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  wakened_.wait(lock, stop, [this] { return closed_ || !queue_.empty(); });
  if (stop.stop_requested() || queue_.empty()) return std::nullopt;
  Queued queued = std::move(queue_.front());
  queue_.pop_front();
  return queued;
}

void Recorder::send(const Queued& queued, const std::stop_token& stop) {
  auto write = core_.record(queued.input, queued.at);
  if (!write) return dropped("Filtered");
  Backoff backoff;
  for (int tries = 1;; ++tries) {
    Status sent = send_once(*write);
    take_note(sent);
    if (sent.ok()) return;
    bool again = worth_another_try(sent.error().kind) && tries < tries_max;
    int64_t asked_millis = std::min(sent.error().retry_after_seconds, 30) * int64_t{1000};
    if (!again || !pause(std::max(backoff.next_millis(ports_.now().boot, 0.5), asked_millis), stop)) break;
  }
  dropped("Failed");
}

Status Recorder::send_once(const EventWrite& write) {
  if (!write.patch_body.empty()) {
    Status patched = ports_.patch(write.namespace_, write.name, write.patch_body);
    if (patched.ok() || patched.error().kind != ErrorKind::NotFound) return patched;
  }
  Status created = ports_.create(write.namespace_, write.create_body);
  // An earlier try arrived, and its answer did not.
  if (!created.ok() && created.error().kind == ErrorKind::AlreadyExists) return success();
  return created;
}

// False: stopped meanwhile.
bool Recorder::pause(int64_t millis, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  wakened_.wait_for(lock, stop, std::chrono::milliseconds(millis), [] { return false; });
  return !stop.stop_requested();
}

// One line when events begin to be refused, not one for each.
void Recorder::take_note(const Status& status) {
  std::string failure = status.ok() ? "" : std::string(to_string(status.error().kind));
  if (failure == last_failure_) return;
  last_failure_ = failure;
  if (!status.ok()) log::warn("event not accepted", {{"error", status.error().text}});
}

void Recorder::dropped(std::string_view cause, size_t events_count) {
  if (events_count == 0) return;
  registry_.add(dropped_metric, {{"cause", std::string(cause)}}, static_cast<double>(events_count));
}

}  // namespace strix::kube
