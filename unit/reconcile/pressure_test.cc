#include "reconcile/pressure.h"

#include "catch.h"

using namespace strix;
using namespace strix::reconcile;

namespace {

using Stage = PressureTier::Stage;

PressureTier tier(const std::string& name, int priority, int order, int64_t holds_gib,
                  Stage stage = Stage::Running) {
  PressureTier tier;
  tier.pod = "llm/s-" + name;
  tier.stack = {"llm", "s"};
  tier.priority = priority;
  tier.order = order;
  tier.holds_bytes = holds_gib * gib;
  tier.stage = stage;
  return tier;
}

// A node over time: what was decided is remembered as by a process, and pods do at once what they are told.
struct Watched {
  PressureObserved observed;

  explicit Watched(std::vector<PressureTier> tiers) {
    observed.now.boot = 1'000'000;
    observed.tiers = std::move(tiers);
  }
  PressureTier& find(const std::string& name) {
    for (auto& one : observed.tiers)
      if (one.pod == "llm/s-" + name) return one;
    throw std::logic_error(name);
  }
  // Looks every second for that long; answers with who is parked then.
  std::set<std::string> look(int64_t seconds, double available_gib, bool pods_follow = true) {
    for (int64_t i = 0; i < seconds; ++i) {
      observed.now.boot += 1000;
      observed.reading = NodeMemoryReading{static_cast<int64_t>(available_gib * gib), observed.now.boot};
      step(pods_follow);
    }
    return parked();
  }
  void step(bool pods_follow = true) {
    observed.memory = decide_pressure(observed).memory;
    if (!pods_follow) return;
    for (auto& one : observed.tiers)
      one.stage = observed.memory.parked.contains(one.pod) ? Stage::Absent : Stage::Running;
  }
  std::set<std::string> parked() const {
    std::set<std::string> names;
    for (const auto& [pod, since] : observed.memory.parked) names.insert(pod.substr(6));
    return names;
  }
  PressureLevel level() const { return observed.memory.level; }
};

using Names = std::set<std::string>;

std::vector<PressureTier> three() {
  return {tier("coder", 50, 0, 40), tier("reviewer", 10, 1, 30), tier("utility", 50, 2, 3)};
}

}  // namespace

TEST_CASE("without a measurement, or with an old one, the level is not known and nobody is parked") {
  Watched node(three());
  node.step();
  REQUIRE(node.level() == PressureLevel::Unknown);
  node.observed.reading = NodeMemoryReading{0, node.observed.now.boot - pressure_stale_millis - 1};
  node.step();
  REQUIRE(node.level() == PressureLevel::Unknown);
  REQUIRE(node.parked().empty());
}

TEST_CASE("the level rises at once, and falls after a minute below") {
  Watched node(three());
  node.look(1, 8);
  REQUIRE(node.level() == PressureLevel::None);
  node.look(1, 2.9);
  REQUIRE(node.level() == PressureLevel::Warning);
  node.look(1, 1.4);
  REQUIRE(node.level() == PressureLevel::Acting);
  node.look(60, 8);
  REQUIRE(node.level() == PressureLevel::Acting);
  node.look(1, 8);
  REQUIRE(node.level() == PressureLevel::None);
}

TEST_CASE("a level that flutters does not fall") {
  Watched node(three());
  for (int i = 0; i < 20; ++i) {
    node.look(1, 2.9);
    node.look(30, 3.1);
    REQUIRE(node.level() == PressureLevel::Warning);
  }
}

TEST_CASE("between warning and acting nobody is parked") {
  Watched node(three());
  REQUIRE(node.look(3600, 1.6).empty());
}

TEST_CASE("the lowest priority is parked first, then the later in start order, one at a time") {
  Watched node(three());
  REQUIRE(node.look(1, 1.0) == Names{"reviewer"});
  REQUIRE(node.look(9, 1.0) == Names{"reviewer"});
  REQUIRE(node.look(1, 1.0) == Names{"reviewer", "utility"});
  REQUIRE(node.look(10, 1.0) == Names{"coder", "reviewer", "utility"});
}

TEST_CASE("of two stacks with the same priority the younger one's tier is parked first") {
  Watched node({tier("old", 50, 3, 10), tier("young", 50, 0, 10)});
  node.find("old").stack_created = 1'000;
  node.find("young").stack_created = 2'000;
  REQUIRE(node.look(1, 1.0) == Names{"young"});
}

