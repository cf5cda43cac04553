#include "models/cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "models/printable.h"

namespace strix::models {

Cursor::Cursor(const ByteSource& source, int64_t limit)
    : source_(source), end_(std::min(source.size(), limit)), limited_(source.size() > limit) {}

void Cursor::fail(std::string_view field, std::string_view what) {
  if (failed()) return;
  error_ = Error{ErrorKind::Invalid, fmt::format("at byte {}: {}: {}", at_, printable(field), what)};
}

// Makes the window hold the byte at at_.
bool Cursor::fill(std::string_view field) {
  if (at_ >= window_at_ && at_ < window_at_ + static_cast<int64_t>(window_size_)) return true;
  size_t count = static_cast<size_t>(std::min<int64_t>(left(), static_cast<int64_t>(window_.size())));
  if (Status read = source_.read(at_, {window_.data(), count}); !read.ok()) {
    error_ = read.error().wrap(fmt::format("at byte {}: {}", at_, printable(field)));
    return false;
  }
  window_at_ = at_;
  window_size_ = count;
  return true;
}

void Cursor::copy(char* into, size_t count, std::string_view field) {
  if (failed()) return;
  if (static_cast<int64_t>(count) > left()) {
    return fail(field, limited_ ? "the header goes on behind what a header may hold" : "the file ends here");
  }
  while (count > 0) {
    if (!fill(field)) return;
    size_t offset = static_cast<size_t>(at_ - window_at_);
    size_t part = std::min(count, window_size_ - offset);
    std::memcpy(into, window_.data() + offset, part);
    into += part;
    count -= part;
    at_ += static_cast<int64_t>(part);
  }
}

std::string Cursor::text(size_t most, std::string_view field) {
  auto length = number<uint64_t>(field);
  if (failed()) return "";
  if (length > most) {
    fail(field, fmt::format("a length of {}, at most {} is allowed", length, most));
    return "";
  }
  std::string text(length, '\0');
  copy(text.data(), text.size(), field);
  return failed() ? "" : text;
}

std::optional<std::string> Cursor::text_if_short(size_t most, std::string_view field) {
  auto length = number<uint64_t>(field);
  if (failed()) return std::nullopt;
  if (length > most) {
    skip(length, 1, field);
    return std::nullopt;
  }
  std::string text(length, '\0');
  copy(text.data(), text.size(), field);
  if (failed()) return std::nullopt;
  return text;
}

void Cursor::skip_text(std::string_view field) {
  auto length = number<uint64_t>(field);
  skip(length, 1, field);
}

void Cursor::skip_texts(uint64_t count, std::string_view field) {
  for (; count > 0 && !failed(); --count) {
    uint64_t length = 0;
    auto offset = static_cast<uint64_t>(at_ - window_at_);  // before the window: far behind it
    bool in_window = offset < window_size_ && window_size_ - offset >= sizeof length;
    if (in_window) std::memcpy(&length, window_.data() + offset, sizeof length);
    if (in_window && length <= static_cast<uint64_t>(left()) - sizeof length) {
      at_ += static_cast<int64_t>(sizeof length + length);
    } else {
      skip_text(field);  // at the edge of the window, or wrong
    }
  }
}

void Cursor::skip(uint64_t count, uint64_t size, std::string_view field) {
  if (failed()) return;
  uint64_t bytes = 0;
  bool fits = !__builtin_mul_overflow(count, size, &bytes) && bytes <= static_cast<uint64_t>(left());
  if (!fits)
    return fail(field, fmt::format("{} elements of {} bytes, {} bytes are left", count, size, left()));
  at_ += static_cast<int64_t>(bytes);
}

}  // namespace strix::models
