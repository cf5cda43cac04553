// Why: the version stands in CMakeLists.txt once and is seen by `version`, the User-Agent and the metrics.
// May not: change between two builds of the same sources.
#pragma once

#include <string>

namespace strix::app {

inline std::string version_text() {
  return "strix-operator " STRIX_VERSION;
}

}  // namespace strix::app
