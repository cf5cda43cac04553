// Why: binary headers are read field by field from files that may be short, hostile or random. The first
// thing that is wrong is remembered with its offset and field; every later read gives zero.
// May not: read past the limit, trust a length, or hold more than one window of the file.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "models/byte_source.h"

namespace strix::models {

static_assert(std::endian::native == std::endian::little,
              "the readers copy little-endian numbers as they are");

// Owner: the function that reads one header.
class Cursor {
 public:
  // Reads at most `limit` bytes of the source.
  Cursor(const ByteSource& source, int64_t limit);

  template <typename T>
  T number(std::string_view field) {
    static_assert(std::is_arithmetic_v<T>);
    T value{};
    copy(reinterpret_cast<char*>(&value), sizeof(T), field);
    return failed() ? T{} : value;
  }

  // A length of 64 bits and that many bytes. More than `most` is an error.
  std::string text(size_t most, std::string_view field);
  // The same, but a longer one is passed over and absent.
  std::optional<std::string> text_if_short(size_t most, std::string_view field);
  void skip_text(std::string_view field);
  // So many of them: a tokenizer's words, which are almost all that a header holds.
  void skip_texts(uint64_t count, std::string_view field);
  // Passes over count * size bytes without reading them.
  void skip(uint64_t count, uint64_t size, std::string_view field);

  void fail(std::string_view field, std::string_view what);
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }
  int64_t at() const { return at_; }
  int64_t left() const { return end_ - at_; }

 private:
  void copy(char* into, size_t count, std::string_view field);
  bool fill(std::string_view field);

  const ByteSource& source_;
  int64_t end_;
  bool limited_;  // the file goes on behind end_
  int64_t at_ = 0;
  int64_t window_at_ = 0;
  size_t window_size_ = 0;
  std::array<char, 16384> window_;
  std::optional<Error> error_;
};

}  // namespace strix::models
