#include "base/check.h"
#include "fuzz/target.h"
#include "models/memory_source.h"
#include "models/safetensors.h"
#include "models/safetensors_builder.h"

using strix::test::MemorySource;

std::vector<std::string> strix::fuzz::seeds() {
  test::SafetensorsBuilder draft;
  draft.tensor("mtp.layers.0.w", "U8", "[1]", 1).tensor("model.layers.9.w", "F64", "[2,1]", 16);
  return {test::small_safetensors().file(), draft.file(),
          R"({"metadata":{"total_size":1154},"weight_map":{"a":"model.safetensors"}})"};
}

// The same bytes as a shard and as an index.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  auto weights = strix::models::read_safetensors(MemorySource(bytes), 1);
  if (weights.ok()) {
    INVARIANT(weights->bytes >= 0 && weights->bytes <= static_cast<int64_t>(size));
    INVARIANT(weights->output_bytes + weights->draft_bytes <= 2 * weights->bytes);
  }
  auto open = strix::test::files_in({{"model.safetensors", strix::test::small_safetensors().file()}});
  auto indexed = strix::models::read_safetensors_index(bytes, open, 1);
  if (indexed.ok()) INVARIANT(indexed->bytes == 0 || indexed->bytes == 1154);
  return 0;
}
