// Why: a stored object may have any shape (an older CRD, `validate` on a file); reading it must note what is
// wrong by field path and go on, so that a person sees all of it at once.
// May not: know fields, or fail.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace strix::api {

// One value and its path. A member that is missing or null reads as the fallback without a note.
class Reader {
 public:
  Reader(json::Value value, std::string path, std::vector<std::string>* errors)
      : value_(value), path_(std::move(path)), errors_(errors) {}

  bool exists() const { return value_.exists() && !value_.is_null(); }
  // Notes a value that is there and is no object.
  bool is_object() const;
  Reader member(std::string_view name) const;
  void each(const std::function<void(const Reader&)>& visit) const;

  std::string text(std::string_view fallback = "") const;
  bool is_text(std::string_view expected) const;  // notes nothing
  std::optional<bool> boolean() const;
  int64_t integer(int64_t fallback) const;
  std::optional<int64_t> optional_integer() const;
  int small_integer(int fallback) const;
  std::optional<int> milli() const;                // 0.35 is 350
  int64_t quantity_bytes(int64_t fallback) const;  // "128Gi"
  std::string text_or_integer() const;             // resources: 4 and "4" are the same
  std::vector<std::string> texts() const;
  std::vector<int64_t> integers() const;
  std::map<std::string, std::string> text_map() const;

  template <typename T>
  T choice(std::initializer_list<std::pair<std::string_view, T>> known, T fallback) const {
    std::string chosen = text();
    std::string names;
    for (const auto& [name, value] : known) {
      if (chosen == name) return value;
      names.append(names.empty() ? "" : " or ").append(name);
    }
    if (exists() && value_.is_string()) note_choice(chosen, names);
    return fallback;
  }

  void note(std::string_view what) const;

 private:
  void note_choice(std::string_view chosen, std::string_view names) const;

  json::Value value_;
  std::string path_;
  std::vector<std::string>* errors_;
};

}  // namespace strix::api
