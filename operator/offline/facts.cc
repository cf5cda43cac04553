#include "offline/facts.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/yaml.h"
#include "models/file_source.h"
#include "models/model_folder.h"
#include "offline/manifest.h"

namespace strix::offline {

namespace {

constexpr size_t node_facts_bytes_max = 1u << 20;

Error wrong(const std::string& file, const yaml::Document& document, std::string_view field,
            std::string_view what) {
  yaml::Location at = document.locate(field);
  return {ErrorKind::Invalid, fmt::format("{}:{}:{}: {} {}", file, at.line, at.column, field, what), 0};
}

Result<planner::Measured> measured_of(const std::string& file, const yaml::Document& document) {
  planner::Measured measured;
  std::optional<Error> error;
  document.root().for_each_member([&](std::string_view name, json::Value value) {
    if (error || name == "name") return;
    auto* into = name == "unifiedMemory" ? &measured.unified_memory_bytes
                 : name == "gpuMemory"   ? &measured.gpu_memory_bytes
                                         : nullptr;
    if (!into) {
      error = wrong(file, document, name, "is not known; known are name, unifiedMemory and gpuMemory");
      return;
    }
    auto integer = value.integer();
    *into = integer ? integer : parse_quantity(value.string_or(""));
    if (!*into || **into <= 0) error = wrong(file, document, name, "is no amount of memory, such as 122Gi");
  });
  if (error) return *error;
  return measured;
}

Result<models::ModelFacts> facts_at(const std::string& folder, const std::string& repository,
                                    const std::string& file) {
  models::OpenFile open = models::files_of(folder);
  return file.empty() ? models::facts_of_repository(repository, open) : models::facts_of_file(file, open);
}

// Absent: it is not there.
Result<std::optional<models::ModelFacts>> facts_if_there(const std::string& folder, const std::string& model,
                                                         bool is_file) {
  auto facts = is_file ? facts_at(folder, "", model) : facts_at(folder, model, "");
  if (facts) return std::optional(std::move(facts).value());
  if (facts.error().kind == ErrorKind::NotFound) return std::optional<models::ModelFacts>();
  return facts.error();
}

}  // namespace

Result<std::map<std::string, planner::Measured>> read_node_facts(const std::string& file) {
  auto text = read_text(file, node_facts_bytes_max);
  if (!text) return text.error();
  auto documents = yaml::parse_all(*text);
  if (!documents) return documents.error().wrap(file);
  std::map<std::string, planner::Measured> all;
  for (const auto& document : *documents) {
    if (document.root().is_null()) continue;
    std::string name = document.root()["name"].string_or("");
    if (name.empty()) return wrong(file, document, "name", "is missing: an entry of spec.nodes");
    auto measured = measured_of(file, document);
    if (!measured) return measured.error();
    all[name] = *measured;
  }
  return all;
}

Result<planner::CapabilityTable> read_capabilities(const std::string& file) {
  if (file.empty()) return planner::built_in_capabilities();
  auto text = read_text(file, planner::CapabilityTable::bytes_max);
  if (!text) return text.error();
  auto over = planner::CapabilityTable::parse(*text);
  if (!over.ok()) return over.error().wrap(file);
  return planner::CapabilityTable::layered(*over, planner::built_in_capabilities());
}

Status read_models(const api::StackSpec& spec, const std::string& folder,
                   std::map<std::string, planner::KnownModel>& known) {
  for (const api::Tier& tier : spec.tiers) {
    bool is_file = !tier.model.file.empty();
    auto facts = facts_if_there(folder, is_file ? tier.model.file : tier.model.repository, is_file);
    if (!facts) return facts.error().wrap("tier " + tier.name);
    if (*facts) known[tier.name].facts = **facts;
    if (!tier.speculative || tier.speculative->model.empty()) continue;
    const std::string& draft = tier.speculative->model;
    auto drafted = facts_if_there(folder, draft, draft.ends_with(".gguf"));
    if (!drafted) return drafted.error().wrap("tier " + tier.name);
    if (*drafted) known[tier.name].draft = **drafted;
  }
  return success();
}

}  // namespace strix::offline
