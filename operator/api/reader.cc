#include "api/reader.h"

#include <cmath>
#include <limits>

#include "api/text.h"
#include "base/bytes.h"

namespace strix::api {

namespace {

constexpr size_t errors_max = 32;
constexpr size_t elements_max = 256;  // the CRD's longest list has 32
constexpr double fraction_max = 1e6;  // larger ones do not fit an int of thousandths

}  // namespace

void Reader::note(std::string_view what) const {
  if (errors_->size() < errors_max) errors_->push_back(path_ + ": " + std::string(what));
}

void Reader::note_choice(std::string_view chosen, std::string_view names) const {
  note(quoted(chosen) + " is not known; write " + std::string(names));
}

bool Reader::is_object() const {
  if (exists() && !value_.is_object()) note("must be an object");
  return value_.is_object();
}

Reader Reader::member(std::string_view name) const {
  return Reader(value_[name], path_.empty() ? std::string(name) : path_ + "." + std::string(name), errors_);
}

void Reader::each(const std::function<void(const Reader&)>& visit) const {
  if (!exists()) return;
  if (!value_.is_array()) return note("must be a list");
  if (value_.size() > elements_max)
    note("has " + std::to_string(value_.size()) + " entries, far more than are allowed; remove some");
  for (size_t i = 0; i < value_.size() && i < elements_max; ++i)
    visit(Reader(value_.at(i), path_ + "[" + std::to_string(i) + "]", errors_));
}

std::string Reader::text(std::string_view fallback) const {
  if (!exists()) return std::string(fallback);
  auto found = value_.string();
  if (!found) note("must be a string; put it in quotes");
  return std::string(found.value_or(fallback));
}

bool Reader::is_text(std::string_view expected) const {
  auto found = value_.string();
  return found && *found == expected;
}

std::optional<bool> Reader::boolean() const {
  if (!exists()) return std::nullopt;
  auto found = value_.boolean();
  if (!found) note("must be true or false");
  return found;
}

int64_t Reader::integer(int64_t fallback) const {
  if (!exists()) return fallback;
  auto found = value_.integer();
  if (!found) note("must be a whole number within 64 bits");
  return found.value_or(fallback);
}

std::optional<int64_t> Reader::optional_integer() const {
  return exists() ? std::optional(integer(0)) : std::nullopt;
}

int Reader::small_integer(int fallback) const {
  int64_t wide = integer(fallback);
  if (wide >= std::numeric_limits<int>::min() && wide <= std::numeric_limits<int>::max())
    return static_cast<int>(wide);
  note(std::to_string(wide) + " is out of range");
  return fallback;
}

std::optional<int> Reader::milli() const {
  if (!exists()) return std::nullopt;
  auto found = value_.number();
  if (!found || !std::isfinite(*found) || std::abs(*found) > fraction_max) {
    note("must be a number such as 0.35");
    return std::nullopt;
  }
  return fraction_to_milli(*found);
}

int64_t Reader::quantity_bytes(int64_t fallback) const {
  if (!exists()) return fallback;
  std::string written = text();
  if (!value_.is_string()) return fallback;
  auto bytes = parse_quantity(written);
  if (!bytes) note(quoted(written) + " is not a quantity such as 128Gi");
  return bytes.value_or(fallback);
}

std::string Reader::text_or_integer() const {
  if (auto number = value_.integer()) return std::to_string(*number);
  return text();
}

std::vector<std::string> Reader::texts() const {
  std::vector<std::string> all;
  each([&](const Reader& element) { all.push_back(element.text()); });
  return all;
}

std::vector<int64_t> Reader::integers() const {
  std::vector<int64_t> all;
  each([&](const Reader& element) { all.push_back(element.integer(0)); });
  return all;
}

std::map<std::string, std::string> Reader::text_map() const {
  std::map<std::string, std::string> all;
  if (!is_object()) return all;
  if (value_.size() > elements_max) note("has far more entries than are allowed; remove some");
  value_.for_each_member([&](std::string_view name, json::Value value) {
    if (all.size() >= elements_max) return;
    all[std::string(name)] = Reader(value, path_ + "[" + quoted(name) + "]", errors_).text();
  });
  return all;
}

}  // namespace strix::api
