#include "sim/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"

namespace strix::sim {

namespace {

constexpr std::string_view defect_names[] = {"None",
                                             "AdmitsWithoutVersion",
                                             "DeletesWithoutUid",
                                             "TrustsEarlierVouching",
                                             "BoardForgets",
                                             "SkipsLiveList",
                                             "SkipsLiveGet",
                                             "ClaimsNothing",
                                             "IgnoresTerminating",
                                             "ForgetsVanished",
                                             "TwoLeaders",
                                             "StopsWithoutDrain",
                                             "TrustsAnyOwner",
                                             "TakesLoadingForServing",
                                             "KeepsFinalizer",
                                             "NeverTellsStatus",
                                             "ServesUnasked",
                                             "KeepsSilentServing",
                                             "CreatesUngated",
                                             "ForgetsReserved",
                                             "WritesForever",
                                             "ImagesEverywhere",
                                             "CountsSleep",
                                             "NeverRetries",
                                             "ClaimsFirst",
                                             "MakesEvictablePods",
                                             "ForgetsStuck",
                                             "OverlooksNode",
                                             "IgnoresFaults",
                                             "IgnoresPressure",
                                             "ParksForever"};
static_assert(std::size(defect_names) == static_cast<size_t>(Defect::Count));

constexpr std::string_view trouble_names[] = {
    "EditFraction",   "EditImage",  "SwapFractions",    "EditContext",      "EditBack",
    "SwitchTier",     "Suspend",    "DeleteBackground", "DeleteForeground", "DeleteOrphan",
    "ForceDeletePod", "DeletePod",  "ForeignPod",       "KillEngine",       "SilenceEngine",
    "WedgeEngine",    "FaultGpu",   "JamEngine",        "RebootNode",       "StallKubelet",
    "CordonNode",     "TakeMemory", "CrashOperator",    "LoseLease",        "SetClock",
    "Sleep",          "BreakApi",   "StopWatch"};
static_assert(std::size(trouble_names) == static_cast<size_t>(Trouble::Count));

api::NodeProfile machine(Random& dice) {
  api::NodeProfile profile;
  profile.gfx_target = "gfx1151";
  bool small = dice.chance(300);
  profile.unified_memory_bytes = (small ? 64 : 128) * gib;
  profile.gpu_memory_bytes = (small ? 60 : 124) * gib;
  profile.system_reserve_bytes = 6 * gib;
  return profile;
}

api::Tier tier(Random& dice, int number, int port, bool crowded) {
  api::Tier tier;
  tier.name = fmt::format("t{}", number);
  tier.port = port;
  tier.context_length_tokens = 8192;
  tier.kv_cache_type = "auto";
  bool gpu = dice.chance(600);
  if (gpu) {
    tier.engine = api::Engine::Vllm;
    tier.model.repository = "example/small";
    tier.gpu_fraction_milli = static_cast<int>(crowded ? dice.between(20, 60) : dice.between(10, 22)) * 10;
    if (dice.chance(500)) tier.requests.memory = "2Gi";
  } else {
    tier.engine = api::Engine::LlamaCpp;
    tier.accelerator = api::Accelerator::None;
    tier.model.file = "example-Q4_K_M.gguf";
    tier.requests.memory = fmt::format("{}Gi", crowded ? dice.between(4, 30) : dice.between(2, 8));
  }
  tier.restart.backoff_seconds = static_cast<int>(dice.between(1, 10));
  tier.restart.max_backoff_seconds = static_cast<int>(dice.between(20, 60));
  tier.probe.startup_deadline_seconds = static_cast<int>(dice.between(90, 240));
  tier.drain_timeout_seconds = static_cast<int>(dice.between(5, 40));
  if (dice.chance(500)) tier.priority = static_cast<int>(dice.between(0, 100));
  return tier;
}

api::StackNode node_entry(int index, const api::NodeProfile& profile, bool privileged) {
  api::StackNode node;
  node.name = fmt::format("n{}", index);
  node.selector = {{"kubernetes.io/hostname", fmt::format("box{}", index)}};
  node.profile = profile;
  api::Devices devices;
  devices.strategy = privileged ? api::DeviceStrategy::Privileged : api::DeviceStrategy::ExtendedResource;
  if (privileged) devices.paths = {"/dev/kfd", "/dev/dri"};
  if (!privileged) devices.resource_name = "squat.ai/dri";
  node.devices = devices;
  node.model_store.host_path = "/var/lib/models";
  return node;
}

api::InferenceStack stack(Random& dice, int number, const std::vector<api::NodeProfile>& machines,
                          int tiers_max) {
  api::InferenceStack stack;
  stack.metadata.namespace_ = "llm";
  stack.metadata.name = fmt::format("s{}", number);
  bool privileged = dice.chance(500), crowded = dice.chance(250);
  bool one_node = machines.size() == 1 || dice.chance(600);
  int64_t home = dice.between(0, static_cast<int64_t>(machines.size()) - 1);
  for (int i = 0; i < static_cast<int>(machines.size()); ++i)
    if (!one_node || i == home)
      stack.spec.nodes.push_back(node_entry(i, machines[static_cast<size_t>(i)], privileged));
  stack.spec.vllm.image = "docker.io/kyuz0/vllm-therock-gfx1151:latest";
  stack.spec.llamacpp.image = "ghcr.io/ggml-org/llama.cpp:server";
  stack.spec.tuning.mode = dice.chance(300) ? api::TuningMode::Observe : api::TuningMode::Off;
  int64_t count = dice.between(1, tiers_max);
  for (int i = 0; i < count; ++i) {
    api::Tier one = tier(dice, i, 8000 + number * 100 + i, crowded);
    if (!one_node) {
      int64_t place = dice.between(0, static_cast<int64_t>(machines.size()) - 1);
      one.node = fmt::format("n{}", place);
    }
    if (i > 0 && dice.chance(350)) one.start_after = {fmt::format("t{}", dice.between(0, i - 1))};
    stack.spec.tiers.push_back(std::move(one));
  }
  return stack;
}

// A third of all runs has calm weather of each kind, so that rare things are seen alone too.
Rates rates(Random& dice) {
  auto some = [&](int64_t most) { return dice.chance(350) ? 0 : dice.between(0, most); };
  Rates rates;
  rates.conflict = some(20);
  rates.throttled = some(20);
  rates.unavailable = some(30);
  rates.lost_request = some(15);
  rates.lost_answer = some(25);
  rates.late_request = some(25);
  rates.slow_request = some(60);
  rates.crash = dice.chance(700) ? 0 : dice.between(1, 12);
  rates.slow_watch = some(40);
  rates.relist = some(15);
  rates.repeat_event = some(30);
  rates.die_loading = some(200);
  rates.hang_loading = some(60);
  rates.ignore_term = some(500);
  rates.leak = some(600);
  rates.rejected = some(40);
  rates.pull = some(400);
  return rates;
}

}  // namespace

std::string_view to_string(Defect defect) {
  return defect_names[static_cast<size_t>(defect)];
}
std::string_view to_string(Trouble trouble) {
  return trouble_names[static_cast<size_t>(trouble)];
}

Plan plan_of(uint64_t seed) {
  Random dice(seed, "plan");
  Plan plan;
  plan.seed = seed;
  plan.replicas = dice.chance(500) ? 2 : 1;
  plan.storm_millis = dice.between(20'000, 200'000);
  plan.latency_millis_max = dice.chance(300) ? dice.between(10, 300) : dice.between(1, 8);
  plan.lag_millis_max = dice.chance(300) ? dice.between(100, 2'000) : dice.between(1, 60);
  plan.rates = rates(dice);
  int64_t machine_count = dice.chance(600) ? 1 : dice.between(2, 3);
  for (int i = 0; i < machine_count; ++i) plan.machines.push_back(machine(dice));
  int64_t stack_count = dice.chance(550) ? 1 : dice.between(2, 3);
  for (int i = 0; i < stack_count; ++i) {
    plan.stacks.push_back(stack(dice, i, plan.machines, stack_count == 1 ? 4 : 3));
    plan.applied_at.push_back(dice.chance(500) ? 0 : dice.between(0, plan.storm_millis / 3));
  }
  int64_t incidents = dice.chance(150) ? 0 : dice.between(1, 7);
  for (int64_t i = 0; i < incidents; ++i) {
    Incident incident;
    incident.at_millis = dice.between(0, plan.storm_millis);
    incident.trouble = static_cast<Trouble>(dice.between(0, static_cast<int64_t>(Trouble::Count) - 1));
    incident.victim = dice.between(0, 1000);
    incident.millis = dice.chance(300) ? dice.between(100, 3'000) : dice.between(1'000, 60'000);
    incident.amount = dice.between(0, 1000);
    plan.incidents.push_back(incident);
  }
  std::stable_sort(plan.incidents.begin(), plan.incidents.end(),
                   [](const auto& a, const auto& b) { return a.at_millis < b.at_millis; });
  return plan;
}

namespace {

std::vector<std::pair<std::string_view, int64_t*>> named(Rates& r) {
  return {{"conflict", &r.conflict},
          {"throttled", &r.throttled},
          {"unavailable", &r.unavailable},
          {"lost_request", &r.lost_request},
          {"lost_answer", &r.lost_answer},
          {"late_request", &r.late_request},
          {"slow_request", &r.slow_request},
          {"crash", &r.crash},
          {"slow_watch", &r.slow_watch},
          {"relist", &r.relist},
          {"repeat_event", &r.repeat_event},
          {"die_loading", &r.die_loading},
          {"hang_loading", &r.hang_loading},
          {"ignore_term", &r.ignore_term},
          {"leak", &r.leak},
          {"rejected", &r.rejected},
          {"pull", &r.pull}};
}

}  // namespace

std::string describe(const Plan& plan) {
  std::string text =
      fmt::format("seed {}: {} replicas, storm of {} s, latency up to {} ms, lag up to {} ms\n", plan.seed,
                  plan.replicas, plan.storm_millis / 1000, plan.latency_millis_max, plan.lag_millis_max);
  Rates rates = plan.rates;
  text += "  per mille:";
  for (const auto& [name, value] : named(rates))
    if (*value > 0) text += fmt::format(" {} {}", name, *value);
  text += "\n";
  for (size_t i = 0; i < plan.machines.size(); ++i)
    text += fmt::format("  box{}: {}\n", i, format_gib(plan.machines[i].unified_memory_bytes));
  for (size_t i = 0; i < plan.stacks.size(); ++i) {
    text += fmt::format("  {} applied at {} ms:", plan.stacks[i].metadata.name, plan.applied_at[i]);
    for (const auto& tier : plan.stacks[i].spec.tiers)
      text +=
          fmt::format(" {}({}{}{}{})", tier.name, tier.node.empty() ? "" : tier.node + " ",
                      tier.gpu_fraction_milli ? "gpu " + format_fraction(*tier.gpu_fraction_milli) : "cpu",
                      tier.requests.memory.empty() ? "" : " " + tier.requests.memory,
                      tier.start_after.empty() ? "" : " after " + tier.start_after.front());
    text += "\n";
  }
  for (const auto& incident : plan.incidents)
    text += fmt::format("  at {} ms: {} of {} for {} ms ({})\n", incident.at_millis,
                        to_string(incident.trouble), incident.victim, incident.millis, incident.amount);
  return text;
}

Plan shrink(Plan plan, const std::function<bool(const Plan&)>& fails) {
  auto keep = [&](const std::function<void(Plan&)>& change) {
    Plan smaller = plan;
    change(smaller);
    if (!fails(smaller)) return false;
    plan = std::move(smaller);
    return true;
  };
  for (bool again = true; again;) {
    again = false;
    for (size_t i = plan.incidents.size(); i-- > 0;)
      again = keep([&](Plan& p) { p.incidents.erase(p.incidents.begin() + static_cast<long>(i)); }) || again;
    for (size_t i = 0; i < named(plan.rates).size(); ++i)
      if (*named(plan.rates)[i].second > 0)
        again = keep([&](Plan& p) { *named(p.rates)[i].second = 0; }) || again;
    for (size_t i = plan.stacks.size(); plan.stacks.size() > 1 && i-- > 0;)
      again = keep([&](Plan& p) {
                p.stacks.erase(p.stacks.begin() + static_cast<long>(i));
                p.applied_at.erase(p.applied_at.begin() + static_cast<long>(i));
              }) ||
              again;
    for (size_t s = 0; s < plan.stacks.size(); ++s)
      for (size_t i = plan.stacks[s].spec.tiers.size(); plan.stacks[s].spec.tiers.size() > 1 && i-- > 0;)
        again = keep([&](Plan& p) {
                  auto& tiers = p.stacks[s].spec.tiers;
                  tiers.erase(tiers.begin() + static_cast<long>(i));
                  for (auto& one : tiers)
                    std::erase_if(one.start_after, [&](const auto& name) {
                      return std::none_of(tiers.begin(), tiers.end(),
                                          [&](const auto& other) { return other.name == name; });
                    });
                }) ||
                again;
    if (plan.replicas > 1) again = keep([](Plan& p) { p.replicas = 1; }) || again;
    if (plan.latency_millis_max > 1) again = keep([](Plan& p) { p.latency_millis_max = 1; }) || again;
    if (plan.lag_millis_max > 1) again = keep([](Plan& p) { p.lag_millis_max = 1; }) || again;
  }
  return plan;
}

}  // namespace strix::sim
