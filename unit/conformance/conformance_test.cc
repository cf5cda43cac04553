#include "catch.h"
#include "conformance/play.h"
#include "conformance/sim_side.h"

using namespace strix;
using namespace strix::conformance;

namespace {

constexpr uint64_t seeds = 150;

// A server that is wrong in one way.
class WrongSide : public SimSide {
 public:
  enum class Wrong { Nothing, IgnoresPreconditions, DeletesAtOnce, CountsEveryEdit, BindsWhatIsGated };
  explicit WrongSide(Wrong wrong) : wrong_(wrong) {}

  std::string_view name() const override { return "wrong"; }
  Status delete_pod(const std::string& pod, const sim::Preconditions& given,
                    std::optional<int64_t> grace_seconds) override {
    if (wrong_ == Wrong::IgnoresPreconditions) return SimSide::delete_pod(pod, {}, grace_seconds);
    if (wrong_ == Wrong::DeletesAtOnce) return SimSide::delete_pod(pod, given, 0);
    return SimSide::delete_pod(pod, given, grace_seconds);
  }
  Status edit_suspend(const std::string& stack, bool suspend) override {
    if (wrong_ != Wrong::CountsEveryEdit) return SimSide::edit_suspend(stack, suspend);
    return server().edit_stack({ns, stack}, [&](api::StackSpec& spec) {
      spec.suspend = suspend;
      return true;
    });
  }
  Status bind_pod(const std::string& pod, const std::string& node) override {
    if (wrong_ != Wrong::BindsWhatIsGated) return SimSide::bind_pod(pod, node);
    return server().patch_pod({ns, pod}, {}, [&](api::Pod& p) {
      p.scheduling_gates.clear();
      p.node_name = node;
      return true;
    });
  }

 private:
  Wrong wrong_;
};

// The first sequence in which the two are told apart; 0: none.
uint64_t told_apart(Side& left, Side& right, Tally& tally) {
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    auto found = play(script_of(seed), left, right, {0}, tally);
    REQUIRE(found.ok());
    if (*found) return seed;
  }
  return 0;
}

}  // namespace

TEST_CASE("two servers that are the same are not told apart, though they number what they make differently") {
  SimSide left, right;
  // Other uids and versions than on the left.
  REQUIRE(right.create_stack(R"({"metadata":{"name":"before","namespace":"llm"}})").ok());
  REQUIRE(right.clear().ok());
  Tally tally;
  REQUIRE(told_apart(left, right, tally) == 0);
  // The sequences meet what they are made for.
  for (const char* answer : {"AdmitPod: ok", "AdmitPod: Conflict", "DeletePod: Conflict", "AdoptPod: ok",
                             "AdoptPod: Invalid", "ApplyStatus: Conflict", "SetFinalizer: Conflict",
                             "CreatePod: AlreadyExists", "BindPod: Conflict", "ApplyService: ok"}) {
    INFO(answer);
    REQUIRE(tally[answer] > 0);
  }
}

TEST_CASE("a server that is wrong in one way is told apart, and the sequence shrinks to what shows it") {
  using Wrong = WrongSide::Wrong;
  for (Wrong wrong :
       {Wrong::IgnoresPreconditions, Wrong::DeletesAtOnce, Wrong::CountsEveryEdit, Wrong::BindsWhatIsGated}) {
    INFO("wrong: " << static_cast<int>(wrong));
    SimSide right;
    WrongSide left(wrong);
    Tally tally;
    uint64_t seed = told_apart(left, right, tally);
    REQUIRE(seed != 0);
    auto fewer = shrink(script_of(seed), left, right, {0});
    REQUIRE(fewer.ok());
    REQUIRE(fewer->size() <= 5);
  }
}
