#include "conformance/request.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "base/bytes.h"
#include "conformance/manifest.h"
#include "engines/engine.h"

namespace strix::conformance {

namespace {

constexpr const char* nobody = "00000000-0000-0000-0000-000000000000";
constexpr const char* hold = "example.com/hold";
constexpr WallMillis noon = 1'770'120'000'000;  // 2026-02-03T12:00:00Z, so that both sides are told the same

template <class T>
Answer answer_of(const Result<T>& result) {
  if (result.ok()) return {"ok", "ok", {}, {}};
  std::string kind(to_string(result.error().kind));
  return {kind, kind, {}, {}};
}

// The latest sight of `object` that fits the belief; none: it was never seen.
std::optional<Sight> believed(const View& view, const std::string& object, Belief belief) {
  const auto& sights = view.sights(object);
  if (sights.empty()) return std::nullopt;
  Sight sight = sights.back();
  const std::string& uid = sights.back().uid;
  if (belief == Belief::StaleVersion && sights.size() > 1 && sights[sights.size() - 2].uid == uid)
    sight = sights[sights.size() - 2];
  if (belief == Belief::EarlierLife)
    for (const auto& earlier : sights)
      if (earlier.uid != uid) sight = earlier;
  if (belief == Belief::NobodysUid)
    sight.uid = sight.stack.metadata.uid = sight.service.metadata.uid = nobody;
  return sight;
}

struct Asked {
  const Step& step;
  Side& side;
  const View& view;
  const std::string stack = stack_name(step.stack), name = stack + "-" + tier_name(step.tier);
  WallMillis when = noon + step.number * 1000;

  Answer stack_verb() const;
  Answer pod_verb() const;
  Answer service_verb() const;
  Answer others_verb() const;
  Answer person_verb() const;

