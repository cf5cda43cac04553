#include "probe/prober.h"

#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "probe/asks.h"
#include "probe/machine.h"

namespace strix::probe {

namespace {

// Half of what the loop has under way at most: hung warm-ups must leave room for the API server.
constexpr int under_way_max = 32;

// The numbers of a busy engine change with every request; only whether it is idle moves a decision.
bool worth_waking(const reconcile::ProbeReading& before, const reconcile::ProbeReading& after) {
  auto idle = [](const reconcile::ProbeReading& r) { return r.load && r.load->idle(); };
  return before.phase != after.phase || before.detail != after.detail ||
         before.wedged_since != after.wedged_since ||
         before.report.context_length_tokens != after.report.context_length_tokens ||
         before.told != after.told || before.interval != after.interval ||
         before.load.has_value() != after.load.has_value() || idle(before) != idle(after);
}

}  // namespace

// What reconcilers read. Thread-safe.
class TierProber::Readings {
 public:
  // New targets are readable at once; those that are gone are forgotten at once.
  void expect(const api::NamespacedName& stack, const std::vector<reconcile::ProbeTarget>& targets, Now now) {
    std::lock_guard lock(mutex_);
    auto& uids = uids_[stack];
    std::set<std::string> wanted;
    for (const auto& target : targets) {
      wanted.insert(target.uid);
      readings_.try_emplace(target.uid, begin(now, target.was_serving, target.was_silent).reading);
    }
    for (const auto& uid : uids)
      if (!wanted.contains(uid)) readings_.erase(uid);
    uids = std::move(wanted);
    if (uids.empty()) uids_.erase(stack);
  }

  // False: nobody watches it any more.
  bool publish(const std::string& uid, const reconcile::ProbeReading& reading) {
    std::lock_guard lock(mutex_);
    auto found = readings_.find(uid);
    if (found == readings_.end()) return false;
    found->second = reading;
    return true;
  }

  std::optional<reconcile::ProbeReading> find(const std::string& uid) const {
    std::lock_guard lock(mutex_);
    auto found = readings_.find(uid);
    if (found == readings_.end()) return std::nullopt;
    return found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, reconcile::ProbeReading> readings_;
  std::map<api::NamespacedName, std::set<std::string>> uids_;
};

// The machines, their timers and their requests. Owner thread: the loop's. Callbacks hold it weakly, so that
// one that comes after the prober's end finds nothing.
class TierProber::Rounds : public std::enable_shared_from_this<Rounds> {
 public:
  Rounds(http::Loop& loop, std::shared_ptr<Readings> readings, Wake wake)
      : loop_(loop), readings_(std::move(readings)), wake_(std::move(wake)) {}

  void replace(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets);
  void stop();

 private:
  struct Entry {
    reconcile::ProbeTarget target;
    std::optional<State> state;  // from the first address on
    uint64_t serial = 0;         // of the question under way or the latest timer: older ones are stale
    uint64_t timer = 0;
    BootMillis timer_at = 0;
    http::RequestId request = 0;      // 0: none under way
    std::optional<Question> waiting;  // for one of the places
  };

  void drop(const Entry& entry);
  void step(const std::string& uid, std::optional<Answer> answer);
  void arm(const std::string& uid, Entry& entry, BootMillis at);
  void ask(const std::string& uid, Entry& entry, const Question& question);
  void on_answer(const std::string& uid, uint64_t serial, AskKind kind, const Result<http::Response>& result);
  void ask_waiting();

