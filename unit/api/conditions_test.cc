#include "api/conditions.h"

#include "catch.h"

using namespace strix::api;

namespace {

Condition make(const char* type, const char* status, strix::WallMillis since = 0, const char* reason = "R") {
  return Condition{.type = type, .status = status, .reason = reason, .message = "", .last_transition = since};
}

}  // namespace

TEST_CASE("a condition that is new gets the time of now") {
  auto merged = merge_conditions({}, {make("Ready", "False")}, 5000);
  REQUIRE(merged.size() == 1);
  CHECK(merged[0].last_transition == 5000);
}

TEST_CASE("a condition keeps its time while its status stays, whatever else changes") {
  auto merged = merge_conditions({make("Ready", "False", 1000, "Starting")},
                                 {make("Ready", "False", 0, "Waiting")}, 5000);
  CHECK(merged[0].last_transition == 1000);
  CHECK(merged[0].reason == "Waiting");
}

TEST_CASE("a condition whose status changes gets the time of now") {
  auto merged = merge_conditions({make("Ready", "False", 1000)}, {make("Ready", "True")}, 5000);
  CHECK(merged[0].last_transition == 5000);
}

TEST_CASE("a condition that is no longer wanted goes, and the order is that of the wanted ones") {
  auto merged = merge_conditions({make("Stalled", "True", 1), make("Ready", "False", 2)},
                                 {make("Ready", "False"), make("NodeReady", "True")}, 9);
  REQUIRE(merged.size() == 2);
  CHECK(merged[0].type == "Ready");
  CHECK(merged[0].last_transition == 2);
  CHECK(find_condition(merged, "Stalled") == nullptr);
  CHECK(find_condition(merged, "NodeReady")->last_transition == 9);
}

TEST_CASE("a stored condition without a time gets one") {
  auto merged = merge_conditions({make("Ready", "True", 0)}, {make("Ready", "True")}, 7);
  CHECK(merged[0].last_transition == 7);
}