TEST_CASE("a tier that loads is parked before any that serves") {
  Watched node(three());
  node.find("coder").stage = Stage::Loading;
  REQUIRE(node.look(1, 1.0) == Names{"coder"});
}

TEST_CASE("nobody is parked while another one is still on its way out") {
  Watched node(three());
  node.look(1, 1.0, false);
  for (Stage stage : {Stage::Running, Stage::Going}) {
    node.find("reviewer").stage = stage;
    REQUIRE(node.look(300, 1.0, false) == Names{"reviewer"});
  }
  node.find("reviewer").stage = Stage::Absent;
  REQUIRE(node.look(11, 1.0, false) == Names{"reviewer", "utility"});
}

TEST_CASE("memory that was just given back is waited for before the next is parked") {
  Watched node(three());
  node.observed.released = node.observed.now.boot;
  REQUIRE(node.look(9, 1.0).empty());
  REQUIRE(node.look(2, 1.0) == Names{"reviewer"});
}

TEST_CASE(
    "a parked tier comes back when there has been room for it and more for a minute, after five minutes") {
  Watched node(three());
  node.look(1, 1.0);
  REQUIRE(node.look(3600, 32.9) == Names{"reviewer"});
  REQUIRE(node.look(60, 33.1) == Names{"reviewer"});
  REQUIRE(node.look(1, 33.1).empty());

  Watched sooner(three());
  sooner.look(1, 1.0);
  REQUIRE(sooner.look(299, 100) == Names{"reviewer"});
  REQUIRE(sooner.look(1, 100).empty());
}

TEST_CASE("room that comes and goes brings nobody back") {
  Watched node(three());
  node.look(1, 1.0);
  for (int i = 0; i < 30; ++i) {
    node.look(50, 40);
    REQUIRE(node.look(1, 20) == Names{"reviewer"});
  }
}

TEST_CASE("the highest priority comes back first, and the next when it has loaded") {
  Watched node(three());
  node.look(31, 1.0);
  REQUIRE(node.parked().size() == 3);
  REQUIRE(node.look(289, 100, false) == Names{"coder", "reviewer", "utility"});
  REQUIRE(node.look(1, 100, false) == Names{"reviewer", "utility"});
  node.find("coder").stage = Stage::Loading;
  REQUIRE(node.look(600, 60, false) == Names{"reviewer", "utility"});
  node.find("coder").stage = Stage::Running;
  REQUIRE(node.look(1, 60, false) == Names{"reviewer"});
}

TEST_CASE("a tier for which there is room does not wait for a larger one for which there is none") {
  Watched node(three());
  node.look(31, 1.0);
  REQUIRE(node.look(400, 8) == Names{"coder", "reviewer"});
}

TEST_CASE("who was parked by an earlier process stays so, and its waits begin anew") {
  Watched node(three());
  node.find("reviewer").parked = true;
  node.find("reviewer").stage = Stage::Absent;
  REQUIRE(node.look(299, 100) == Names{"reviewer"});
  REQUIRE(node.look(2, 100).empty());
  // Its stack has not looked yet, and still says so.
  REQUIRE(node.look(60, 100).empty());
}

TEST_CASE("when nobody measures any more, who is parked stays parked, and who runs goes on") {
  Watched node(three());
  node.look(1, 1.0);
  node.observed.now.boot += 10 * pressure_stale_millis;
  node.step();
  REQUIRE(node.level() == PressureLevel::Unknown);
  REQUIRE(node.parked() == Names{"reviewer"});
}

TEST_CASE("a tier that is no longer there is forgotten, and is not parked when it comes again") {
  Watched node(three());
  node.look(1, 1.0);
  PressureTier reviewer = node.find("reviewer");
  std::erase_if(node.observed.tiers, [](const auto& one) { return one.pod == "llm/s-reviewer"; });
  node.look(1, 8);
  node.observed.tiers.push_back(reviewer);
  REQUIRE(node.look(1, 8).empty());
}

TEST_CASE("with nothing to do a look asks for the next one only to notice that the agent fell silent") {
  Watched node(three());
  node.look(120, 50);
  PressureDecision decision = decide_pressure(node.observed);
  REQUIRE(decision.retry_after_millis == pressure_stale_millis + 1);
}
