// Why: a broken invariant means our own reasoning is wrong; going on would act on it. Kubernetes
// restarts the process and a level-triggered operator starts clean.
// May not: be used for input, however hostile; that is what Result is for.
#pragma once

namespace strix {
[[noreturn]] void invariant_failed(const char* expression, const char* file, int line);
}  // namespace strix

#define INVARIANT(expression) \
  ((expression) ? static_cast<void>(0) : ::strix::invariant_failed(#expression, __FILE__, __LINE__))
