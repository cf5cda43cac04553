// Why: tests read manifests, golden files and sources where they lie in the checkout.
// May not: be used by operator/.
#pragma once

#include <string>

namespace strix::fake {

const std::string& source_dir();  // absolute, without a slash at its end

}  // namespace strix::fake
