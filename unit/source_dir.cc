#include "source_dir.h"

namespace strix::fake {

const std::string& source_dir() {
  static const std::string folder = STRIX_SOURCE_DIR;
  return folder;
}

}  // namespace strix::fake
