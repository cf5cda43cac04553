// Why: what a GGUF file says of itself: its metadata and what its tensors weigh. The format is that of
// ggml's docs/gguf.md, versions 2 and 3, little-endian.
// May not: know an architecture, read a tensor, or keep a tokenizer in memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/byte_source.h"
#include "models/tensor_type.h"

namespace strix::models {

struct GgufValue {
  // Long: a text or array that is known only by its length.
  enum class Kind { Integer, Real, Boolean, Text, Integers, Long };
  Kind kind = Kind::Long;
  int64_t integer = 0;  // Boolean: 0 or 1
  double real = 0;
  std::string text;
  std::vector<int64_t> integers;  // an array of whole numbers or booleans
  int64_t length = 0;             // of an array
};

struct GgufTensor {
  std::string name;
  std::vector<int64_t> dimensions;  // the first is contiguous
  const TensorType* type = nullptr;
  int64_t elements = 0, bytes = 0;
};

struct Gguf {
  uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> values;
  std::vector<GgufTensor> tensors;  // of all parts
  int64_t header_bytes = 0;         // of all parts

  const GgufValue* find(std::string_view key) const;
  std::string text(std::string_view key) const;  // empty when absent or no text
  std::optional<int64_t> integer(std::string_view key) const;
};

// One file. Errors: Invalid with the offset and the field, or what the source reports.
Result<Gguf> read_gguf(const ByteSource& source);

// A file and, where it is the first part of several (`-00001-of-00003.gguf`), the others, which `open` finds
// by the same kind of name. Errors: the same, after the file's name.
Result<Gguf> read_gguf_parts(const std::string& name, const OpenFile& open);

}  // namespace strix::models
