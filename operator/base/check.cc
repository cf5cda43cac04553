#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace strix {

void invariant_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr,
               "{\"level\":\"error\",\"msg\":\"broken invariant\",\"expression\":\"%s\",\"at\":\"%s:%d\"}\n",
               expression, file, line);
  std::abort();
}

}  // namespace strix
