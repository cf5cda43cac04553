// Why this file exists: the stand-in reads config.json, --hf-overrides and request bodies, and may
// use no third-party library, because it has to link statically into an image with nothing else in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace standin {

struct Json {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> fields;

  const Json* Find(std::string_view key) const;
  // The number below `key`, or `otherwise` where it is missing, null or no number.
  double Number(std::string_view key, double otherwise) const;
  bool Bool(std::string_view key, bool otherwise) const;
  std::string Text(std::string_view key, std::string_view otherwise) const;

  static std::optional<Json> Parse(std::string_view text);
};

// `text` as a JSON string, quotes included.
std::string Quote(std::string_view text);

}  // namespace standin
