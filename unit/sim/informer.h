// Why: what one informer has heard so far: always something that was true once, and in order, but late, and
// after a relist without what lay between.
// May not: show half a list.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "sim/api_server.h"
#include "sim/random.h"
#include "sim/world.h"

namespace strix::sim {

// Owner: one operator process.
template <class T>
class Informer {
 public:
  using Handler = std::function<void(const Shared<T>& before, const Shared<T>& after)>;

  Informer(World& world, Table<T>& table, Random& dice, Handler handler)
      : world_(world), table_(table), dice_(dice), handler_(std::move(handler)) {}

  const std::map<api::NamespacedName, Shared<T>>& objects() const { return objects_; }
  Shared<T> get(const api::NamespacedName& key) const {
    auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : found->second;
  }

  // Something was written: it will be heard.
  void written() {
    const Rates& rates = world_.plan.rates;
    int64_t lag = dice_.between(0, world_.plan.lag_millis_max);
    bool slow = dice_.chance(rates.slow_watch), relists = dice_.chance(rates.relist);
    int64_t slowness = dice_.between(200, 6'000);
    if (world_.calm) slow = relists = false;
    if (slow) lag += slowness;
    BootMillis at = world_.time.boot() + lag;
    if (slow) deaf_until_ = std::max(deaf_until_, at);  // what comes after it waits too
    if (!world_.calm) at = std::max({at, world_.api_down_until, deaf_until_});
    hear_at(at, table_.history.size(), relists);
  }
  // Hears nothing for a while, and lists again then.
  void be_deaf(int64_t millis) {
    deaf_until_ = world_.time.boot() + millis;
    world_.deaf_until = std::max(world_.deaf_until, deaf_until_);
    hear_at(deaf_until_, table_.history.size(), true);
  }
  // All at once, as it is now.
  void list() {
    auto before = std::move(objects_);
    objects_ = table_.objects;
    heard_ = table_.history.size();
    for (const auto& [key, gone] : before)
      if (!objects_.contains(key)) handler_(gone, nullptr);
    for (const auto& [key, after] : objects_) {
      auto known = before.find(key);
      handler_(known == before.end() ? nullptr : known->second, after);
    }
  }

 private:
  void hear_at(BootMillis at, size_t up_to, bool relists) {
    world_.time.at(at, [this, alive = std::weak_ptr<int>(alive_), up_to, relists] {
      if (alive.expired()) return;
      if (relists) return list();
      while (heard_ < up_to) hear_next();
    });
  }
  void hear_next() {
    const auto entry = table_.history[heard_++];
    Shared<T> before = get(entry.key);
    if (!before && !entry.after) return;
    if (entry.after)
      objects_[entry.key] = entry.after;
    else
      objects_.erase(entry.key);
    handler_(before, entry.after);
    if (entry.after && !world_.calm && dice_.chance(world_.plan.rates.repeat_event))
      handler_(entry.after, entry.after);
  }

  World& world_;
  Table<T>& table_;
  Random& dice_;
  Handler handler_;
  std::map<api::NamespacedName, Shared<T>> objects_;
  size_t heard_ = 0;
  BootMillis deaf_until_ = 0;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace strix::sim
