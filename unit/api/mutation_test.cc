// Manifests with random faults: whatever comes, decode and validate answer, briefly.
#include <random>
#include <vector>

#include "api/validate.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;

namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t bound) {
  return random() % bound;
}

// One value, as JSON, of the kinds that people and attackers send.
std::string odd_value(Random& random) {
  static const std::vector<std::string> values = {"null",
                                                  "true",
                                                  "-1",
                                                  "0",
                                                  "1e300",
                                                  "9223372036854775807",
                                                  "18446744073709551615",
                                                  "0.1",
                                                  "\"\"",
                                                  "\"-\"",
                                                  "\"..\"",
                                                  "[]",
                                                  "{}",
                                                  "[null]",
                                                  "{\"name\":[]}",
                                                  "[[[[]]]]",
                                                  "\"\\u0000\"",
                                                  "\"\\u6a21\\n\"",
                                                  "\"/../../etc\"",
                                                  "\"999999999999999999999Gi\"",
                                                  "\"1e99\""};
  return below(random, 8) == 0 ? json::quote(std::string(5000, 'a')) : values[below(random, values.size())];
}

// Copies a value, with now and then an odd one in the place of a part, or a part left out.
void mutate(json::Writer& out, json::Value value, Random& random) {
  if (below(random, 40) == 0) {
    out.raw(odd_value(random));
  } else if (value.is_object()) {
    out.begin_object();
    value.for_each_member([&](std::string_view name, json::Value member) {
      if (below(random, 60) == 0) return;
      out.key(name);
      mutate(out, member, random);
    });
    out.end_object();
  } else if (value.is_array()) {
    out.begin_array();
    value.for_each([&](json::Value element) {
      for (size_t copies = below(random, 20) == 0 ? 2 : 1; copies > 0; --copies) mutate(out, element, random);
    });
    out.end_array();
  } else {
    out.value(value);
  }
}

}  // namespace

TEST_CASE("decode and validate answer any manifest, with a bounded number of printable errors") {
  std::vector<std::string> seeds = {
      test::yaml_to_json(YAML::Load(test::minimal_stack)),
      test::yaml_to_json(YAML::Load(test::read_source("manifests/samples/four-tiers.yaml")))};
  api::Policy policy;
  policy.model_roots = {"/var/lib/models"};
  int refused = 0;
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    auto document = test::parse(seeds[seed % seeds.size()]);
    json::Writer out;
    mutate(out, document.root(), random);
    std::string text = out.take();
    auto mutated = json::Document::parse(text);
    REQUIRE(mutated.ok());
    auto stack = api::decode_stack(mutated->root());
    if (!stack) continue;
    auto errors = api::validate(*stack, policy);
    refused += errors.empty() ? 0 : 1;
    REQUIRE(errors.size() <= 32);
    for (const auto& error : errors)
      for (char c : error.text()) REQUIRE((c >= 0x20 && c < 0x7F));
    // A status goes the other way with whatever names the spec has.
    api::StackStatus status;
    for (const auto& tier : stack->spec.tiers) {
      status.tiers.emplace_back();
      status.tiers.back().name = tier.name;
      status.tiers.back().message = tier.model.file;
    }
    REQUIRE(json::Document::parse(api::encode_status_apply(*stack, status)).ok());
  }
  CHECK(refused > 500);
}
