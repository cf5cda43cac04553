// Why: a GGUF tensor's bytes follow from its type's block; one table, with its source.
// May not: guess the block of a type it does not list.
#pragma once

#include <cstdint>
#include <string_view>

namespace strix::models {

struct TensorType {
  uint32_t id = 0;        // ggml_type
  std::string_view name;  // "Q4_K"
  int64_t block_elements = 0, block_bytes = 0;
};

const TensorType* tensor_type(uint32_t id);  // null for a type that is unknown or was removed

// "Q4_K_M" of general.file_type; empty when unknown.
std::string_view file_type_name(uint64_t file_type);

}  // namespace strix::models
