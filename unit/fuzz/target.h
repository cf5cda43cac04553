// Why: each fuzz target is one function over bytes. libFuzzer drives it where the compiler is clang;
// replay.cc drives it with any, from seeds that code makes and mutations of them, as a part of CTest.
// May not: be used by operator/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace strix::fuzz {

// Small inputs that the target accepts, to start from. Every target defines it.
std::vector<std::string> seeds();

}  // namespace strix::fuzz
