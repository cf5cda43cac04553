// Why: Debian 12 ships Catch2 v2, newer systems v3; tests include this and fit both.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
