// Why: the one place of models/ that touches a disk.
// May not: leave the folder that it was given by an absolute path or "..", follow a FIFO into a wait, or
// write.
#pragma once

#include <memory>
#include <string>

#include "models/byte_source.h"

namespace strix::models {

// Errors: NotFound, Forbidden, Invalid (not a regular file), Internal.
Result<std::unique_ptr<ByteSource>> open_file(const std::string& path);

// Opens names below `folder`. Symbolic links are followed: hub caches are made of them.
OpenFile files_of(std::string folder);

}  // namespace strix::models
