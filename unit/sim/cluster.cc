#include "sim/cluster.h"

#include <algorithm>

#include "api/names.h"
#include "base/hash.h"

namespace strix::sim {

namespace {

constexpr int64_t deadline_millis = 3'000;

Error unknown_outcome() {
  return {ErrorKind::Timeout, "no answer in time", 0};
}

}  // namespace

SimCluster::Fate SimCluster::draw_fate(bool write) {
  Fate fate;
  fate.there_millis = dice_.between(0, world_.plan.latency_millis_max);
  fate.back_millis = dice_.between(0, world_.plan.latency_millis_max);
  const Rates& rates = world_.plan.rates;
  bool slow = dice_.chance(rates.slow_request), conflict = dice_.chance(rates.conflict);
  bool throttled = dice_.chance(rates.throttled), unavailable = dice_.chance(rates.unavailable);
  bool lost = dice_.chance(rates.lost_request), lost_answer = dice_.chance(rates.lost_answer);
  bool late = dice_.chance(rates.late_request);
  int64_t slowness = dice_.between(100, 2'500), lateness = dice_.between(500, 9'000);
  if (world_.calm) return fate;
  if (world_.time.boot() < world_.api_down_until) {
    fate.arrives = false;
    fate.back_millis = slowness;
    fate.answered = Error{ErrorKind::Unreachable, "connection refused", 0};
    return fate;
  }
  if (slow) (dice_.chance(500) ? fate.there_millis : fate.back_millis) += slowness;
  if (throttled) fate.refused = Error{ErrorKind::Throttled, "too many requests", 1};
  if (unavailable) fate.refused = Error{ErrorKind::Unavailable, "etcdserver: leader changed", 0};
  if (write && conflict) fate.refused = Error{ErrorKind::Conflict, "the object has been modified", 0};
  if (!lost && !lost_answer && !late) return fate;
  fate.answered = unknown_outcome();
  fate.back_millis = deadline_millis;
  if (lost) fate.arrives = false;
  if (late) fate.there_millis += lateness;
  return fate;
}

template <class T>
Result<T> SimCluster::exchange(bool write, std::string what, std::function<Result<T>()> effect, bool opens) {
  ++world_.requests;
  if (!write) return send<T>(draw_fate(false), std::move(what), std::move(effect));
  if (!host_.may_write()) return Error{ErrorKind::Canceled, "not the leader any more", 0};
  ++world_.writes;
  Fate fate = draw_fate(true);
  bool dies = dice_.chance(world_.plan.rates.crash), sent = dice_.chance(600);
  if (!world_.calm && opens && host_.doomed()) {
    fate = {};
    fate.there_millis = dice_.between(1'000, 20'000);
    host_.crash("while a write is on its way");
    // Short of memory, the kernel takes an engine with it.
    Machine& machine = world_.machines[static_cast<size_t>(dice_.between(0, 2)) % world_.machines.size()];
    for (const auto& process : machine.processes())
      if (process.answers(world_.time.boot()) && dice_.chance(500)) {
        machine.kill(process.uid, 137);
        break;
      }
  }
  if (!world_.calm && dies && !sent) {
    host_.crash("before a write");
    host_.fiber().suspend();
  }
  if (!world_.calm && dies) host_.crash("after a write was sent");
  return send<T>(fate, std::move(what), std::move(effect));
}

template <class T>
Result<T> SimCluster::send(const Fate& fate, std::string what, std::function<Result<T>()> effect) {
  auto answer = std::make_shared<std::optional<Result<T>>>();
  World& world = world_;
  if (fate.arrives) {
    auto arrive = [&world, answer, effect = std::move(effect), refused = fate.refused, name = name_, what,
                   sender = std::weak_ptr<int>(alive_)] {
      if (refused) {
        *answer = *refused;
      } else {
        std::string before =
            std::exchange(world.actor, "operator " + name + (sender.expired() ? " (dead)" : ""));
        *answer = effect();
        world.actor = before;
      }
      if (!what.empty()) world.story.tell(name, "{}{}", what, **answer ? "" : ": " + (*answer)->error().text);
    };
    world.time.after(fate.there_millis, std::move(arrive));
  }
  Fiber& fiber = host_.fiber();
  int64_t until = fate.answered ? fate.back_millis : fate.there_millis + fate.back_millis;
  world.time.after(until, [alive = std::weak_ptr<int>(alive_), this, &fiber] {
    if (!alive.expired()) host_.resume(fiber);
  });
  fiber.suspend();
  if (!fate.answered) return std::move(**answer);
  if (!what.empty()) world.story.tell(name_, "hears nothing of: {}", what);
  return *fate.answered;
}

Facts SimCluster::facts_of(const reconcile::PodRef& pod, const std::string& stack) const {
  const Fiber* pass = &host_.fiber();
  auto listed = listed_.find(pass);
  auto read = read_.find({pass, {pod.name.namespace_, stack}});
  return {listed == listed_.end() ? 0 : listed->second, read == read_.end() ? 0 : read->second};
}

Status SimCluster::create_pod(const std::string&, const std::string& body) {
  return exchange<Unit>(true, "creates a pod", [&world = world_, body]() -> Status {
    size_t count = world.server.pods.history.size();
    Status done = world.server.create_pod(body);
    if (done && world.server.pods.history.size() > count) {
      const api::Pod& pod = *world.server.pods.history[count].after;
      world.story.tell("", "  that is {} ({})", pod.metadata.key().text(), pod.metadata.uid);
      world.rules.created(pod, body);
    }
    return done;
  });
}

Status SimCluster::delete_pod(const reconcile::PodRef& ref) {
  return exchange<Unit>(true, fmt::format("deletes {} ({})", ref.name.text(), ref.uid),
                        [&world = world_, ref]() -> Status {
                          Shared<api::Pod> before = world.server.pods.find(ref.name);
                          Status done = world.server.delete_pod(ref.name, {ref.uid, ref.resource_version});
                          if (done) world.rules.deleted(*before, ref);
                          return done;
                        });
}

Status SimCluster::set_serving(const reconcile::PodRef& ref, bool serving, std::string_view reason,
                               const std::string& message, WallMillis now) {
  api::PodCondition condition{std::string(names::readiness_gate), serving ? "True" : "False",
                              std::string(reason), message, whole_seconds(now)};
  bool draining = reason == names::serving_draining;
  Preconditions given{ref.uid, draining ? ref.resource_version : ""};
  auto effect = [&world = world_, ref, condition, serving, draining, given,
                 facts = facts_of(ref, "")]() -> Status {
    Shared<api::Pod> before = world.server.pods.find(ref.name);
    Status done = world.server.patch_pod(ref.name, given, [&](api::Pod& pod) {
      for (auto& known : pod.conditions) {
        if (known.type != condition.type) continue;
        bool same = known.status == condition.status && known.reason == condition.reason &&
                    known.message == condition.message && known.last_transition == condition.last_transition;
        known = condition;
        return !same;
      }
      pod.conditions.push_back(condition);
      return true;
    });
    if (done) world.rules.served(*before, serving, draining, facts);
    return done;
  };
  return exchange<Unit>(
      true, fmt::format("sets serving {} of {} to {} ({})", ref.uid, ref.name.text(), serving, reason),
      std::move(effect), draining);
}

Status SimCluster::admit_pod(const reconcile::PodRef& ref, const std::string& boot_id, WallMillis now) {
  host_.claim();
  std::string stack = ref.name.name.substr(0, ref.name.name.rfind('-'));
  auto effect = [&world = world_, ref, boot_id, now, facts = facts_of(ref, stack)]() -> Status {
    Status done = world.server.patch_pod(ref.name, {ref.uid, ref.resource_version}, [&](api::Pod& pod) {
      std::erase(pod.scheduling_gates, names::scheduling_gate);
      pod.metadata.labels[std::string(names::label_admitted)] = "true";
      pod.metadata.annotations[std::string(names::annotation_admitted_at)] = format_micro_time(now);
      pod.metadata.annotations[std::string(names::annotation_boot_id)] = boot_id;
      return true;
    });
    if (done) world.rules.admitted(*world.server.pods.find(ref.name), facts);
    return done;
  };
  return exchange<Unit>(true, fmt::format("lets in {} ({})", ref.name.text(), ref.uid), std::move(effect),
                        true);
}

Status SimCluster::vouch_for_pod(const reconcile::PodRef& ref, const std::string& leader) {
  return exchange<Unit>(
      true, fmt::format("vouches for {} ({})", ref.name.text(), ref.uid), [&world = world_, ref, leader] {
        return world.server.patch_pod(ref.name, {ref.uid, ref.resource_version}, [&](api::Pod& pod) {
          std::string& vouched = pod.metadata.annotations[std::string(names::annotation_leader)];
          return std::exchange(vouched, leader) != leader;
        });
      });
}

Status SimCluster::note_claim(const reconcile::PodRef& ref, const std::string& claim) {
  return exchange<Unit>(
      true, fmt::format("notes the claim of {} ({})", ref.name.text(), ref.uid),
      [&world = world_, ref, claim] {
        return world.server.patch_pod(ref.name, {ref.uid, ref.resource_version}, [&](api::Pod& pod) {
          std::string& noted = pod.metadata.annotations[std::string(names::annotation_claim)];
          return std::exchange(noted, claim) != claim;
        });
      });
}

Status SimCluster::adopt_pod(const reconcile::PodRef& ref, const api::InferenceStack& stack) {
  api::OwnerReference owner{std::string(names::kind), stack.metadata.name, stack.metadata.uid, true};
  return exchange<Unit>(
      true, fmt::format("adopts {} ({})", ref.name.text(), ref.uid),
      [&world = world_, ref, owner]() -> Status {
        Shared<api::Pod> before = world.server.pods.find(ref.name);
        Status done = world.server.adopt_pod(ref.name, {ref.uid, ref.resource_version}, owner);
        if (done) world.rules.adopted(*before);
        return done;
      });
}

Status SimCluster::create_service(const std::string&, const std::string& body) {
  return exchange<Unit>(true, "creates a Service",
                        [&world = world_, body] { return world.server.create_service(body); });
}

Status SimCluster::apply_service(const std::string& ns, const std::string& name, const std::string& body) {
  return exchange<Unit>(true, "patches Service " + name, [&world = world_, ns, name, body] {
    return world.server.patch_service({ns, name}, body);
  });
}

Status SimCluster::delete_service(const std::string& ns, const std::string& name, const std::string& uid) {
  return exchange<Unit>(true, "deletes Service " + name, [&world = world_, ns, name, uid] {
    return world.server.delete_service({ns, name}, {uid, ""});
  });
}

Result<std::string> SimCluster::set_finalizer(const api::InferenceStack& stack, bool present) {
  std::vector<std::string> finalizers;
  for (const auto& finalizer : stack.metadata.finalizers)
    if (finalizer != names::finalizer) finalizers.push_back(finalizer);
  if (present) finalizers.emplace_back(names::finalizer);
  return exchange<std::string>(
      true, fmt::format("{} the finalizer of {}", present ? "sets" : "takes away", stack.metadata.name),
      [&world = world_, key = stack.metadata.key(), finalizers, uid = stack.metadata.uid,
       version = stack.metadata.resource_version] {
        return world.server.set_finalizers(key, {uid, version}, finalizers);
      });
}

Result<std::string> SimCluster::apply_status(const api::InferenceStack& stack,
                                             const std::string& resource_version,
                                             const api::StackStatus& status) {
  std::string what;
  if (world_.story.told()) {
    what = fmt::format("says of {}: {};", stack.metadata.name, status.summary.status);
    for (const auto& tier : status.tiers)
      what += fmt::format(" {} {} ({})", tier.name, tier.state, tier.reason);
  }
  return exchange<std::string>(true, what,
                               [&world = world_, key = stack.metadata.key(), resource_version, status] {
                                 auto done = world.server.apply_status(key, resource_version, status);
                                 if (done) world.rules.told(key, status);
                                 return done;
                               });
}

Result<api::InferenceStack> SimCluster::read_stack(const api::NamespacedName& name) {
  auto read = [this, alive = std::weak_ptr<int>(alive_), &world = world_, name,
               pass = &host_.fiber()]() -> Result<api::InferenceStack> {
    if (!alive.expired()) read_[{pass, name}] = world.time.boot();
    Shared<api::InferenceStack> stack = world.server.stacks.find(name);
    if (!stack) return Error{ErrorKind::NotFound, name.text() + " not found", 0};
    return *stack;
  };
  return exchange<api::InferenceStack>(false, "", std::move(read));
}

Result<std::vector<api::Pod>> SimCluster::read_admitted_pods(const std::string& node) {
  return exchange<std::vector<api::Pod>>(
      false, "",
      [this, alive = std::weak_ptr<int>(alive_), &world = world_, node,
       pass = &host_.fiber()]() -> Result<std::vector<api::Pod>> {
        if (!alive.expired()) listed_[pass] = world.time.boot();
        std::vector<api::Pod> found;
        for (const auto& [key, pod] : world.server.pods.objects)
          if (pod->metadata.label(names::label_node) == stable_hash_hex(node) &&
              pod->metadata.label(names::label_admitted) == "true")
            found.push_back(*pod);
        return found;
      });
}

Result<std::string> SimCluster::read_log(const api::NamespacedName& name) {
  return exchange<std::string>(false, "", [&world = world_, name]() -> Result<std::string> {
    Shared<api::Pod> pod = world.server.pods.find(name);
    if (!pod || pod->node_name.empty()) return Error{ErrorKind::NotFound, name.text() + " has no log", 0};
    Machine* machine = world.machine(pod->node_name);
    const EngineProcess* process = machine ? machine->find(pod->metadata.uid) : nullptr;
    return "INFO loading\n" + (process ? process->last_words : "");
  });
}

Result<std::string> SimCluster::read_secret(const std::string&, const std::string& name, const std::string&) {
  return Error{ErrorKind::NotFound, "no Secret " + name, 0};
}

}  // namespace strix::sim
