// strix-sim: long runs by hand, and the story of one seed.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "sim/simulation.h"

using namespace strix::sim;

namespace {

struct Options {
  uint64_t from = 1, to = 1000;
  Defect defect = Defect::None;
  bool replay = false, shrinks = false;
};

int usage() {
  fputs("strix-sim [--seeds FROM:TO] [--replay SEED] [--plant DEFECT|all] [--shrink]\n", stderr);
  return 2;
}

std::optional<Defect> defect_named(const std::string& name) {
  for (int i = 0; i < static_cast<int>(Defect::Count); ++i)
    if (to_string(static_cast<Defect>(i)) == name) return static_cast<Defect>(i);
  return std::nullopt;
}

void tell(const Plan& plan, Defect defect) {
  Outcome outcome = run(plan, defect, true);
  fputs(describe(plan).c_str(), stdout);
  for (const auto& line : outcome.story) puts(line.c_str());
  if (outcome.broken)
    printf("seed %lu breaks rule %s: %s\n", plan.seed, outcome.broken->rule.c_str(),
           outcome.broken->what.c_str());
  else
    printf("seed %lu: %ld passes, %ld writes, %ld s\n", plan.seed, outcome.passes, outcome.writes,
           outcome.virtual_millis / 1000);
}

// Smaller, and still breaking the same rule.
Plan smaller(const Plan& plan, Defect defect, const std::string& rule) {
  return shrink(plan, [&](const Plan& candidate) {
    Outcome outcome = run(candidate, defect, false);
    return outcome.broken && outcome.broken->rule == rule;
  });
}

int replay(const Options& options) {
  Plan plan = plan_of(options.from);
  Outcome outcome = run(plan, options.defect, false);
  if (outcome.broken && options.shrinks) plan = smaller(plan, options.defect, outcome.broken->rule);
  tell(plan, options.defect);
  return outcome.broken ? 1 : 0;
}

int try_seeds(const Options& options) {
  auto begun = std::chrono::steady_clock::now();
  std::map<std::string, int> broken;
  int64_t passes = 0, writes = 0, steps = 0, virtual_millis = 0;
  for (uint64_t seed = options.from; seed <= options.to; ++seed) {
    Plan plan = plan_of(seed);
    Outcome outcome = run(plan, options.defect, false);
    passes += outcome.passes;
    writes += outcome.writes;
    steps += outcome.steps;
    virtual_millis += outcome.virtual_millis;
    if (!outcome.broken) continue;
    if (++broken[outcome.broken->rule] <= 5)
      printf("seed %lu breaks %s: %s\n", seed, outcome.broken->rule.c_str(), outcome.broken->what.c_str());
    fflush(stdout);
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  for (const auto& [rule, count] : broken) printf("%6d x %s\n", count, rule.c_str());
  printf("seeds %lu to %lu: %ld passes, %ld writes, %ld steps, %ld virtual hours in %.1f s\n", options.from,
         options.to, passes, writes, steps, virtual_millis / 3'600'000, seconds);
  return broken.empty() ? 0 : 1;
}

// One line for each: the defect, the first seed that shows it, and the rule that it breaks there.
int plant_all(const Options& options) {
  int missed = 0;
  for (int i = 1; i < static_cast<int>(Defect::Count); ++i) {
    auto defect = static_cast<Defect>(i);
    std::optional<Violation> broken;
    uint64_t seed = options.from;
    for (; seed <= options.to && !broken; ++seed) broken = run(plan_of(seed), defect, false).broken;
    if (!broken) ++missed;
    printf("%-24s %6s  %s\n", std::string(to_string(defect)).c_str(),
           broken ? std::to_string(seed - 1).c_str() : "none", broken ? broken->rule.c_str() : "not caught");
    fflush(stdout);
  }
  printf("%d not caught\n", missed);
  return missed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  bool all = false;
  for (int i = 1; i < count; ++i) {
    std::string name = arguments[i], value = i + 1 < count ? arguments[i + 1] : "";
    if (name == "--shrink") {
      options.shrinks = true;
      continue;
    }
    ++i;
    if (name == "--seeds" && sscanf(value.c_str(), "%lu:%lu", &options.from, &options.to) == 2) continue;
    if (name == "--replay" && sscanf(value.c_str(), "%lu", &options.from) == 1) {
      options.replay = true;
      continue;
    }
    if (name != "--plant") return usage();
    auto defect = defect_named(value);
    all = value == "all";
    if (!all && !defect) return usage();
    options.defect = defect.value_or(Defect::None);
  }
  if (all) return plant_all(options);
  return options.replay ? replay(options) : try_seeds(options);
}
