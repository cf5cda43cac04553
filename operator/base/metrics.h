// Why: the operator's own Prometheus metrics: a registry that any thread may write and that /metrics prints.
// May not: grow without a bound (each family has a cap on its series), or know what the metrics mean.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace strix::metrics {

// Pairs in the order in which they are printed.
using Labels = std::vector<std::pair<std::string, std::string>>;

// Thread-safe. Names and help texts are constants of the caller.
class Registry {
 public:
  void describe(std::string_view name, std::string_view type, std::string_view help);
  void describe_histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds);

  void add(std::string_view name, const Labels& labels, double delta = 1);
  void set(std::string_view name, const Labels& labels, double value);
  void observe(std::string_view name, const Labels& labels, double value);
  // Drops the series of a family whose first labels are these, of an object that is gone.
  void drop(std::string_view name, const Labels& first_labels);

  // Text exposition format 0.0.4, families and series in a stable order.
  std::string expose() const;

 private:
  static constexpr size_t series_max = 4096;  // a family over its cap drops new series rather than memory
  struct Series {
    double value = 0;
    uint64_t count = 0;
    std::vector<uint64_t> buckets;
  };
  struct Family {
    std::string type, help;
    std::vector<double> upper_bounds;
    std::map<std::string, Series> series;  // by rendered labels
  };
  Series* series_of(std::string_view name, const Labels& labels);

  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace strix::metrics
