// Why: asks every tier's pod whether it works, on the one I/O thread: the shell around probe/machine.h.
// May not: decide what to ask or when, block the loop, own a thread, or log.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/loop.h"
#include "reconcile/ports.h"

namespace strix::probe {

// Public functions may be called from any thread but the loop's; what asks is owned by the loop's thread.
class TierProber final : public reconcile::Prober {
 public:
  // Runs on the loop's thread, with no lock held, and must not block.
  using Wake = std::function<void(const api::NamespacedName& stack)>;

  // The loop outlives the prober.
  TierProber(http::Loop& loop, Wake wake);
  // Returns when no wake callback runs or will run any more. Not from the loop's own thread.
  ~TierProber() override;
  TierProber(const TierProber&) = delete;
  TierProber& operator=(const TierProber&) = delete;

  // A target without an address (the pod has none yet) is NotListening and is not asked.
  void watch(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets) override;
  // Known from the return of watch() on.
  std::optional<reconcile::ProbeReading> reading(const std::string& uid) const override;

 private:
  class Rounds;
  class Readings;
  http::Loop& loop_;
  std::shared_ptr<Readings> readings_;
  std::shared_ptr<Rounds> rounds_;
};

}  // namespace strix::probe
