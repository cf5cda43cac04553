#include "api/codec.h"
#include "api/manifest.h"
#include "api/validate.h"
#include "base/check.h"
#include "base/yaml.h"
#include "fuzz/target.h"

std::vector<std::string> strix::fuzz::seeds() {
  return {test::minimal_stack,
          "a: &x {b: [1, 'two', \"3\"]}\nc: |\n  text\nd:\n- *x\n- <<: *x\n  e: Off\n--- 5\n",
          "? a\n: !!int 7\n\"k\": [0x1F, .5, 1_0, ~, 2026-02-09]\n"};
}

// YAML, then a manifest as `validate` reads it: what it becomes is JSON that reads back the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto documents = strix::yaml::parse_all({reinterpret_cast<const char*>(data), size});
  if (!documents.ok()) return 0;
  for (const auto& document : *documents) {
    std::string json = document.root().dump();
    auto again = strix::json::Document::parse(json);
    INVARIANT(again.ok() && again->root().dump() == json);
    auto stack = strix::api::decode_stack(document.root());
    if (!stack.ok()) continue;
    for (const auto& error : strix::api::validate(*stack, {})) {
      document.locate(error.path);
      INVARIANT(!error.message.empty());
    }
  }
  return 0;
}
