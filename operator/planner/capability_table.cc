#include "planner/capability_table.h"

#include <algorithm>

#include "base/check.h"

namespace strix::planner {
namespace {

bool any_matches(const std::vector<std::string>& patterns, std::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, text); });
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

std::string_view to_string(CapabilityVerdict verdict) {
  switch (verdict) {
    case CapabilityVerdict::Works:
      return "Works";
    case CapabilityVerdict::NeedsEager:
      return "NeedsEager";
    case CapabilityVerdict::Degraded:
      return "Degraded";
    case CapabilityVerdict::Refused:
      return "Refused";
  }
  return "unknown";
}

bool Scope::covers(const EngineSetup& setup) const {
  if (engine != setup.engine || !versions.contains(setup.version)) return false;
  if (accelerator && (*accelerator == api::Accelerator::Gpu) != setup.on_gpu) return false;
  if (!gfx_targets.empty() && !(setup.on_gpu && any_matches(gfx_targets, setup.gfx_target))) return false;
  if (!architectures.empty() &&
      (setup.architecture.empty() || !any_matches(architectures, setup.architecture)))
    return false;
  bool image_fits =
      images.empty() || std::any_of(images.begin(), images.end(), [&](const ImagePattern& pattern) {
        return pattern.match(setup.image).has_value();
      });
  return image_fits && std::all_of(variables.begin(), variables.end(), [&](const auto& wanted) {
           auto set = setup.variables.find(wanted.first);
           return set != setup.variables.end() && set->second == wanted.second;
         });
}

CapabilityTable CapabilityTable::layered(const CapabilityTable& first, const CapabilityTable& then) {
  CapabilityTable both = first;
  append(both.combinations_, then.combinations_);
  append(both.settings_, then.settings_);
  append(both.images_, then.images_);
  return both;
}

std::optional<EngineVersion> CapabilityTable::version_of(api::Engine engine, const ImageName& image) const {
  for (const ImageRow& row : images_) {
    auto found = row.engine == engine ? row.image.match(image) : std::nullopt;
    if (!found) continue;
    auto version = EngineVersion::parse(row.version.empty() ? *found : row.version);
    if (version) return version;
  }
  return std::nullopt;
}

const CapabilityRow* CapabilityTable::find(CapabilitySubject subject, std::string_view name,
                                           const EngineSetup& setup) const {
  for (const CapabilityRow& row : combinations_)
    if (row.subject == subject && (subject == CapabilitySubject::Build || any_matches(row.names, name)) &&
        row.where.covers(setup))
      return &row;
  return nullptr;
}

std::vector<const SettingRow*> CapabilityTable::settings(const EngineSetup& setup) const {
  std::vector<const SettingRow*> found;
  for (const SettingRow& row : settings_) {
    auto same_topic = [&](const SettingRow* other) { return other->topic == row.topic; };
    if (row.where.covers(setup) && std::none_of(found.begin(), found.end(), same_topic))
      found.push_back(&row);
  }
  return found;
}

const CapabilityTable& built_in_capabilities() {
  static const CapabilityTable table = [] {
    auto parsed = CapabilityTable::parse(built_in_capabilities_text());
    INVARIANT(parsed.ok());
    return std::move(parsed).value();
  }();
  return table;
}

}  // namespace strix::planner