  std::optional<api::InferenceStack> seen_stack(Belief belief) const {
    auto sight = believed(view, "stack/" + stack, belief);
    if (!sight) return std::nullopt;
    return sight->stack;
  }
  // What is made for an owner that goes in the foreground is collected whenever the collector looks again:
  // when that is, is nobody's promise.
  std::optional<api::InferenceStack> an_owner(Belief belief) const {
    auto seen = seen_stack(belief);
    if (seen && seen->metadata.has_finalizer("foregroundDeletion")) return std::nullopt;
    return seen;
  }
  reconcile::PodRef pod_ref() const {
    auto sight = believed(view, "pod/" + name, step.belief);
    if (!sight) return {{ns, name}, nobody, "1"};
    return {{ns, name}, sight->uid, step.belief == Belief::NoVersion ? "" : sight->resource_version};
  }
  const api::Pod* pod_now() const {
    for (const auto& pod : view.last().pods)
      if (pod.metadata.name == name) return &pod;
    return nullptr;
  }
  template <class F>
  Answer operate(F&& what) const {
    Answer answer;
    side.operate([&](reconcile::Cluster& cluster) { answer = what(cluster); });
    return answer;
  }
};

api::StackStatus status_of(const Step& step) {
  api::StackStatus status;
  status.observed_generation = step.number % 3;
  status.summary.status = step.number % 2 == 0 ? "Ready" : "Waiting";
  api::TierStatus tier;
  tier.name = tier_name(step.tier);
  tier.state = "Waiting";
  tier.reason = "LoadWindow";
  tier.since = noon;
  if (step.number % 4 < 2) status.tiers.push_back(tier);
  return status;
}

Answer Asked::stack_verb() const {
  if (step.verb == Verb::ReadStack)
    return operate([&](reconcile::Cluster& cluster) {
      auto found = cluster.read_stack({ns, stack});
      Answer answer = answer_of(found);
      if (found) answer.version = found->metadata.resource_version;
      return answer;
    });
  auto seen = seen_stack(step.belief);
  if (!seen) return {};
  auto versioned = [](const Result<std::string>& result) {
    Answer answer = answer_of(result);
    if (result) answer.version = *result;
    return answer;
  };
  if (step.verb == Verb::SetFinalizer)
    return operate(
        [&](auto& cluster) { return versioned(cluster.set_finalizer(*seen, step.number % 3 != 0)); });
  std::string version = step.belief == Belief::NoVersion ? "" : seen->metadata.resource_version;
  return operate(
      [&](auto& cluster) { return versioned(cluster.apply_status(*seen, version, status_of(step))); });
}

Answer Asked::pod_verb() const {
  reconcile::PodRef ref = pod_ref();
  return operate([&](reconcile::Cluster& cluster) -> Answer {
    switch (step.verb) {
      case Verb::CreatePod: {
        auto seen = an_owner(Belief::Current);
        if (!seen) return {};
        return answer_of(cluster.create_pod(ns, pod_body(*seen, step.tier)));
      }
      case Verb::AdmitPod:
        return answer_of(cluster.admit_pod(ref, "boot", when));
      case Verb::VouchForPod:
        return answer_of(cluster.vouch_for_pod(ref, step.number % 2 == 0 ? "first" : "second"));
      case Verb::AdoptPod: {
        auto seen = an_owner(step.number % 4 == 0 ? Belief::EarlierLife : Belief::Current);
        if (!seen) return {};
        return answer_of(cluster.adopt_pod(ref, *seen));
      }
      case Verb::NoteClaim:
        return answer_of(cluster.note_claim(ref, fmt::format(R"({{"hostBytes":{}}})", step.number % 2)));
      case Verb::SetServing:
        return answer_of(
            cluster.set_serving(ref, step.number % 2 == 0,
                                step.number % 2 == 0 ? names::serving_warm : names::serving_not_answering,
                                step.number % 5 == 0 ? "" : "a sentence", noon + step.number % 3 * 1000));
      case Verb::Drain:
        return answer_of(cluster.set_serving(ref, false, names::serving_draining, "being stopped", when));
      case Verb::DeletePod:
        return answer_of(cluster.delete_pod(ref));
      default: {
        auto found = cluster.read_admitted_pods(step.number % 10 == 0 ? "elsewhere" : "box0");
        Answer answer = answer_of(found);
        if (!found) return answer;
        std::vector<std::string> listed;
        for (const auto& pod : *found) listed.push_back(pod.metadata.name);
        std::sort(listed.begin(), listed.end());
        for (const auto& one : listed) answer.text += " " + one;
        return answer;
      }
    }
  });
}

Answer Asked::service_verb() const {
  auto seen = an_owner(Belief::Current);
  if (!seen) return {};
  api::Tier tier = seen->spec.tiers[static_cast<size_t>(step.tier)];
  if (step.number % 3 != 0) tier.service.annotations = {{fmt::format("a{}", step.number % 2), "x"}};
  if (step.verb == Verb::CreateService)
    return operate([&](auto& cluster) {
      return answer_of(cluster.create_service(ns, engines::render_service(*seen, tier).body));
    });
  auto sight = believed(view, "service/" + name, step.belief);
  if (!sight) return {};
  if (step.verb == Verb::DeleteService)
    return operate([&](auto& cluster) { return answer_of(cluster.delete_service(ns, name, sight->uid)); });
  std::string patch = engines::render_service_patch(*seen, tier, sight->service);
  return operate([&](auto& cluster) { return answer_of(cluster.apply_service(ns, name, patch)); });
}

// What these do depends on where the pod is: they do only what they would do then.
Answer Asked::others_verb() const {
  const api::Pod* pod = pod_now();
  reconcile::PodRef ref = pod_ref();
  if (step.verb == Verb::BindPod) return answer_of(side.bind_pod(name, "box0"));
  if (!pod || pod->node_name.empty()) return {};
  if (step.verb == Verb::FinishPod) return answer_of(side.delete_pod(name, {ref.uid, ""}, 0));
  if (pod->terminal() || (step.verb == Verb::RunPod && pod->phase != "Pending")) return {};
  if (step.verb == Verb::RunPod) return answer_of(side.report_pod(name, ref.uid, {"Running", 0, when}));
  int code = step.number % 3 == 0 ? 0 : 137;
  return answer_of(side.report_pod(name, ref.uid, {code == 0 ? "Succeeded" : "Failed", code, when}));
}

Answer Asked::person_verb() const {
  switch (step.verb) {
    case Verb::CreateStack:
      return answer_of(side.create_stack(stack_manifest(stack)));
    case Verb::EditContext:
      return answer_of(side.edit_context(stack, step.tier, 4096 + 1024 * (step.number % 3)));
    case Verb::EditSuspend:
      return answer_of(side.edit_suspend(stack, step.number % 2 == 0));
    case Verb::AnnotateStack:
      return answer_of(side.annotate_stack(stack, std::string(names::annotation_clear_failures),
                                           fmt::format("{}", step.number % 2)));
    case Verb::DeleteStack:
      return answer_of(side.delete_stack(stack, static_cast<sim::Propagation>(step.number % 3)));
    case Verb::PersonDeletesPod: {
      std::optional<int64_t> grace;
      if (step.number % 4 != 0) grace = step.number % 4 == 1 ? 0 : step.number % 4 == 2 ? 5 : 60;
      reconcile::PodRef ref = pod_ref();
      bool careful = step.number % 3 == 0;
      return answer_of(
          side.delete_pod(name, {careful ? ref.uid : "", careful ? ref.resource_version : ""}, grace));
    }
    case Verb::HoldPod:
      return answer_of(side.set_pod_finalizers(name, {hold}));
    default:
      return answer_of(side.set_pod_finalizers(name, {}));
  }
}

}  // namespace

Answer ask(const Step& step, Side& side, const View& view) {
  Asked asked{step, side, view};
  Answer answer;
  switch (step.verb) {
    case Verb::SetFinalizer:
    case Verb::ApplyStatus:
    case Verb::ReadStack:
      answer = asked.stack_verb();
      break;
    case Verb::CreatePod:
    case Verb::AdmitPod:
    case Verb::VouchForPod:
    case Verb::AdoptPod:
    case Verb::NoteClaim:
    case Verb::SetServing:
    case Verb::Drain:
    case Verb::DeletePod:
    case Verb::ReadAdmitted:
      answer = asked.pod_verb();
      break;
    case Verb::CreateService:
    case Verb::ApplyService:
    case Verb::DeleteService:
      answer = asked.service_verb();
      break;
    case Verb::BindPod:
    case Verb::RunPod:
    case Verb::EndPod:
    case Verb::FinishPod:
      answer = asked.others_verb();
      break;
    default:
      answer = asked.person_verb();
  }
  answer.stack = asked.stack;
  return answer;
}

std::string version_note(const Answer& answer, const Objects& now) {
  if (!answer.version) return "";
  for (const auto& stack : now.stacks)
    if (stack.metadata.name == answer.stack)
      return stack.metadata.resource_version == *answer.version ? ", with its version"
                                                                : ", with another version";
  return ", and it is gone";
}

}  // namespace strix::conformance
