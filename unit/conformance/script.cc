#include "conformance/script.h"

#include <fmt/format.h>

#include <iterator>

#include "sim/random.h"

namespace strix::conformance {

namespace {

constexpr std::string_view verb_names[] = {
    "CreateStack",      "EditContext",   "EditSuspend", "AnnotateStack", "DeleteStack",  "SetFinalizer",
    "ApplyStatus",      "ReadStack",     "CreatePod",   "AdmitPod",      "VouchForPod",  "AdoptPod",
    "NoteClaim",        "SetServing",    "Drain",       "DeletePod",     "ReadAdmitted", "CreateService",
    "ApplyService",     "DeleteService", "BindPod",     "RunPod",        "EndPod",       "FinishPod",
    "PersonDeletesPod", "HoldPod",       "ReleasePod"};
static_assert(std::size(verb_names) == static_cast<size_t>(Verb::Count));

constexpr std::string_view belief_names[] = {"Current", "StaleVersion", "EarlierLife", "NobodysUid",
                                             "NoVersion"};
static_assert(std::size(belief_names) == static_cast<size_t>(Belief::Count));

constexpr int steps_min = 8, steps_max = 30;

Step random_step(sim::Random& dice) {
  Step step;
  step.verb = static_cast<Verb>(dice.between(0, static_cast<int64_t>(Verb::Count) - 1));
  // What ends a sequence's interest comes less often.
  if (step.verb == Verb::DeleteStack && dice.chance(500)) step.verb = Verb::CreatePod;
  step.stack = dice.chance(700) ? 0 : 1;
  step.tier = static_cast<int>(dice.between(0, tier_count - 1));
  step.number = dice.between(0, 1000);
  if (dice.chance(300))
    step.belief = static_cast<Belief>(dice.between(0, static_cast<int64_t>(Belief::Count) - 1));
  return step;
}

}  // namespace

std::string_view to_string(Verb verb) {
  return verb_names[static_cast<size_t>(verb)];
}
std::string_view to_string(Belief belief) {
  return belief_names[static_cast<size_t>(belief)];
}

std::string stack_name(int stack) {
  return fmt::format("s{}", stack);
}
std::string tier_name(int tier) {
  return fmt::format("t{}", tier);
}

std::string describe(const Step& step) {
  return fmt::format("{} {}-{} {} ({})", to_string(step.verb), stack_name(step.stack), tier_name(step.tier),
                     to_string(step.belief), step.number);
}

std::vector<Step> script_of(uint64_t seed) {
  sim::Random dice(seed, "conformance");
  std::vector<Step> steps;
  auto add = [&](Verb verb, int tier) {
    steps.push_back({verb, 0, tier, Belief::Current, dice.between(0, 1000)});
  };
  add(Verb::CreateStack, 0);
  if (dice.chance(700)) add(Verb::SetFinalizer, 0);
  for (int tier = 0; tier < tier_count; ++tier) {
    if (dice.chance(200)) continue;
    add(Verb::CreatePod, tier);
    if (dice.chance(300)) continue;
    add(Verb::AdmitPod, tier);
    add(Verb::BindPod, tier);
    if (dice.chance(700)) add(Verb::RunPod, tier);
  }
  int64_t more = dice.between(steps_min, steps_max);
  for (int64_t i = 0; i < more; ++i) steps.push_back(random_step(dice));
  return steps;
}

}  // namespace strix::conformance
