#include "reconcile/stack_reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/names.h"
#include "reconcile/refusal.h"
#include "reconcile/retry.h"

namespace strix::reconcile {

namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

std::string pod_object(const api::NamespacedName& name) {
  return "pod/" + name.text();
}
std::string service_object(const std::string& name) {
  return "service/" + name;
}

Error in_context(const Error& error, std::string_view verb, const std::string& object) {
  return error.wrap(fmt::format("{} {}", verb, object));
}

}  // namespace

StackReconciler::StackReconciler(Ports ports, Board& board, api::Policy policy, std::string leader)
    : ports_(std::move(ports)), board_(board), policy_(std::move(policy)), leader_(std::move(leader)) {}

StackReconciler::Memory& StackReconciler::memory_of(const api::NamespacedName& stack) {
  std::lock_guard lock(mutex_);
  return memories_[stack];
}

// Its tiers' pods are the garbage collector's; orphans go on serving. Pods that pull are of no use to
// anybody.
PassResult StackReconciler::forget(const api::NamespacedName& stack) {
  for (const auto& node : board_.remove(stack)) ports_.wake_node(node);
  ports_.prober->watch(stack, {});
  if (ports_.gone) ports_.gone(stack);
  {
    std::lock_guard lock(mutex_);
    memories_.erase(stack);
  }
  for (const auto& pod : ports_.cache->pull_pods_of_stack(stack)) {
    const api::ObjectMeta& meta = pod->metadata;
    if (meta.deleting()) continue;
    Status done = ports_.cluster->delete_pod({meta.key(), meta.uid, meta.resource_version});
    if (!done && done.error().kind != ErrorKind::NotFound)
      return {{}, in_context(done.error(), "delete", pod_object(meta.key()))};
  }
  return {};
}

PassResult StackReconciler::reconcile(const api::NamespacedName& name) {
  Shared<api::InferenceStack> stack = ports_.cache->stack(name);
  if (!stack) return forget(name);
  Memory& memory = memory_of(name);
  Now now = ports_.clock();
  if (cache_lags(name, memory, now))
    return {std::max<int64_t>(1, memory.expectations.deadline(now) - now.boot), {}};

  Observed observed = observe(std::move(stack), memory, now);
  Decision decision = decide(observed);
  for (const auto& node : board_.post(name, decision.requests, decision.profiles, decision.tiers))
    ports_.wake_node(node);
  ports_.prober->watch(name, decision.targets);
  PassResult result = act(observed, decision, memory);
  sooner(result.retry_after_millis, memory.usage.due_in_millis(now.boot));
  for (const auto& [tier, refusal] : memory.service_refusals)
    sooner(result.retry_after_millis, std::max<int64_t>(1, refusal.until - now.boot));
  if (std::exchange(memory.to_tell, false)) sooner(result.retry_after_millis, 1);
  for (const auto& [tier, refusal] : memory.refusals)
    sooner(result.retry_after_millis, std::max<int64_t>(1, refusal.until - now.boot));
  return result;
}

bool StackReconciler::cache_lags(const api::NamespacedName& name, Memory& memory, Now now) const {
  auto version_of = [&](const std::string& object) -> std::string {
    if (object == "stack") {
      auto stack = ports_.cache->stack(name);
      return stack ? stack->metadata.resource_version : "";
    }
    for (const auto& pod : ports_.cache->pods_of_stack(name))
      if (pod_object(pod->metadata.key()) == object) return pod->metadata.resource_version;
    for (const auto& pod : ports_.cache->pull_pods_of_stack(name))
      if (pod_object(pod->metadata.key()) == object) return pod->metadata.resource_version;
    for (const auto& service : ports_.cache->services_of_stack(name))
      if (service_object(service->metadata.name) == object) return service->metadata.resource_version;
    return "";
  };
  return memory.expectations.pending(version_of, now);
}

PassResult StackReconciler::act(const Observed& observed, const Decision& decision, Memory& memory) {
  PassResult result{decision.retry_after_millis, {}};
  bool created = false, tells = false;
  memory.stack_version = observed.stack->metadata.resource_version;
  for (const Action& action : decision.actions) {
    // Its tiers' pods are all that a first pass makes: with many stacks at once each gets its first pod
    // before any gets the rest. The pod's own event brings the key back.
    const auto* create = std::get_if<CreatePod>(&action);
    if (created && (!create || create->pulls)) return result;
    if (std::holds_alternative<ApplyStatus>(action)) {
      tells = true;
      if (int64_t left = status_delay_left(observed, decision, memory); left > 0) {
        result.retry_after_millis = left;
        continue;
      }
    }
    Status done = carry_out(observed, action, memory);
    // One that failed is due already: the pass fails again at once, and is backed off.
    if (done && std::holds_alternative<ApplyStatus>(action)) {
      memory.status_differs_since.reset();
      if (observed.usage) memory.usage.told(observed.now.boot);
    }
    if (!done) {
      result.error = done.error();
      return result;
    }
    created = created || (create && !memory.refusals.contains(create->tier));
    // Events are told once the status that they stand in is written; a stack that goes gets none any more.
    bool told = std::holds_alternative<ApplyStatus>(action) || std::holds_alternative<SetFinalizer>(action);
    if (told && &action == &decision.actions.back())
      for (const auto& event : decision.events) ports_.events->record(*observed.stack, event);
  }
  if (!tells) memory.status_differs_since.reset();
  if (!tells && observed.usage) memory.usage.told(observed.now.boot);
  return result;
}

