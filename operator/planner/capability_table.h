// Why: what an engine can do on a GPU changes every few weeks, and is known from somebody who tried. So it is
// a table with a source and a date for each row, operator/data/capabilities.yaml, which a person may put rows
// in front of.
// May not: know a quantisation, a flag or a target that the table does not name.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/inference_stack.h"
#include "base/result.h"
#include "planner/engine_version.h"
#include "planner/image_pattern.h"

namespace strix::planner {

// What an engine is run as. An unknown part matches no row that asks for it, but for the version: see
// VersionRange.
struct EngineSetup {
  api::Engine engine = api::Engine::Vllm;
  ImageName image;
  std::optional<EngineVersion> version;
  bool on_gpu = false;
  std::string gfx_target;                        // of the node
  std::string architecture;                      // of the model
  std::map<std::string, std::string> variables;  // of the environment, as the spec sets them
};

// `where` of a row: what it is about. All parts that are there must match.
struct Scope {
  api::Engine engine = api::Engine::Vllm;
  VersionRange versions;
  std::vector<ImagePattern> images;
  std::vector<std::string> gfx_targets, architectures;  // patterns
  std::optional<api::Accelerator> accelerator;
  std::map<std::string, std::string> variables;

  bool covers(const EngineSetup& setup) const;
};

struct Provenance {
  std::string source, date;  // who found it, and when: "2026-02-09", or the month
};

enum class CapabilitySubject { Weights, KvCache, Flag, Build };

enum class CapabilityVerdict {
  Works,
  NeedsEager,  // without HIP graphs only
  Degraded,    // works, at a price that the reason tells
  Refused,     // crashes, hangs, or ends at once
};
std::string_view to_string(CapabilityVerdict verdict);

struct CapabilityRow {
  Scope where;
  CapabilitySubject subject =
      CapabilitySubject::Build;    // Build: the engine in this image, whatever it is asked for
  std::vector<std::string> names;  // patterns: "awq", "fp8*", "--swap-space"
  CapabilityVerdict verdict = CapabilityVerdict::Works;
  std::string reason, instead;  // parts of a sentence; `instead` is the way out
  Provenance found;
};

// What an engine is given, or counted with, because of its version or target. Of the rows on one topic the
// first that covers a setup counts.
struct SettingRow {
  Scope where;
  std::string topic;
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> arguments;
  std::map<std::string, int64_t> constants;  // by the names that constants_with() knows
  Provenance found;
};

struct ImageRow {
  api::Engine engine = api::Engine::Vllm;
  ImagePattern image;
  std::string version;  // empty: what {version} stands for
};

// Immutable; any thread.
class CapabilityTable {
 public:
  static constexpr size_t bytes_max = 1u << 20, rows_max = 2000;

  // The text of a capabilities.yaml. Errors: Invalid, with line, column, row and field.
  static Result<CapabilityTable> parse(std::string_view text);
  // The rows of `first` before those of `then`.
  static CapabilityTable layered(const CapabilityTable& first, const CapabilityTable& then);

  std::optional<EngineVersion> version_of(api::Engine engine, const ImageName& image) const;
  // The first row on `name` that covers the setup; null: nobody says.
  const CapabilityRow* find(CapabilitySubject subject, std::string_view name, const EngineSetup& setup) const;
  // The first of each topic.
  std::vector<const SettingRow*> settings(const EngineSetup& setup) const;

  const std::vector<CapabilityRow>& combinations() const { return combinations_; }
  const std::vector<SettingRow>& all_settings() const { return settings_; }
  const std::vector<ImageRow>& images() const { return images_; }

 private:
  std::vector<CapabilityRow> combinations_;
  std::vector<SettingRow> settings_;
  std::vector<ImageRow> images_;
};

const CapabilityTable& built_in_capabilities();
std::string_view built_in_capabilities_text();  // operator/data/capabilities.yaml

}  // namespace strix::planner
