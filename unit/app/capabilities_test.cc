#include "app/capabilities.h"

#include "api/names.h"
#include "catch.h"

using namespace strix;
using namespace strix::app;

namespace {

api::ConfigMap map_with(const std::string& text) {
  api::ConfigMap map;
  map.metadata.name = "strix-capabilities";
  map.data[std::string(names::capabilities_key)] = text;
  return map;
}

}  // namespace

TEST_CASE("the rows of a ConfigMap come before the built-in ones") {
  OverrideRead read = read_override(
      map_with("combinations:\n- {where: {engine: vllm}, quantizations: [fp8], verdict: Works, reason: "
               "tried, source: me, date: \"2026-11\"}\n"
               "settings:\n- {where: {engine: vllm}, topic: t, source: me, date: \"2026-11\"}\n"));
  REQUIRE(read.table);
  CHECK(read.rows == 2);
  CHECK(read.complaint.empty());
  planner::EngineSetup setup;
  setup.on_gpu = true;
  setup.gfx_target = "gfx1151";
  CHECK(read.table->find(planner::CapabilitySubject::Weights, "fp8", setup)->reason == "tried");
  CHECK(read.table->combinations().size() == planner::built_in_capabilities().combinations().size() + 1);
}

TEST_CASE("an empty table adds nothing, and one with an error is refused with its place") {
  OverrideRead empty = read_override(map_with(""));
  REQUIRE(empty.table);
  CHECK(empty.rows == 0);
  OverrideRead bad = read_override(map_with("combinations:\n- {where: {engine: vlm}}\n"));
  CHECK_FALSE(bad.table);
  CHECK(bad.complaint == "line 2, column 12: combinations[0].where.engine: none of vllm, llamacpp");
  OverrideRead other = read_override({});
  CHECK_FALSE(other.table);
  CHECK(other.complaint == "it has no key capabilities.yaml");
}
