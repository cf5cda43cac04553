#include "http/loop.h"

#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "http/transfer.h"

namespace strix::http {

namespace {

constexpr size_t pooled_transfers_max = 64;  // under way at once; streams are counted by their owners
constexpr size_t waiting_transfers_max = 1024;
constexpr size_t commands_max = 65'536;  // a caller that fills this posts without end
// Of all kinds, as libcurl counts: a finished request's connection is kept only while there are fewer.
// Above it a burst connects anew; each idle TLS connection costs some 70 KiB.
constexpr long kept_connections_max = 32;
constexpr int stop_rounds_max = 100;
constexpr int64_t perform_grace_millis = 10'000;
// The timer descriptor ends every wait that matters; this only bounds the wait in principle.
constexpr int poll_millis_max = 600'000;

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// A descriptor that becomes readable at a boot time: it fires at once when a suspended machine wakes up
// past it, which a wait in poll(2) does not.
class BootTimer {
 public:
  BootTimer() : descriptor_(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)) {
    INVARIANT(descriptor_ >= 0);
  }
  ~BootTimer() { ::close(descriptor_); }
  BootTimer(const BootTimer&) = delete;
  BootTimer& operator=(const BootTimer&) = delete;

  int descriptor() const { return descriptor_; }

  // Only ever moved forward in time by firing: requests come and go far more often than deadlines pass,
  // and a wake-up too many is cheaper than two system calls a request.
  void fire_by(BootMillis at) {
    if (armed_ <= at) return;
    armed_ = at;
    itimerspec when{};
    at = std::max<BootMillis>(at, 1);  // zero would disarm it
    when.it_value.tv_sec = at / 1000;
    when.it_value.tv_nsec = at % 1000 * 1'000'000;
    INVARIANT(timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &when, nullptr) == 0);
  }

  void take_firing() {
    uint64_t count = 0;
    if (::read(descriptor_, &count, sizeof(count)) == static_cast<ssize_t>(sizeof(count))) armed_ = never;
  }

 private:
  static constexpr BootMillis never = INT64_MAX;
  int descriptor_;
  BootMillis armed_ = never;
};

}  // namespace

// Owner thread: the loop's, but for `mutex_` and what it guards.
class Loop::Impl {
 public:
  Impl();
  ~Impl();

  RequestId next_id() { return ++last_id_; }
  void submit(std::unique_ptr<Transfer> transfer);
  void submit_cancel(RequestId id);
  void submit_task(BootMillis at, std::function<void()> task);
  bool on_own_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Command {
    std::unique_ptr<Transfer> transfer;  // or
    RequestId cancel = 0;                // or
    std::function<void()> task;
    BootMillis at = 0;  // of the task; 0 is now
  };
  struct Entry {
    std::unique_ptr<Transfer> transfer;
    bool under_way = false;  // added to the multi handle
  };

  void run();
  void enqueue(Command command);
  bool take_commands();  // false: stop
  void obey(Command command);
  void admit(std::unique_ptr<Transfer> transfer);
  void begin(RequestId id);
  void begin_waiting();
  void finish(RequestId id, Result<Response> result);
  void reap();
  void expire(BootMillis now);
  void run_due_tasks(BootMillis now);
  void wait();
  void stop();

  std::atomic<RequestId> last_id_{0};
  std::mutex mutex_;
  std::vector<Command> commands_;  // guarded
  bool stopping_ = false;          // guarded

  std::unique_ptr<CURLM, FreeMulti> multi_;
  BootTimer timer_;
  std::unordered_map<RequestId, Entry> entries_;
  std::deque<RequestId> waiting_;  // for a place among the pooled; the canceled are skipped when reached
  size_t pooled_under_way_ = 0;
  std::set<std::pair<BootMillis, RequestId>> deadlines_;
  std::map<std::pair<BootMillis, uint64_t>, std::function<void()>> tasks_;
  uint64_t last_task_ = 0;
  std::thread thread_;  // last: starts when all else is there
};

