#include "sim/fiber.h"

#include <ucontext.h>

#include <cstdint>
#include <vector>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace strix::sim {

namespace {

constexpr size_t stack_bytes = 256 * 1024;
using Stack = std::unique_ptr<char[]>;

std::vector<Stack>& free_stacks() {
  static std::vector<Stack> stacks;
  return stacks;
}

Stack take_stack() {
  auto& stacks = free_stacks();
  if (stacks.empty()) return Stack(new char[stack_bytes]);
  Stack stack = std::move(stacks.back());
  stacks.pop_back();
  return stack;
}

}  // namespace

struct Fiber::Context {
  Stack stack = take_stack();
  ucontext_t inside{}, outside{};
#if defined(__SANITIZE_ADDRESS__)
  void *fake_inside = nullptr, *fake_outside = nullptr;
  const void* outside_bottom = nullptr;
  size_t outside_size = 0;
#endif
#if defined(__SANITIZE_THREAD__)
  void* tsan_inside = __tsan_create_fiber(0);
  void* tsan_outside = nullptr;
  ~Context() { __tsan_destroy_fiber(tsan_inside); }
#endif
};

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), context_(std::make_unique<Context>()) {
  getcontext(&context_->inside);
  context_->inside.uc_stack.ss_sp = context_->stack.get();
  context_->inside.uc_stack.ss_size = stack_bytes;
  context_->inside.uc_link = nullptr;
  auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_->inside, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              static_cast<unsigned>(self & 0xffffffffU), static_cast<unsigned>(self >> 32));
}

Fiber::~Fiber() {
  kill();
  free_stacks().push_back(std::move(context_->stack));
}

void Fiber::enter(unsigned low, unsigned high) {
  reinterpret_cast<Fiber*>(static_cast<uintptr_t>(low) | (static_cast<uintptr_t>(high) << 32))->run();
}

void Fiber::run() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &context_->outside_bottom, &context_->outside_size);
#endif
  try {
    if (!killed_) body_();
  } catch (const Killed&) {
  }
  done_ = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, context_->outside_bottom, context_->outside_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(context_->tsan_outside, 0);
#endif
  swapcontext(&context_->inside, &context_->outside);
}

void Fiber::resume() {
  if (done_) return;
  begun_ = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context_->fake_outside, context_->stack.get(), stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  context_->tsan_outside = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(context_->tsan_inside, 0);
#endif
  swapcontext(&context_->outside, &context_->inside);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context_->fake_outside, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
  if (killed_) throw Killed{};
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context_->fake_inside, context_->outside_bottom, context_->outside_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(context_->tsan_outside, 0);
#endif
  swapcontext(&context_->inside, &context_->outside);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context_->fake_inside, &context_->outside_bottom, &context_->outside_size);
#endif
  if (killed_) throw Killed{};
}

void Fiber::kill() {
  if (done_) return;
  killed_ = true;
  if (begun_) {
    resume();
    INVARIANT(done_);
  }
  done_ = true;
}

}  // namespace strix::sim
