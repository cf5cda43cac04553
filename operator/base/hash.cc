#include "base/hash.h"

#include <fmt/format.h>

namespace strix {

std::string stable_hash_hex(std::string_view text) {
  return fmt::format("{:016x}", stable_hash(text));
}

}  // namespace strix