Loop::Impl::Impl() : multi_(curl_multi_init()) {
  INVARIANT(multi_);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, kept_connections_max);
  curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, long{CURLPIPE_NOTHING});
  // Signals are main's; a blocked SIGPIPE makes a write to a broken connection an error code.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Loop::Impl::~Impl() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  thread_.join();
}

void Loop::Impl::submit(std::unique_ptr<Transfer> transfer) {
  Command command;
  command.transfer = std::move(transfer);
  enqueue(std::move(command));
}

void Loop::Impl::submit_cancel(RequestId id) {
  Command command;
  command.cancel = id;
  enqueue(std::move(command));
}

void Loop::Impl::submit_task(BootMillis at, std::function<void()> task) {
  Command command;
  command.task = std::move(task);
  command.at = at;
  enqueue(std::move(command));
}

// One wake-up for the first command of a batch; none from the loop's own thread, which looks here before
// each wait.
void Loop::Impl::enqueue(Command command) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    INVARIANT(commands_.size() < commands_max);
    wake = commands_.empty();
    commands_.push_back(std::move(command));
  }
  if (wake && !on_own_thread()) curl_multi_wakeup(multi_.get());
}

void Loop::Impl::run() {
  while (take_commands()) {
    int running = 0;
    INVARIANT(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
    reap();
    BootMillis now = boot_now();
    expire(now);
    run_due_tasks(now);
    begin_waiting();
    wait();
  }
  stop();
}

bool Loop::Impl::take_commands() {
  std::vector<Command> taken;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    taken.swap(commands_);
  }
  for (Command& command : taken) obey(std::move(command));
  return true;
}

void Loop::Impl::obey(Command command) {
  if (command.transfer) {
    admit(std::move(command.transfer));
  } else if (command.cancel != 0) {
    finish(command.cancel, Error{ErrorKind::Canceled, "the request was canceled"});
  } else if (command.at == 0) {
    command.task();
  } else {
    tasks_.emplace(std::pair{command.at, ++last_task_}, std::move(command.task));
  }
}

void Loop::Impl::admit(std::unique_ptr<Transfer> transfer) {
  RequestId id = transfer->id();
  bool at_once = !transfer->pooled() || pooled_under_way_ < pooled_transfers_max;
  deadlines_.emplace(transfer->deadline(), id);
  entries_[id].transfer = std::move(transfer);
  if (at_once) {
    begin(id);
  } else if (waiting_.size() < waiting_transfers_max) {
    waiting_.push_back(id);
  } else {
    finish(id, Error{ErrorKind::Unavailable, "too many requests are waiting already"});
  }
}

void Loop::Impl::begin(RequestId id) {
  Entry& entry = entries_.at(id);
  Status prepared = entry.transfer->prepare();
  if (!prepared.ok()) return finish(id, prepared.error());
  INVARIANT(curl_multi_add_handle(multi_.get(), entry.transfer->handle()) == CURLM_OK);
  entry.under_way = true;
  if (entry.transfer->pooled()) ++pooled_under_way_;
}

void Loop::Impl::begin_waiting() {
  while (!waiting_.empty() && pooled_under_way_ < pooled_transfers_max) {
    RequestId id = waiting_.front();
    waiting_.pop_front();
    if (entries_.contains(id)) begin(id);
  }
}

void Loop::Impl::finish(RequestId id, Result<Response> result) {
  auto found = entries_.find(id);
  if (found == entries_.end()) return;
  Entry entry = std::move(found->second);
  entries_.erase(found);
  deadlines_.erase({entry.transfer->deadline(), id});
  if (entry.under_way) {
    curl_multi_remove_handle(multi_.get(), entry.transfer->handle());
    if (entry.transfer->pooled()) --pooled_under_way_;
  }
  entry.transfer->complete(std::move(result));
}

void Loop::Impl::reap() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    INVARIANT(transfer);
    finish(transfer->id(), transfer->outcome(code));
  }
}

