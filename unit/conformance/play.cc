#include "conformance/play.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "api/names.h"
#include "conformance/manifest.h"
#include "conformance/request.h"
#include "conformance/view.h"

namespace strix::conformance {

namespace {

constexpr int64_t pace_millis = 20;

// The first object that the two tell differently; empty: none.
std::string difference(const std::map<std::string, std::string>& left,
                       const std::map<std::string, std::string>& right, const Side& a, const Side& b) {
  auto text = [](const auto& all, const std::string& object) {
    auto found = all.find(object);
    return found == all.end() ? std::string("is not there") : found->second;
  };
  std::map<std::string, std::string> both = left;
  both.insert(right.begin(), right.end());
  for (const auto& [object, unused] : both)
    if (text(left, object) != text(right, object))
      return fmt::format("{}\n    {}: {}\n    {}: {}", object, a.name(), text(left, object), b.name(),
                         text(right, object));
  return "";
}

// One side with what it has shown.
struct Seat {
  Side& side;
  View view;
  Objects now;

  Status look() {
    auto objects = side.look();
    if (!objects) return objects.error().wrap(std::string(side.name()));
    now = std::move(objects).value();
    return success();
  }
  auto told() const { return view.told(now, side.wall()); }
};

// Whether a collector has, or had, something to do: what it does comes later.
bool collects(const Objects& before, const Objects& now) {
  auto gone = [&](const std::string& uid) {
    return std::none_of(now.stacks.begin(), now.stacks.end(),
                        [&](const auto& s) { return s.metadata.uid == uid; });
  };
  auto dangles = [&](const auto& object) {
    return std::any_of(object.metadata.owners.begin(), object.metadata.owners.end(),
                       [&](const auto& owner) { return gone(owner.uid); });
  };
  return std::any_of(now.stacks.begin(), now.stacks.end(),
                     [](const auto& s) { return s.metadata.deleting(); }) ||
         std::any_of(before.stacks.begin(), before.stacks.end(),
                     [&](const auto& s) { return gone(s.metadata.uid); }) ||
         std::any_of(now.pods.begin(), now.pods.end(), dangles) ||
         std::any_of(now.services.begin(), now.services.end(), dangles);
}

// Looks until both tell the same, or patience is at its end. Answers with what differs then.
Result<std::string> compare(Seat& left, Seat& right, Patience patience) {
  for (BootMillis until = boot_now() + patience.millis;;) {
    for (Seat* seat : {&left, &right})
      if (auto done = seat->look(); !done) return done.error();
    std::string differs = difference(left.told(), right.told(), left.side, right.side);
    bool later = collects(left.view.last(), left.now) || collects(right.view.last(), right.now);
    if (differs.empty() || !later || boot_now() >= until) return differs;
    std::this_thread::sleep_for(std::chrono::milliseconds(pace_millis));
  }
}

}  // namespace

Result<std::optional<Difference>> play(const std::vector<Step>& steps, Side& left, Side& right,
                                       Patience patience, Tally& tally) {
  Seat seats[] = {{left, {}, {}}, {right, {}, {}}};
  for (Seat& seat : seats)
    if (auto done = seat.side.clear(); !done) return done.error().wrap(std::string(seat.side.name()));
  for (size_t i = 0; i < steps.size(); ++i) {
    Answer answers[2];
    for (size_t s = 0; s < 2; ++s) {
      answers[s] = ask(steps[i], seats[s].side, seats[s].view);
      seats[s].side.collect();
    }
    auto differs = compare(seats[0], seats[1], patience);
    if (!differs) return differs.error();
    std::string text[2];
    for (size_t s = 0; s < 2; ++s) text[s] = answers[s].text + version_note(answers[s], seats[s].now);
    if (text[0] != text[1])
      return std::optional(Difference{
          i, fmt::format("answers\n    {}: {}\n    {}: {}", left.name(), text[0], right.name(), text[1])});
    if (!differs->empty()) return std::optional(Difference{i, *differs});
    for (Seat& seat : seats) seat.view.remember(seat.now, seat.side.wall());
    if (!answers[0].text.empty()) ++tally[fmt::format("{}: {}", to_string(steps[i].verb), answers[0].kind)];
  }
  return std::optional<Difference>();
}

Result<std::vector<Step>> shrink(std::vector<Step> steps, Side& left, Side& right, Patience patience) {
  Tally unused;
  for (bool again = true; again;) {
    again = false;
    for (size_t i = steps.size(); i-- > 0;) {
      std::vector<Step> fewer = steps;
      fewer.erase(fewer.begin() + static_cast<long>(i));
      auto found = play(fewer, left, right, patience, unused);
      if (!found) return found.error();
      if (!*found) continue;
      fewer.resize((*found)->step + 1);
      steps = std::move(fewer);
      i = std::min(i, steps.size());
      again = true;
    }
  }
  return steps;
}

}  // namespace strix::conformance
