// Why: what an engine can do depends on its version, and versions are spelt in many ways:
// "0.16.0rc1.dev155+g61e", "v0.27.1", a llama.cpp build "b10114".
// May not: guess: what is no version is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace strix::planner {

class EngineVersion {
 public:
  // Up to six numbers with points between, after a "v" or "b"; what follows makes it a version before that
  // one (rc, a, b, dev) or says nothing more (post, +local). Absent: no version.
  static std::optional<EngineVersion> parse(std::string_view text);

  // 0.16 is 0.16.0, and 0.16.0rc1 is before both.
  bool operator<(const EngineVersion& other) const;
  bool operator==(const EngineVersion& other) const { return !(*this < other) && !(other < *this); }
  const std::string& text() const { return text_; }  // without the letter in front

 private:
  std::vector<int64_t> numbers_;
  bool before_ = false;
  std::string text_;
};

// "<0.18", ">=0.11 <0.18", "=0.16.0"; all bounds hold.
class VersionRange {
 public:
  // Any version. As is an image whose version nobody knows: it counts as newer than all, since that is what
  // tags that move hold.
  VersionRange() = default;
  static std::optional<VersionRange> parse(std::string_view text);

  bool any() const { return bounds_.empty(); }
  bool contains(const std::optional<EngineVersion>& version) const;
  const std::string& text() const { return text_; }

 private:
  struct Bound {
    std::string relation;  // < <= > >= =
    EngineVersion version;
  };
  static bool holds(const Bound& bound, const EngineVersion& version);

  std::vector<Bound> bounds_;
  std::string text_;
};

}  // namespace strix::planner