  http::Loop& loop_;
  std::shared_ptr<Readings> readings_;
  Wake wake_;
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::string> queue_;  // uids with a waiting question, oldest first; the gone are skipped
  uint64_t last_serial_ = 0;
  int under_way_ = 0;
  bool stopped_ = false;
};

void TierProber::Rounds::replace(const api::NamespacedName& stack,
                                 std::vector<reconcile::ProbeTarget> targets) {
  if (stopped_) return;
  std::set<std::string> wanted;
  for (const auto& target : targets) wanted.insert(target.uid);
  for (auto item = entries_.begin(); item != entries_.end();) {
    bool gone = item->second.target.stack == stack && !wanted.contains(item->first);
    if (gone) drop(item->second);
    item = gone ? entries_.erase(item) : std::next(item);
  }
  for (auto& target : targets) {
    std::string uid = target.uid;
    Entry& entry = entries_[uid];
    entry.target = std::move(target);
    entry.target.stack = stack;
    if (entry.target.pod_ip.empty()) continue;
    if (!entry.state) entry.state = begin(now(), entry.target.was_serving, entry.target.was_silent);
    step(uid, std::nullopt);
  }
  ask_waiting();
}

void TierProber::Rounds::stop() {
  stopped_ = true;
  for (auto& [uid, entry] : entries_) drop(entry);
  entries_.clear();
  wake_ = nullptr;
}

void TierProber::Rounds::drop(const Entry& entry) {
  if (entry.request == 0) return;
  loop_.cancel(entry.request);  // its callback comes with a serial that nobody has any more
  --under_way_;
}

void TierProber::Rounds::step(const std::string& uid, std::optional<Answer> answer) {
  auto found = entries_.find(uid);
  if (found == entries_.end() || !found->second.state) return;
  Entry& entry = found->second;
  reconcile::ProbeReading before = entry.state->reading;
  Step result = advance(std::move(*entry.state),
                        Input{now(), entry.target.draining, std::move(answer), entry.target.observe});
  entry.state = std::move(result.state);
  if (result.question) {
    entry.waiting = result.question;
    queue_.push_back(uid);
  }
  arm(uid, entry, result.tick_at);
  const reconcile::ProbeReading& after = entry.state->reading;
  if (before == after || !readings_->publish(uid, after)) return;
  if (worth_waking(before, after)) wake_(entry.target.stack);
}

// One timer a target counts, the latest; others find that they are stale.
void TierProber::Rounds::arm(const std::string& uid, Entry& entry, BootMillis at) {
  if (at == entry.timer_at) return;
  entry.timer_at = at;
  entry.timer = ++last_serial_;
  if (at == 0) return;
  loop_.post_at(at, [weak = weak_from_this(), uid, timer = entry.timer] {
    auto self = weak.lock();
    if (!self || self->stopped_) return;
    auto found = self->entries_.find(uid);
    if (found == self->entries_.end() || found->second.timer != timer) return;
    found->second.timer_at = 0;
    self->step(uid, std::nullopt);
    self->ask_waiting();
  });
}

void TierProber::Rounds::ask(const std::string& uid, Entry& entry, const Question& question) {
  ++under_way_;
  entry.serial = ++last_serial_;
  auto done = [weak = weak_from_this(), uid, serial = entry.serial,
               kind = question.kind](const Result<http::Response>& result) {
    if (auto self = weak.lock()) self->on_answer(uid, serial, kind, result);
  };
  entry.request = loop_.start(make_request(entry.target, question), std::move(done));
}

void TierProber::Rounds::on_answer(const std::string& uid, uint64_t serial, AskKind kind,
                                   const Result<http::Response>& result) {
  auto found = entries_.find(uid);
  if (stopped_ || found == entries_.end() || found->second.serial != serial) return;
  if (found->second.request == 0) return;
  found->second.request = 0;
  --under_way_;
  // The loop is ending: asking again would only keep it busy.
  if (!result.ok() && result.error().kind == ErrorKind::Canceled) return;
  step(uid, read_answer(kind, found->second.target.tier, result));
  ask_waiting();
}

void TierProber::Rounds::ask_waiting() {
  while (!queue_.empty() && under_way_ < under_way_max) {
    std::string uid = std::move(queue_.front());
    queue_.pop_front();
    auto found = entries_.find(uid);
    if (found == entries_.end() || !found->second.waiting) continue;
    Question question = *found->second.waiting;
    found->second.waiting.reset();
    ask(uid, found->second, question);
  }
}

TierProber::TierProber(http::Loop& loop, Wake wake)
    : loop_(loop),
      readings_(std::make_shared<Readings>()),
      rounds_(std::make_shared<Rounds>(loop, readings_, std::move(wake))) {}

TierProber::~TierProber() {
  // The loop runs one task at a time: once this one ran, no callback of ours runs.
  auto stopped = std::make_shared<std::promise<void>>();
  std::future<void> done = stopped->get_future();
  loop_.post([rounds = rounds_, stopped] {
    rounds->stop();
    stopped->set_value();
  });
  done.wait();
}

void TierProber::watch(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets) {
  readings_->expect(stack, targets, now());
  loop_.post([rounds = rounds_, stack, targets = std::move(targets)]() mutable {
    rounds->replace(stack, std::move(targets));
  });
}

std::optional<reconcile::ProbeReading> TierProber::reading(const std::string& uid) const {
  return readings_->find(uid);
}

}  // namespace strix::probe
