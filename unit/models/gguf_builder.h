// Why: GGUF files for tests and seeds, field by field, so that each may also be wrong.
// May not: use what it helps to test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace strix::test {

class GgufBuilder {
 public:
  uint32_t magic = 0x46554747, version = 3;
  uint64_t extra_tensors = 0, extra_values = 0;  // announced, and not there

  template <typename T>
  static std::string raw(T number) {
    return std::string(reinterpret_cast<const char*>(&number), sizeof number);
  }
  static std::string text(std::string_view value) { return raw<uint64_t>(value.size()) + std::string(value); }

  GgufBuilder& value(std::string_view key, uint32_t type, const std::string& bytes) {
    values_ += text(key) + raw(type) + bytes;
    ++value_count_;
    return *this;
  }
  GgufBuilder& set(std::string_view key, uint32_t number) { return value(key, 4, raw(number)); }
  GgufBuilder& set(std::string_view key, int number) { return set(key, static_cast<uint32_t>(number)); }
  GgufBuilder& set(std::string_view key, bool flag) { return value(key, 7, raw<uint8_t>(flag ? 1 : 0)); }
  GgufBuilder& set(std::string_view key, const char* words) { return value(key, 8, text(words)); }
  GgufBuilder& set(std::string_view key, const std::vector<uint32_t>& numbers) {
    std::string bytes = raw<uint32_t>(4) + raw<uint64_t>(numbers.size());
    for (uint32_t number : numbers) bytes += raw(number);
    return value(key, 9, bytes);
  }
  GgufBuilder& flags(std::string_view key, const std::vector<int>& flags) {
    std::string bytes = raw<uint32_t>(7) + raw<uint64_t>(flags.size());
    for (int flag : flags) bytes += raw<uint8_t>(static_cast<uint8_t>(flag));
    return value(key, 9, bytes);
  }
  GgufBuilder& texts(std::string_view key, size_t count, std::string_view each) {
    std::string bytes = raw<uint32_t>(8) + raw<uint64_t>(count);
    for (size_t i = 0; i < count; ++i) bytes += text(each);
    return value(key, 9, bytes);
  }

  // A tensor of so many bytes, behind the ones before.
  GgufBuilder& tensor(std::string_view name, std::vector<uint64_t> dimensions, uint32_t type,
                      uint64_t bytes) {
    tensor_at(name, dimensions, type, data_bytes_);
    data_bytes_ = (data_bytes_ + bytes + 31) / 32 * 32;
    return *this;
  }
  GgufBuilder& tensor_at(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                         uint64_t offset) {
    tensors_ += text(name) + raw(static_cast<uint32_t>(dimensions.size()));
    for (uint64_t dimension : dimensions) tensors_ += raw(dimension);
    tensors_ += raw(type) + raw(offset);
    ++tensor_count_;
    return *this;
  }

  std::string header() const {
    return raw(magic) + raw(version) + raw(tensor_count_ + extra_tensors) + raw(value_count_ + extra_values) +
           values_ + tensors_;
  }
  // The size of the whole file; its data is zeros.
  int64_t file_size() const { return static_cast<int64_t>((header().size() + 31) / 32 * 32 + data_bytes_); }
  std::string file() const {
    std::string bytes = header();
    bytes.resize(static_cast<size_t>(file_size()));
    return bytes;
  }

 private:
  std::string values_, tensors_;
  uint64_t value_count_ = 0, tensor_count_ = 0, data_bytes_ = 0;
};

// A llama of 2 layers with a tokenizer, as small as one can be.
inline GgufBuilder small_llama() {
  GgufBuilder builder;
  builder.set("general.architecture", "llama").set("general.file_type", 15);
  builder.set("llama.block_count", 2).set("llama.context_length", 4096).set("llama.embedding_length", 64);
  builder.set("llama.feed_forward_length", 256).set("llama.attention.head_count", 4);
  builder.set("llama.attention.head_count_kv", 2).texts("tokenizer.ggml.tokens", 32, "abc");
  builder.tensor("token_embd.weight", {64, 32}, 8, 2176).tensor("output.weight", {64, 32}, 1, 4096);
  builder.tensor("blk.0.attn_q.weight", {256, 4}, 12, 576).tensor("blk.1.attn_norm.weight", {64}, 0, 256);
  return builder;
}

}  // namespace strix::test
