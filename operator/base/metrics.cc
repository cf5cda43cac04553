#include "base/metrics.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"

namespace strix::metrics {

namespace {

// Escapes as the text format asks: backslash, double quote, line feed.
std::string render(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += text.empty() ? "" : ",";
    text += name + "=\"";
    for (char c : value) {
      if (c == '\\' || c == '"') text += '\\';
      if (c == '\n') {
        text += "\\n";
      } else {
        text += c;
      }
    }
    text += '"';
  }
  return text;
}

std::string render_number(double value) {
  if (std::floor(value) == value && std::abs(value) < 1e15)
    return fmt::format("{}", static_cast<int64_t>(value));
  return fmt::format("{}", value);
}

std::string braces(const std::string& labels) {
  return labels.empty() ? "" : "{" + labels + "}";
}

}  // namespace

void Registry::describe(std::string_view name, std::string_view type, std::string_view help) {
  std::lock_guard lock(mutex_);
  families_[std::string(name)] = Family{std::string(type), std::string(help), {}, {}};
}

void Registry::describe_histogram(std::string_view name, std::string_view help,
                                  std::vector<double> upper_bounds) {
  std::lock_guard lock(mutex_);
  families_[std::string(name)] = Family{"histogram", std::string(help), std::move(upper_bounds), {}};
}

Registry::Series* Registry::series_of(std::string_view name, const Labels& labels) {
  auto family = families_.find(name);
  INVARIANT(family != families_.end());
  std::string key = render(labels);
  auto found = family->second.series.find(key);
  if (found != family->second.series.end()) return &found->second;
  if (family->second.series.size() >= series_max) return nullptr;
  Series fresh;
  fresh.buckets.resize(family->second.upper_bounds.size());
  return &family->second.series.emplace(std::move(key), std::move(fresh)).first->second;
}

void Registry::add(std::string_view name, const Labels& labels, double delta) {
  std::lock_guard lock(mutex_);
  if (Series* series = series_of(name, labels)) series->value += delta;
}

void Registry::set(std::string_view name, const Labels& labels, double value) {
  std::lock_guard lock(mutex_);
  if (Series* series = series_of(name, labels)) series->value = value;
}

void Registry::observe(std::string_view name, const Labels& labels, double value) {
  std::lock_guard lock(mutex_);
  Series* series = series_of(name, labels);
  if (!series) return;
  series->value += value;
  ++series->count;
  const auto& bounds = families_.find(name)->second.upper_bounds;
  for (size_t i = 0; i < bounds.size(); ++i)
    if (value <= bounds[i]) ++series->buckets[i];
}

void Registry::drop(std::string_view name, const Labels& first_labels) {
  std::lock_guard lock(mutex_);
  auto family = families_.find(name);
  INVARIANT(family != families_.end());
  std::string first = render(first_labels);
  std::erase_if(family->second.series, [&](const auto& entry) {
    return entry.first == first || entry.first.starts_with(first + ",");
  });
}

std::string Registry::expose() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, family] : families_) {
    if (family.series.empty()) continue;
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
    for (const auto& [labels, series] : family.series) {
      if (family.type != "histogram") {
        text += name + braces(labels) + " " + render_number(series.value) + "\n";
        continue;
      }
      std::string prefix = labels.empty() ? "" : labels + ",";
      for (size_t i = 0; i < family.upper_bounds.size(); ++i)
        text += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", name, prefix,
                            render_number(family.upper_bounds[i]), series.buckets[i]);
      text += fmt::format("{}_bucket{{{}le=\"+Inf\"}} {}\n", name, prefix, series.count);
      text += fmt::format("{}_sum{} {}\n{}_count{} {}\n", name, braces(labels), render_number(series.value),
                          name, braces(labels), series.count);
    }
  }
  return text;
}

}  // namespace strix::metrics
