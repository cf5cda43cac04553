#include "sim/simulation.h"

#include <algorithm>
#include <map>

#include "reconcile/usage_log.h"
#include "reconcile/window.h"
#include "sim/replica.h"
#include "sim/troubles.h"
#include "sim/world.h"

namespace strix::sim {

namespace {

constexpr int64_t election_millis = 250;
constexpr int64_t collector_millis_min = 30, collector_millis_max = 600;
constexpr int64_t silence_look_millis = 2'500;
constexpr int64_t measure_millis = 1'000;
constexpr int64_t collector_look_millis = 1'500;
constexpr int64_t calm_pace = 20;
// Two start-up deadlines and the back-off between them, for each of a handful of tiers in a row.
constexpr int64_t calm_millis_max = 45 * 60'000;
constexpr int64_t quiet_millis = 8 * 60'000;  // longer than any back-off, deadline or time of being parked
constexpr int64_t hour_millis = 60 * 60'000;
constexpr int64_t steps_max = 400'000;

// Owner: run().
class Run {
 public:
  Run(const Plan& plan, Defect defect, bool told) : world_(plan, defect, told) {}

  Outcome go();

 private:
  void connect();
  void every(int64_t millis, std::function<void()> what);
  void collect_later();
  void measure();
  bool advance(BootMillis until);  // false: a rule is broken
  bool settle();
  bool stay_settled();
  void fail_settling(std::string what);

