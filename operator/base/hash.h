// Why: a rendered pod template is compared with the one a pod was made from by a hash in an annotation.
// The hash has to be the same on every build and machine, which std::hash does not promise.
// May not: be used against an adversary; it is no cryptographic hash.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace strix {

// 64-bit FNV-1a.
constexpr uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

// Sixteen lower-case hexadecimal digits: a valid label value.
std::string stable_hash_hex(std::string_view text);

}  // namespace strix
