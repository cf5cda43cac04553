#include "sim/machine.h"

#include <algorithm>

#include "api/names.h"
#include "planner/claim.h"
#include "reconcile/pod_stage.h"

namespace strix::sim {

namespace {

constexpr const char* hostname_label = "kubernetes.io/hostname";
constexpr int killed = 137;

bool serves(const api::Pod& pod) {
  const api::PodCondition* serving = pod.condition(names::readiness_gate);
  return serving && serving->status == "True";
}

}  // namespace

Machine::Machine(Timeline& time, Story& story, ApiServer& server, const Plan& plan, int index)
    : time_(time),
      story_(story),
      server_(server),
      rates_(plan.rates),
      dice_(plan.seed, fmt::format("machine{}", index)),
      name_(fmt::format("box{}", index)),
      profile_(plan.machines[static_cast<size_t>(index)]),
      images_(time, story, server, plan, name_) {
  api::Node node;
  node.metadata.name = name_;
  node.metadata.labels[hostname_label] = name_;
  node.allocatable["squat.ai/dri"] = 8;
  node.ready = true;
  node.boot_id = "boot-1";
  node.images = images_.listed();
  server_.put_node(node);
  has_agent_ = Random(plan.seed, name_ + " agent").chance(700);
  Random truth(plan.seed, name_ + " truth");
  int64_t real_milli = truth.chance(700) ? 1000 : truth.between(850, 999);
  gpu_total_bytes_ = profile_.gpu_memory_bytes / 1000 * real_milli;
  short_of_context_ = truth.chance(150);
}

EngineProcess* Machine::process_of(const std::string& uid) {
  for (auto& process : processes_)
    if (process.uid == uid) return &process;
  return nullptr;
}

const EngineProcess* Machine::find(const std::string& uid) const {
  for (const auto& process : processes_)
    if (process.uid == uid) return &process;
  return nullptr;
}

bool Machine::silent(const std::string& uid) const {
  const EngineProcess* process = find(uid);
  return !process || !process->answers(time_.boot());
}

// --- scheduler and kubelet

void Machine::pod_changed(const Shared<api::Pod>& before, const Shared<api::Pod>& after) {
  const api::Pod& pod = after ? *after : *before;
  if (after && before && serves(*before) && !serves(*after))
    if (EngineProcess* process = process_of(pod.metadata.uid); process && !process->dead)
      process->busy_until = time_.boot() + (dice_.chance(500) ? dice_.between(0, 20'000) : 0);
  if (pod.node_name.empty()) {
    if (!after || !after->scheduling_gates.empty() || after->metadata.deleting()) return;
    if (server_.spec_of(pod.metadata.uid).hostname != name_) return;
    time_.after(dice_.between(2, 120),
                [this, key = pod.metadata.key(), uid = pod.metadata.uid] { bind(key, uid); });
    return;
  }
  if (pod.node_name == name_) sync_soon(pod.metadata.key());
}

void Machine::bind(const api::NamespacedName& key, const std::string& uid) {
  Shared<api::Pod> pod = server_.pods.find(key);
  if (!pod || pod->metadata.uid != uid || !pod->node_name.empty() || pod->metadata.deleting()) return;
  Shared<api::Node> node = server_.nodes.find({"", name_});
  if (!node->ready || node->unschedulable) {
    time_.after(2'000, [this, key, uid] { bind(key, uid); });
    return;
  }
  story_.tell("scheduler", "binds {} to {}", key.text(), name_);
  (void)server_.bind_pod(key, name_);
}

void Machine::sync_soon(const api::NamespacedName& pod) {
  time_.after(dice_.between(3, 150), [this, pod] { sync(pod); });
}

void Machine::sync(const api::NamespacedName& key) {
  if (down()) return;  // all are looked at when it comes back
  Shared<api::Pod> pod = server_.pods.find(key);
  for (auto& process : processes_) {
    bool gone = !pod || pod->metadata.uid != process.uid;
    if (process.pod == key && gone && !process.dead) terminate(process, 30);
  }
  if (!pod || pod->node_name != name_) return;
  if (reconcile::is_pull_pod(*pod)) return images_.sync(*pod);
  EngineProcess* process = process_of(pod->metadata.uid);
  bool deleting = pod->metadata.deleting();
  if (process && !process->dead) {
    if (deleting) terminate(*process, pod->metadata.deletion_grace_seconds);
    return;
  }
  if (process && !pod->terminal()) post_end(*pod, *process);
  if (deleting) {
    story_.tell(name_, "removes pod {}", key.text());
    (void)server_.delete_pod(key, {pod->metadata.uid, ""}, 0);
  } else if (!process && !pod->terminal()) {
    begin(*pod);
  }
}

void Machine::begin(const api::Pod& pod) {
  if (!calm_ && dice_.chance(rates_.rejected)) {
    story_.tell(name_, "refuses pod {}", pod.metadata.key().text());
    (void)server_.patch_pod(pod.metadata.key(), {pod.metadata.uid, ""}, [&](api::Pod& p) {
      p.phase = "Failed";
      p.reason = "UnexpectedAdmissionError";
      p.message = "allocate failed";
      return true;
    });
    return;
  }
  EngineProcess& process = processes_.emplace_back();
  process.uid = pod.metadata.uid;
  process.pod = pod.metadata.key();
  process.stack = pod.metadata.label(names::label_stack);
  process.tier = pod.metadata.label(names::label_tier);
  process.spec = server_.spec_of(process.uid);
  process.gpu_bytes = planner::fraction_bytes(gpu_total_bytes_, process.spec.gpu_fraction_milli);
  process.epoch = epoch_;
  draw_fate(process);
  story_.tell(name_, "starts the engine of {} ({})", process.pod.text(), process.uid);
  std::string uid = process.uid;
  if (process.dies_at != never)
    time_.at(process.dies_at, [this, uid] {
      if (EngineProcess* p = process_of(uid); p && p->loading(time_.boot()))
        die(uid, p->exit_code, "by itself");
    });
  time_.at(process.listens_at, [this, uid] { measures_free(uid); });
  if (process.healthy_at != never) time_.at(process.healthy_at, [this, uid] { loaded(uid); });
  post_running(process);
}

void Machine::draw_fate(EngineProcess& process) {
  BootMillis now = time_.boot();
  int64_t load = dice_.chance(300) ? dice_.between(5'000, 25'000) : dice_.between(300, 5'000);
  process.listens_at = now + dice_.between(50, 800);
  process.healthy_at = process.listens_at + load;
  process.warm_at = process.healthy_at + dice_.between(50, 2'000);
  bool dies = dice_.chance(rates_.die_loading), hangs = dice_.chance(rates_.hang_loading);
  bool ignores = dice_.chance(rates_.ignore_term), leaks = dice_.chance(rates_.leak);
  int64_t dies_after = dice_.between(0, load), leak = dice_.between(100, 1'500), code = dice_.between(0, 2);
  // The memory of a GPU comes back within the time that the operator lets it settle.
  if (leaks && process.spec.gpu) process.leak_millis = leak;
  if (calm_) return;
  process.ignores_term = ignores;
  if (hangs) process.healthy_at = process.warm_at = never;
  if (!dies) return;
  process.dies_at = process.listens_at + dies_after;
  process.exit_code = code == 2 ? killed : static_cast<int>(code);
}

// vLLM compares the pool at the end of its profiling with that of its start, and gives up when a neighbour
// moved.
void Machine::loaded(const std::string& uid) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead) return;
  if (process->spec.gpu && process->epoch != epoch_) return die(uid, 1, "it measured its neighbours");
  int64_t asked = process->spec.context_length_tokens,
          fits = context_most_tokens(process->spec.gpu_fraction_milli);
  if (process->spec.gpu && asked > fits) {
    process->last_words = fmt::format(
        "To serve at least one request with the model's max seq len ({}), (9.0 GiB KV cache is needed, which "
        "is larger than the available KV cache memory (3.0 GiB). Based on the available memory, the "
        "estimated "
        "maximum model length is {}.\n",
        asked, fits);
    return die(uid, 1, "its context does not fit");
  }
  ++epoch_;
  story_.tell(name_, "the engine of {} has loaded", process->pod.text());
}

void Machine::terminate(EngineProcess& process, int64_t grace_seconds) {
  if (process.terminated) return;
  process.terminated = true;
  bool waits = process.ignores_term && process.loading(time_.boot());
  int64_t patience = std::max<int64_t>(grace_seconds, 1) * 1000;
  int64_t takes = waits ? patience : std::min(dice_.between(100, 2'500), patience);
  story_.tell(name_, "sends SIGTERM to {} ({}){}", process.pod.text(), process.uid,
              waits ? ", which ignores it" : "");
  time_.after(takes, [this, uid = process.uid, waits] { die(uid, waits ? killed : 0, "stopped"); });
}

void Machine::die(const std::string& uid, int exit_code, const char* why) {
  EngineProcess* process = process_of(uid);
  if (!process || process->dead) return;
  if (process->jammed(time_.boot())) {
    time_.at(process->jammed_until, [this, uid, exit_code, why] { die(uid, exit_code, why); });
    return;
  }
  process->dead = true;
  process->exit_code = exit_code;
  process->died_at = time_.boot();
  process->holds_until = time_.boot() + process->leak_millis;
  story_.tell(
      name_, "the engine of {} ({}) ends with {}: {}{}", process->pod.text(), uid, exit_code, why,
      process->leak_millis ? fmt::format("; its memory comes back in {} ms", process->leak_millis) : "");
  time_.at(process->holds_until, [this] { ++epoch_; });
  sync_soon(process->pod);
}

void Machine::post_running(const EngineProcess& process) {
  (void)server_.patch_pod(process.pod, {process.uid, ""}, [&](api::Pod& p) {
    p.phase = "Running";
    p.pod_ip = fmt::format("10.0.{}.{}", name_.back() - '0', ++addresses_);
    p.engine = api::ContainerStatus{};
    p.engine->name = "engine";
    p.engine->running = true;
    p.engine->started = whole_seconds(time_.now().wall);
    return true;
  });
}

void Machine::post_end(const api::Pod& pod, const EngineProcess& process) {
  story_.tell(name_, "says that {} has ended with {}", pod.metadata.key().text(), process.exit_code);
  (void)server_.patch_pod(pod.metadata.key(), {pod.metadata.uid, ""}, [&](api::Pod& p) {
    p.phase = process.exit_code == 0 ? "Succeeded" : "Failed";
    if (lost_words_) {
      p.phase = "Failed";
      p.engine.reset();
      return true;
    }
    api::ContainerStatus engine = p.engine.value_or(api::ContainerStatus{});
    engine.name = "engine";
    engine.running = false;
    engine.terminated = true;
    engine.exit_code = process.exit_code;
    engine.finished = whole_seconds(time_.now().wall - (time_.boot() - process.died_at));
    p.engine = engine;
    return true;
  });
}

// --- the machine as a whole

void Machine::post(bool ready, const std::string& message) {
  api::Node node = *server_.nodes.find({"", name_});
  std::string boot = fmt::format("boot-{}", boots_);
  if (node.ready == ready && node.boot_id == boot) return;
  story_.tell(name_, "is {}", ready ? "Ready" : "not Ready");
  if (node.ready != ready) node.ready_since = whole_seconds(time_.now().wall);
  node.ready = ready;
  node.ready_message = message;
  if (ready) node.boot_id = boot;
  server_.put_node(node);
}

void Machine::go_down(int64_t millis) {
  down_until_ = std::max(down_until_, time_.boot() + millis);
  images_.go_down();
  time_.after(dice_.between(1'000, 40'000), [this] {
    if (down()) post(false, "Kubelet stopped posting node status.");
  });
  time_.at(down_until_, [this] { come_back(); });
}

void Machine::come_back() {
  if (down()) return;
  post(true, "");
  std::vector<api::NamespacedName> mine;
  for (const auto& [key, pod] : server_.pods.objects)
    if (pod->node_name == name_) mine.push_back(key);
  for (const auto& process : processes_) mine.push_back(process.pod);
  for (const auto& key : mine) sync_soon(key);
}

void Machine::stall(int64_t millis) {
  story_.tell(name_, "the kubelet stands still for {} ms", millis);
  go_down(millis);
}

void Machine::reboot(int64_t millis) {
  story_.tell(name_, "reboots, for {} ms", millis);
  ++boots_;
  lost_words_ = dice_.chance(300);
  for (auto& process : processes_) {
    if (process.dead) {
      process.holds_until = std::min(process.holds_until, time_.boot());
      continue;
    }
    process.dead = true;
    process.died_at = process.holds_until = time_.boot();
    process.exit_code = killed;
  }
  ++epoch_;
  go_down(millis);
  time_.at(down_until_ + 5'000, [this] { lost_words_ = false; });
}

void Machine::cordon(bool unschedulable) {
  api::Node node = *server_.nodes.find({"", name_});
  if (node.unschedulable == unschedulable) return;
  story_.tell("person", "{} {}", unschedulable ? "cordons" : "uncordons", name_);
  node.unschedulable = unschedulable;
  server_.put_node(node);
}

void Machine::be_calm() {
  calm_ = true;
  images_.be_calm();
  down_until_ = std::min(down_until_, time_.boot());
  cordon(false);
  come_back();
  // A process that hangs in the driver does so for its time; the calm is longer.
  for (auto& process : processes_) process.silent_until = std::min(process.silent_until, time_.boot());
}

// --- what its ports answer

probe::Answer Machine::answer(const std::string& uid, probe::AskKind kind) {
  probe::Answer answer;
  answer.kind = kind;
  BootMillis now = time_.boot();
  const EngineProcess* process = find(uid);
  if (!process || process->dead || now < process->listens_at) {
    answer.delivery = probe::Delivery::Refused;
    answer.complaint = "connection refused";
    return answer;
  }
  if (process->wedged || now < process->silent_until) {
    answer.delivery = probe::Delivery::TimedOut;
    answer.complaint = "no answer in time";
    answer.health = engines::HealthReading::Failing;
    return answer;
  }
  answer.health =
      now < process->healthy_at ? engines::HealthReading::Loading : engines::HealthReading::Healthy;
  answer.warmed_up = now >= process->warm_at;
  if (kind == probe::AskKind::WarmUp && !answer.warmed_up) answer.complaint = "warm-up answered 500";
  answer.report.context_length_tokens = answer.report.kv_tokens = process->spec.context_length_tokens;
  answer.report.version = "1.2.3";
  if (kind == probe::AskKind::Usage) {
    answer.usage = engines::Usage{};
    answer.usage->kv_used_milli = static_cast<int>(dice_.between(0, 1000));
    answer.usage->load = {dice_.between(0, 2), 0};
  }
  if (kind == probe::AskKind::Load && dice_.chance(900))
    answer.load = engines::Load{now < process->busy_until ? 1 : 0, 0};
  return answer;
}

}  // namespace strix::sim
