// Why: a pass blocks in every request it makes; as a fiber it stands still there while the rest of the world
// goes on, on one thread, and can be killed between any two requests.
// May not: be switched to from another thread.
#pragma once

#include <functional>
#include <memory>

namespace strix::sim {

// Thrown out of suspend() in a fiber that is being killed; only the fiber's own frame catches it.
struct Killed {};

// Owner: the one thread of a run.
class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  ~Fiber();  // kills it where it stands
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();   // until it suspends or ends; not from inside a fiber
  void suspend();  // from inside; throws Killed when the fiber is to end
  void kill();
  bool done() const { return done_; }

 private:
  struct Context;
  static void enter(unsigned low, unsigned high);
  void run();

  std::function<void()> body_;
  std::unique_ptr<Context> context_;
  bool killed_ = false, done_ = false, begun_ = false;
};

}  // namespace strix::sim
