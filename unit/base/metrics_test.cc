#include "base/metrics.h"

#include <string>
#include <string_view>

#include "catch.h"

using strix::metrics::Registry;

namespace {

int64_t lines_with(const Registry& registry, std::string_view start) {
  std::string text = "\n" + registry.expose(), wanted = "\n" + std::string(start);
  int64_t found = 0;
  for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("families and series are printed in the text format, in a stable order") {
  Registry registry;
  registry.describe("b_total", "counter", "Second.");
  registry.describe("a", "gauge", "First.");
  registry.describe("never", "gauge", "Without a series nothing is printed.");
  registry.describe_histogram("c_seconds", "Third.", {0.5, 10});
  registry.add("b_total", {{"kind", "y"}});
  registry.add("b_total", {{"kind", "x"}}, 2);
  registry.add("b_total", {{"kind", "y"}});
  registry.set("a", {}, 0.25);
  registry.set("a", {}, 1.5);
  for (double value : {0.5, 3.0, 11.0}) registry.observe("c_seconds", {{"of", "z"}}, value);
  CHECK(registry.expose() ==
        "# HELP a First.\n# TYPE a gauge\na 1.5\n"
        "# HELP b_total Second.\n# TYPE b_total counter\nb_total{kind=\"x\"} 2\nb_total{kind=\"y\"} 2\n"
        "# HELP c_seconds Third.\n# TYPE c_seconds histogram\n"
        "c_seconds_bucket{of=\"z\",le=\"0.5\"} 1\nc_seconds_bucket{of=\"z\",le=\"10\"} 2\n"
        "c_seconds_bucket{of=\"z\",le=\"+Inf\"} 3\nc_seconds_sum{of=\"z\"} 14.5\nc_seconds_count{of=\"z\"} "
        "3\n");
}

TEST_CASE("what a label's value may not have as it is is escaped") {
  Registry registry;
  registry.describe("a", "gauge", "A.");
  registry.set("a", {{"path", "C:\\x \"y\"\nz"}}, 1);
  CHECK(lines_with(registry, "a{path=\"C:\\\\x \\\"y\\\"\\nz\"} 1") == 1);
}

TEST_CASE("a family over its cap takes no new series, and counts on in those that it has") {
  Registry registry;
  registry.describe("a_total", "counter", "A.");
  for (int i = 0; i < 5000; ++i) registry.add("a_total", {{"i", std::to_string(i)}});
  registry.add("a_total", {{"i", "0"}});
  CHECK(lines_with(registry, "a_total{") == 4096);
  CHECK(lines_with(registry, "a_total{i=\"0\"} 2") == 1);
}

TEST_CASE(
    "of what is gone every series is dropped, and none of what has a longer name or other first labels") {
  Registry registry;
  registry.describe("a_total", "counter", "A.");
  auto add = [&](const std::string& ns, const std::string& name, const std::string& tier) {
    registry.add("a_total", {{"namespace", ns}, {"name", name}, {"tier", tier}});
  };
  add("llm", "s", "one");
  add("llm", "s", "two");
  add("llm", "s2", "one");
  add("other", "s", "one");
  registry.add("a_total", {{"namespace", "llm"}, {"name", "s"}});
  registry.drop("a_total", {{"namespace", "llm"}, {"name", "s"}});
  CHECK(lines_with(registry, "a_total{") == 2);
  CHECK(lines_with(registry, "a_total{namespace=\"llm\",name=\"s2\"") == 1);
  CHECK(lines_with(registry, "a_total{namespace=\"other\"") == 1);
  registry.drop("a_total", {{"namespace", "nowhere"}});
  CHECK(lines_with(registry, "a_total{") == 2);
}
