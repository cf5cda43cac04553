#include "planner/spec_plan.h"

#include <fmt/format.h>

namespace strix::planner {

namespace {

std::optional<models::ModelFacts> facts_of(const models::Catalogue& catalogue, const std::string& repository,
                                           const std::string& file) {
  if (!file.empty()) {
    const models::CatalogueRow* row = catalogue.by_file(file.substr(file.rfind('/') + 1));
    if (row) return models::facts_without_weights(*row);
    return std::nullopt;
  }
  const models::CatalogueRow* row = catalogue.by_repository(repository);
  return row ? std::optional(row->facts) : std::nullopt;
}

}  // namespace

std::map<std::string, KnownModel> known_models(const api::StackSpec& spec,
                                               const models::Catalogue& catalogue) {
  std::map<std::string, KnownModel> known;
  for (const api::Tier& tier : spec.tiers) {
    KnownModel& model = known[tier.name];
    model.facts = facts_of(catalogue, tier.model.repository, tier.model.file);
    if (!model.facts)
      model.missing = fmt::format("{} is not in the catalogue",
                                  tier.model.file.empty() ? tier.model.repository : tier.model.file);
    if (!tier.speculative || tier.speculative->model.empty()) continue;
    const std::string& draft = tier.speculative->model;
    model.draft = draft.ends_with(".gguf") ? facts_of(catalogue, "", draft) : facts_of(catalogue, draft, "");
  }
  return known;
}

Plan plan_of_spec(const api::StackSpec& spec, const CapabilityTable& capabilities,
                  const std::vector<api::Learned>& learned) {
  PlanInput input;
  input.capabilities = &capabilities;
  input.spec = spec;
  input.learned = learned;
  input.models = known_models(spec, models::built_in_catalogue());
  return plan(input);
}

}  // namespace strix::planner
