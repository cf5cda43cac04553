// Why: every choice of a run comes from its seed, and is the same on every machine and library.
// May not: use std:: distributions, whose numbers differ between libraries.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/hash.h"

namespace strix::sim {

class Random {
 public:
  // Each actor has a stream of its own, so that taking away one actor's trouble leaves the others' dice
  // alone.
  Random(uint64_t seed, std::string_view actor)
      : state_((seed + 1) * 0x9e3779b97f4a7c15ULL ^ stable_hash(actor)) {}

  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  int64_t between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  // True this many times out of a thousand.
  bool chance(int64_t milli) { return between(0, 999) < milli; }

 private:
  uint64_t state_;
};

}  // namespace strix::sim
