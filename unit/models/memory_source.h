// Why: readers of files are tested with bytes that were made for the purpose, and with the count of what they
// read.
// May not: be used by operator/.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "models/byte_source.h"

namespace strix::test {

class MemorySource final : public models::ByteSource {
 public:
  // `size` may be larger than the bytes: the rest reads as zeros, as in a sparse file.
  explicit MemorySource(std::string bytes, int64_t size = -1, int64_t* read_bytes = nullptr)
      : bytes_(std::move(bytes)),
        size_(size < 0 ? static_cast<int64_t>(bytes_.size()) : size),
        read_bytes_(read_bytes) {}

  int64_t size() const override { return size_; }
  Status read(int64_t offset, std::span<char> into) const override {
    INVARIANT(offset >= 0 && offset <= size_ && static_cast<int64_t>(into.size()) <= size_ - offset);
    std::memset(into.data(), 0, into.size());
    if (static_cast<size_t>(offset) < bytes_.size())
      bytes_.copy(into.data(), into.size(), static_cast<size_t>(offset));
    if (read_bytes_ != nullptr) *read_bytes_ += static_cast<int64_t>(into.size());
    return success();
  }

 private:
  std::string bytes_;
  int64_t size_;
  int64_t* read_bytes_;
};

// A folder that is a map of names to bytes.
inline models::OpenFile files_in(std::map<std::string, std::string> files) {
  return [files = std::move(files)](const std::string& name) -> Result<std::unique_ptr<models::ByteSource>> {
    auto found = files.find(name);
    if (found == files.end()) return Error{ErrorKind::NotFound, name + ": no such file"};
    return std::unique_ptr<models::ByteSource>(std::make_unique<MemorySource>(found->second));
  };
}

}  // namespace strix::test
