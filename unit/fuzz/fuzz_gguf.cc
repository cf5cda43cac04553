#include "base/check.h"
#include "fuzz/target.h"
#include "models/facts_of_gguf.h"
#include "models/gguf_builder.h"
#include "models/memory_source.h"

using strix::test::GgufBuilder;
using strix::test::MemorySource;

std::vector<std::string> strix::fuzz::seeds() {
  GgufBuilder hybrid, sliding, latent;
  hybrid.set("general.architecture", "qwen35moe").set("qwen35moe.block_count", 4);
  hybrid.set("qwen35moe.embedding_length", 64).set("qwen35moe.attention.head_count", 4);
  hybrid.set("qwen35moe.ssm.conv_kernel", 4).set("qwen35moe.ssm.inner_size", 64);
  hybrid.set("qwen35moe.ssm.state_size", 16).set("qwen35moe.ssm.group_count", 2);
  sliding.set("general.architecture", "gemma4")
      .set("gemma4.block_count", 3)
      .set("gemma4.embedding_length", 64);
  sliding.set("gemma4.attention.head_count", std::vector<uint32_t>{4, 4, 4});
  sliding.set("gemma4.attention.sliding_window", 8).set("gemma4.attention.shared_kv_layers", 1);
  sliding.flags("gemma4.attention.sliding_window_pattern", {1, 1, 0});
  latent.set("general.architecture", "deepseek2").set("deepseek2.block_count", 2);
  latent.set("deepseek2.embedding_length", 64).set("deepseek2.attention.head_count", 1);
  latent.set("deepseek2.attention.key_length_mla", 8).set("deepseek2.attention.value_length_mla", 8);
  return {test::small_llama().file(), hybrid.file(), sliding.file(), latent.file()};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  int64_t read_bytes = 0, file_bytes = static_cast<int64_t>(size);
  auto gguf = strix::models::read_gguf(MemorySource(std::move(bytes), -1, &read_bytes));
  INVARIANT(read_bytes <= file_bytes + 16384);
  if (!gguf.ok()) return 0;
  auto facts = strix::models::facts_of_gguf(*gguf);
  if (!facts.ok()) return 0;
  INVARIANT(strix::models::growing_elements_per_token(*facts) >= 0);
  INVARIANT(*facts->weight_bytes >= 0 && *facts->parameters >= 0);
  int64_t by_type = 0;
  for (const auto& [type, weight] : facts->repackable_bytes_by_type) by_type += weight;
  for (const auto& [type, weight] : facts->other_bytes_by_type) by_type += weight;
  INVARIANT(by_type == *facts->weight_bytes);
  return 0;
}
