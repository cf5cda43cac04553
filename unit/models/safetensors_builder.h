// Why: safetensors files for tests and seeds, so that each field may also be wrong.
// May not: use what it helps to test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace strix::test {

class SafetensorsBuilder {
 public:
  // Behind the tensors before.
  SafetensorsBuilder& tensor(std::string_view name, std::string_view dtype, std::string_view shape,
                             int64_t bytes) {
    entry(name, "{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
                    ",\"data_offsets\":[" + std::to_string(bytes_) + "," + std::to_string(bytes_ + bytes) +
                    "]}");
    bytes_ += bytes;
    return *this;
  }
  SafetensorsBuilder& entry(std::string_view name, const std::string& json) {
    header_ += (header_.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":" + json;
    return *this;
  }
  std::string file() const {
    std::string header = header_ + "}", bytes(sizeof(uint64_t), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
    return bytes + header + std::string(static_cast<size_t>(bytes_), '\0');
  }

 private:
  std::string header_ = "{";
  int64_t bytes_ = 0;
};

inline SafetensorsBuilder small_safetensors() {
  SafetensorsBuilder builder;
  builder.entry("__metadata__", R"({"format":"pt"})");
  builder.tensor("model.embed_tokens.weight", "BF16", "[32,8]", 512);
  builder.tensor("model.layers.0.mlp.up_proj.weight", "F8_E4M3", "[16,8]", 128);
  builder.tensor("model.layers.1.mlp.up_proj.weight", "F4", "[3]", 2)
      .tensor("lm_head.weight", "BF16", "[32,8]", 512);
  return builder;
}

}  // namespace strix::test
