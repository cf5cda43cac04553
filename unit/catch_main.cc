// The one translation unit that carries Catch2 v2's main: it is slow to compile.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