// A write of the status takes the API server longer than anything else here, and what comes next in a start
// is a few milliseconds away: it waits that long, and tells both at once. What a node has not answered yet is
// worth a longer wait.
int64_t StackReconciler::status_delay_left(const Observed& observed, const Decision& decision,
                                           Memory& memory) {
  BootMillis now = observed.now.boot;
  if (!memory.status_differs_since) memory.status_differs_since = now;
  bool unanswered = std::any_of(decision.requests.begin(), decision.requests.end(), [&](const auto& request) {
    return !observed.verdicts.contains(request.pod.name.text());
  });
  int64_t delay = unanswered ? status_delay_unanswered_millis : status_delay_millis;
  return *memory.status_differs_since + delay - now;
}

// What the API server refuses for good (a name that is taken, a policy) is told in status and tried again
// later; anything else is an error of the pass.
Status StackReconciler::remember_refusal(const Error& error, const Attempt& attempt, BootMillis now,
                                         std::map<std::string, Refusal>& refusals, Memory& memory) {
  bool is_taken = error.kind == ErrorKind::AlreadyExists;
  if (!is_taken && !is_refusal(error)) return in_context(error, attempt.verb, attempt.object);
  Verdict taken{attempt.taken, attempt.object + " exists and belongs to something else; delete or rename it"};
  refusals[attempt.tier] = {is_taken ? std::move(taken) : refused_verdict(attempt.object, error),
                            now + refusal_millis};
  memory.to_tell = true;
  return success();
}

// The status was written: what it tells of is counted once.
void StackReconciler::count_restarts(const api::InferenceStack& stack,
                                     const api::StackStatus& written) const {
  if (!ports_.restarted) return;
  for (const auto& restart : restarts_between(stack.status, written))
    ports_.restarted(stack.metadata.key(), restart);
}

Status StackReconciler::carry_out(const Observed& observed, const Action& action, Memory& memory) {
  const api::InferenceStack& stack = *observed.stack;
  const std::string& ns = stack.metadata.namespace_;
  BootMillis boot = observed.now.boot;
  auto refusable = [&](Status done, const Attempt& attempt, std::map<std::string, Refusal>& refusals) {
    return done ? done : remember_refusal(done.error(), attempt, boot, refusals, memory);
  };
  auto about_service = [](std::string_view verb, const auto& a) {
    return Attempt{verb, names::reason_service_name_taken, service_object(a.name), a.tier};
  };
  auto changed = [&](Status done, std::string_view verb, const PodRef& pod) -> Status {
    if (!done) return in_context(done.error(), verb, pod_object(pod.name));
    memory.expectations.expect_change(pod_object(pod.name), pod.resource_version, boot);
    return done;
  };
  return std::visit(
      Overloaded{
          [&](const CreatePod& a) {
            std::string pod = pod_object({ns, a.name});
            Status done = ports_.cluster->create_pod(ns, a.body);
            if (done) memory.expectations.expect_change(pod, "", boot);
            return refusable(done, {"create", names::reason_pod_name_taken, pod, a.tier}, memory.refusals);
          },
          [&](const DeletePod& a) {
            Status done = ports_.cluster->delete_pod(a.pod);
            if (!done && done.error().kind == ErrorKind::NotFound) return success();
            return changed(std::move(done), "delete", a.pod);
          },
          [&](const SetServing& a) {
            return changed(
                ports_.cluster->set_serving(a.pod, a.serving, a.reason, a.message, observed.now.wall),
                "patch", a.pod);
          },
          [&](const AdoptPod& a) { return changed(ports_.cluster->adopt_pod(a.pod, stack), "adopt", a.pod); },
          [&](const NoteClaim& a) {
            return changed(ports_.cluster->note_claim(a.pod, a.claim), "patch", a.pod);
          },
          [&](const CreateService& a) {
            Status done = ports_.cluster->create_service(ns, a.body);
            if (done) memory.expectations.expect_change(service_object(a.name), "", boot);
            return refusable(done, about_service("create", a), memory.service_refusals);
          },
          [&](const ApplyService& a) {
            Status done = ports_.cluster->apply_service(ns, a.name, a.body);
            return refusable(done, about_service("patch", a), memory.service_refusals);
          },
          [&](const DeleteService& a) -> Status {
            Status done = ports_.cluster->delete_service(ns, a.name, a.uid);
            if (!done && done.error().kind != ErrorKind::NotFound)
              return in_context(done.error(), "delete", service_object(a.name));
            return success();
          },
          [&](const ApplyStatus& a) -> Status {
            auto version = ports_.cluster->apply_status(stack, memory.stack_version, a.status);
            if (!version) return in_context(version.error(), "apply", "status");
            memory.expectations.expect_change("stack", memory.stack_version, boot);
            count_restarts(stack, a.status);
            return success();
          },
          [&](const SetFinalizer& a) -> Status {
            auto version = ports_.cluster->set_finalizer(stack, a.present);
            if (!version && version.error().kind == ErrorKind::NotFound) return success();
            if (!version) return in_context(version.error(), "patch", "finalizers");
            memory.expectations.expect_change("stack", memory.stack_version, boot);
            memory.stack_version = *version;
            return success();
          },
      },
      action);
}

}  // namespace strix::reconcile
