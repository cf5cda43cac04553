// Why: the tiers' ports, asked in virtual time: the shell around probe/machine.h as probe/prober.cc is one
// around HTTP.
// May not: decide what to ask or when, or read an engine's state but by asking.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "probe/machine.h"
#include "reconcile/ports.h"
#include "sim/random.h"
#include "sim/world.h"

namespace strix::sim {

// Owner: one operator process.
class SimProber : public reconcile::Prober {
 public:
  SimProber(World& world, uint64_t seed, const std::string& name,
            std::function<void(const api::NamespacedName&)> wake)
      : world_(world), dice_(seed, name + " prober"), wake_(std::move(wake)) {}

  void watch(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets) override;
  std::optional<reconcile::ProbeReading> reading(const std::string& uid) const override;

 private:
  struct Entry {
    reconcile::ProbeTarget target;
    probe::State state;
    std::string node;
    uint64_t tick = 0, question = 0;  // the latest of each; others are stale
  };
  void step(const std::string& uid, std::optional<probe::Answer> answer);
  void ask(const std::string& uid, Entry& entry, const probe::Question& question);

  World& world_;
  Random dice_;
  std::function<void(const api::NamespacedName&)> wake_;
  std::map<std::string, Entry> entries_;
  uint64_t serial_ = 0;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace strix::sim