void Loop::Impl::expire(BootMillis now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    RequestId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    const Transfer& transfer = *entries_.at(id).transfer;
    if (transfer.deadline_applies()) finish(id, transfer.timed_out());
  }
}

void Loop::Impl::run_due_tasks(BootMillis now) {
  while (!tasks_.empty() && tasks_.begin()->first.first <= now) {
    auto task = std::move(tasks_.begin()->second);
    tasks_.erase(tasks_.begin());
    task();
  }
}

void Loop::Impl::wait() {
  BootMillis next = INT64_MAX;
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (!tasks_.empty()) next = std::min(next, tasks_.begin()->first.first);
  if (next != INT64_MAX) timer_.fire_by(next);
  int timeout_millis = poll_millis_max;
  {
    std::lock_guard lock(mutex_);
    if (!commands_.empty() || stopping_) timeout_millis = 0;
  }
  curl_waitfd timer{timer_.descriptor(), CURL_WAIT_POLLIN, 0};
  INVARIANT(curl_multi_poll(multi_.get(), &timer, 1, timeout_millis, nullptr) == CURLM_OK);
  if (timer.revents != 0) timer_.take_firing();
}

// What is under way or still queued gets Canceled. A last callback may start something again; that is
// canceled too, but a caller that always starts again is cut off.
void Loop::Impl::stop() {
  for (int round = 0; round < stop_rounds_max; ++round) {
    std::vector<Command> taken;
    {
      std::lock_guard lock(mutex_);
      taken.swap(commands_);
    }
    if (taken.empty() && entries_.empty()) return;
    Error stopped{ErrorKind::Canceled, "the operator is stopping"};
    for (Command& command : taken) {
      if (command.transfer) command.transfer->complete(stopped);
    }
    std::vector<RequestId> ids;
    for (const auto& [id, entry] : entries_) ids.push_back(id);
    for (RequestId id : ids) finish(id, stopped);
  }
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

RequestId Loop::start(Request request, std::function<void(Result<Response>)> done) {
  RequestId id = impl_->next_id();
  BootMillis deadline = boot_now() + request.deadline_millis;
  impl_->submit(std::make_unique<Transfer>(id, std::move(request), deadline, std::move(done)));
  return id;
}

RequestId Loop::open_stream(Request request, StreamEvents events) {
  RequestId id = impl_->next_id();
  BootMillis deadline = boot_now() + request.deadline_millis;
  impl_->submit(std::make_unique<Transfer>(id, std::move(request), deadline, std::move(events)));
  return id;
}

void Loop::cancel(RequestId id) {
  if (id != 0) impl_->submit_cancel(id);
}
void Loop::post(std::function<void()> task) {
  impl_->submit_task(0, std::move(task));
}
void Loop::post_at(BootMillis at, std::function<void()> task) {
  impl_->submit_task(std::max<BootMillis>(at, 1), std::move(task));
}

Result<Response> Loop::perform(Request request) {
  INVARIANT(!impl_->on_own_thread());  // it would wait for itself
  struct Answer {
    std::mutex mutex;
    std::condition_variable arrived;
    std::optional<Result<Response>> result;
  };
  // Shared, because a caller that gave up leaves before the callback runs.
  auto answer = std::make_shared<Answer>();
  int64_t patience_millis = std::max<int64_t>(0, request.deadline_millis) + perform_grace_millis;
  RequestId id = start(std::move(request), [answer](Result<Response> result) {
    std::lock_guard lock(answer->mutex);
    answer->result.emplace(std::move(result));
    answer->arrived.notify_one();
  });
  std::unique_lock lock(answer->mutex);
  bool came = answer->arrived.wait_for(lock, std::chrono::milliseconds(patience_millis),
                                       [&] { return answer->result.has_value(); });
  if (came) return std::move(*answer->result);
  cancel(id);
  return Error{ErrorKind::Timeout, "the I/O thread did not answer"};
}

}  // namespace strix::http
