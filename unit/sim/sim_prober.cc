#include "sim/sim_prober.h"

#include <set>

namespace strix::sim {

namespace {

bool idle(const reconcile::ProbeReading& reading) {
  return reading.load && reading.load->idle();
}

bool worth_waking(const reconcile::ProbeReading& before, const reconcile::ProbeReading& after) {
  return before.phase != after.phase || before.detail != after.detail ||
         before.wedged_since != after.wedged_since ||
         before.report.context_length_tokens != after.report.context_length_tokens ||
         before.told != after.told || before.interval != after.interval ||
         before.load.has_value() != after.load.has_value() || idle(before) != idle(after);
}

}  // namespace

void SimProber::watch(const api::NamespacedName& stack, std::vector<reconcile::ProbeTarget> targets) {
  std::set<std::string> wanted;
  for (auto& target : targets) {
    std::string uid = target.uid;
    wanted.insert(uid);
    auto [found, fresh] = entries_.try_emplace(uid);
    Entry& entry = found->second;
    bool changed = fresh || entry.target.draining != target.draining;
    if (fresh) entry.state = probe::begin(world_.time.now(), target.was_serving, target.was_silent);
    entry.target = std::move(target);
    entry.target.stack = stack;
    if (!changed) continue;
    entry.tick = ++serial_;
    world_.time.after(0, [this, alive = std::weak_ptr<int>(alive_), uid, tick = entry.tick] {
      if (alive.expired()) return;
      auto known = entries_.find(uid);
      if (known != entries_.end() && known->second.tick == tick) step(uid, std::nullopt);
    });
  }
  std::erase_if(entries_, [&](const auto& item) {
    return item.second.target.stack == stack && !wanted.contains(item.first);
  });
}

std::optional<reconcile::ProbeReading> SimProber::reading(const std::string& uid) const {
  auto found = entries_.find(uid);
  if (found == entries_.end()) return std::nullopt;
  return found->second.state.reading;
}

void SimProber::step(const std::string& uid, std::optional<probe::Answer> answer) {
  Entry& entry = entries_.at(uid);
  reconcile::ProbeReading before = entry.state.reading;
  probe::Step step = probe::advance(std::move(entry.state), {world_.time.now(), entry.target.draining,
                                                             std::move(answer), entry.target.observe});
  entry.state = std::move(step.state);
  if (step.question) ask(uid, entry, *step.question);
  if (step.tick_at != 0) {
    entry.tick = ++serial_;
    world_.time.at(step.tick_at, [this, alive = std::weak_ptr<int>(alive_), uid, tick = entry.tick] {
      if (alive.expired()) return;
      auto known = entries_.find(uid);
      if (known != entries_.end() && known->second.tick == tick) this->step(uid, std::nullopt);
    });
  }
  if (worth_waking(before, entry.state.reading)) wake_(entry.target.stack);
}

void SimProber::ask(const std::string& uid, Entry& entry, const probe::Question& question) {
  entry.question = ++serial_;
  Machine* machine = nullptr;
  for (auto& candidate : world_.machines)
    if (candidate.find(uid)) machine = &candidate;
  probe::Answer answer;
  answer.kind = question.kind;
  answer.delivery = probe::Delivery::Refused;
  if (machine) answer = machine->answer(uid, question.kind);
  bool timed_out = answer.delivery == probe::Delivery::TimedOut;
  int64_t takes = timed_out ? question.deadline_millis : dice_.between(0, 15);
  auto arrive = [this, alive = std::weak_ptr<int>(alive_), uid, serial = entry.question, answer] {
    if (alive.expired()) return;
    auto known = entries_.find(uid);
    if (known != entries_.end() && known->second.question == serial) step(uid, answer);
  };
  world_.time.after(takes, std::move(arrive));
}

}  // namespace strix::sim