  World world_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  Election election_{world_, replicas_};
  Troubles troubles_{world_, replicas_, election_};
  Random dice_{world_.plan.seed, "run"};
  bool collecting_ = false;
  int64_t version_checked_ = 0, steps_ = 0;
};

void Run::every(int64_t millis, std::function<void()> what) {
  int64_t pace = world_.calm ? calm_pace : 1;  // when little happens, it is enough to look now and then
  world_.time.after(millis * pace, [this, millis, what] {
    what();
    every(millis, what);
  });
}

void Run::collect_later() {
  if (collecting_) return;
  collecting_ = true;
  world_.time.after(dice_.between(collector_millis_min, collector_millis_max), [this] {
    world_.actor = "collector";
    collecting_ = false;
    if (world_.server.collect()) collect_later();
  });
}

void Run::measure() {
  for (auto& machine : world_.machines) {
    if (!machine.measure()) continue;
    for (auto& replica : replicas_)
      if (Process* process = replica->process()) process->memory_measured(machine.name());
  }
  world_.rules.check_pressure();
}

void Run::connect() {
  ApiServer& server = world_.server;
  auto tell = [this](void (LaggingCache::*written)()) {
    for (auto& replica : replicas_)
      if (replica->process()) (replica->process()->cache().*written)();
  };
  server.pods.watchers.push_back([this, tell](const auto& before, const auto& after) {
    world_.rules.pod_changed(before, after);
    for (auto& machine : world_.machines) machine.pod_changed(before, after);
    tell(&LaggingCache::written_pod);
    if (!after || after->metadata.deleting()) collect_later();
  });
  server.stacks.watchers.push_back([this, tell](const auto& before, const auto& after) {
    world_.rules.stack_changed(before, after);
    tell(&LaggingCache::written_stack);
    if (!after || after->metadata.deleting()) collect_later();
  });
  server.services.watchers.push_back(
      [tell](const auto&, const auto&) { tell(&LaggingCache::written_service); });
  server.nodes.watchers.push_back([this, tell](const auto& before, const auto& after) {
    world_.rules.node_changed(before, after);
    tell(&LaggingCache::written_node);
  });
}

bool Run::advance(BootMillis until) {
  while (world_.time.next() <= until) {
    if (world_.rules.broken()) return false;
    world_.actor = "machine";
    world_.time.step();
    if (++steps_ > steps_max) {
      fail_settling("it never rests");
      return false;
    }
    if (world_.server.version() == version_checked_) continue;
    version_checked_ = world_.server.version();
    world_.rules.check_memory();
  }
  return !world_.rules.broken();
}

void Run::fail_settling(std::string what) {
  world_.rules.fail("10 it settles", std::move(what));
}

// Quiet: no operator has written anything for longer than any of its own waits.
bool Run::settle() {
  BootMillis deadline = world_.time.boot() + calm_millis_max;
  int64_t writes = -1;
  while (writes != world_.writes) {
    writes = world_.writes;
    if (world_.time.boot() > deadline) {
      fail_settling("writes have not ended");
      return false;
    }
    if (!advance(world_.time.boot() + quiet_millis)) return false;
  }
  if (!election_.leader()) fail_settling("nobody leads");
  world_.rules.check_settled();
  return !world_.rules.broken();
}

// Of what its tiers are used for a stack may tell every ten minutes, if anything changed; where they are not
// observed nothing of it is written.
bool Run::stay_settled() {
  int64_t writes = world_.writes, requests = world_.requests, events = world_.events;
  int64_t version = world_.server.version(), figures = 0;
  std::map<api::NamespacedName, std::string> quiet;
  for (const auto& [key, stack] : world_.server.stacks.objects) {
    if (stack->spec.tuning.mode == api::TuningMode::Observe)
      figures += hour_millis / reconcile::UsageLog::rest_millis + 1;
    else
      quiet[key] = stack->metadata.resource_version;
  }
  for (int visit = 0; visit < 3; ++visit) {
    if (Process* leader = election_.leader()) leader->visit_all();
    if (!advance(world_.time.boot() + hour_millis / 3)) return false;
  }
  int64_t written = world_.writes - writes, read = world_.requests - requests - written;
  bool changed = std::any_of(quiet.begin(), quiet.end(), [&](const auto& stack) {
    return world_.server.stacks.find(stack.first)->metadata.resource_version != stack.second;
  });
  if (written > figures || world_.server.version() - version > figures || changed)
    world_.rules.fail("7 a settled pass writes nothing",
                      fmt::format("{} writes in an hour in which nothing happened", written));
  if (read != 0 || world_.events != events)
    world_.rules.fail("7 a settled pass asks and tells nothing",
                      fmt::format("{} requests and {} events in an hour in which nothing happened", read,
                                  world_.events - events));
  return !world_.rules.broken();
}

Outcome Run::go() {
  connect();
  for (int i = 0; i < world_.plan.replicas; ++i) replicas_.push_back(std::make_unique<Replica>(world_, i));
  every(election_millis, [this] { election_.look(); });
  every(collector_look_millis, [this] { collect_later(); });
  every(silence_look_millis, [this] { world_.rules.check_silence(); });
  every(measure_millis, [this] { measure(); });
  troubles_.apply_stacks();
  for (const auto& incident : world_.plan.incidents)
    world_.time.after(incident.at_millis, [this, incident] { troubles_.befall(incident); });
  bool fine = advance(Timeline::boot_begin + world_.plan.storm_millis);
  if (fine) {
    world_.story.tell("", "--- calm ---");
    world_.calm = true;
    troubles_.end();
    // What was set in motion in the storm ends within its own time: the longest is that of an orphan that
    // loads.
    fine = advance(world_.time.boot() + reconcile::abandoned_millis + 60'000) && settle() && stay_settled();
  }
  Outcome outcome;
  outcome.broken = world_.rules.broken();
  for (auto& replica : replicas_) outcome.passes += replica->passes_made();
  outcome.writes = world_.writes;
  outcome.steps = steps_;
  outcome.virtual_millis = world_.time.boot() - Timeline::boot_begin;
  outcome.story = world_.story.lines();
  return outcome;
}

}  // namespace

Outcome run(const Plan& plan, Defect defect, bool told) {
  return Run(plan, defect, told).go();
}

}  // namespace strix::sim
