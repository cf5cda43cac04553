// Why: model files are tens of gigabytes and not ours; readers ask for the few bytes of their headers, and
// tests hand them bytes that no disk holds.
// May not: map a file, or read more than it is asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace strix::models {

// Any thread, one at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual int64_t size() const = 0;
  // Fills `into` from `offset` on; a source that ends earlier is an error.
  virtual Status read(int64_t offset, std::span<char> into) const = 0;
};

// Opens a file of one folder by its name or relative path. NotFound when it is not there.
using OpenFile = std::function<Result<std::unique_ptr<ByteSource>>(const std::string& name)>;

}  // namespace strix::models
