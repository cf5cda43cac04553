// The two tables that are compiled in, of which one may come from a ConfigMap too: any text is a table whose
// rows keep what their readers promise, or an error.
#include "base/check.h"
#include "fuzz/target.h"
#include "models/catalogue.h"
#include "planner/engine_settings.h"

namespace {

void read_catalogue(std::string_view text) {
  auto catalogue = strix::models::Catalogue::parse(text);
  if (!catalogue.ok()) return;
  for (const auto& row : catalogue->rows()) {
    INVARIANT(!row.source.empty() && !row.facts.layers.empty());
    INVARIANT(strix::models::growing_elements_per_token(row.facts) >= 0);
    INVARIANT(catalogue->by_repository(row.repositories.front()) == &row);
  }
}

void read_capabilities(std::string_view text) {
  using namespace strix::planner;
  auto table = CapabilityTable::parse(text);
  if (!table.ok()) return;
  EngineSetup setup;
  setup.on_gpu = true;
  setup.gfx_target = "gfx1151";
  setup.architecture = "Qwen3MoeForCausalLM";
  setup.image = ImageName("kyuz0/vllm-therock-gfx1151:rocm7.14.0-torch2.11.0-vllm0.27.1");
  for (auto engine : {strix::api::Engine::Vllm, strix::api::Engine::LlamaCpp}) {
    setup.engine = engine;
    setup.version = table->version_of(engine, setup.image);
    EngineSettings settings = settings_of(*table, setup, {});
    INVARIANT(settings.constants.vllm_host_bytes >= 0);
    for (const CapabilityRow& row : table->combinations()) {
      INVARIANT(!row.reason.empty() && !row.found.source.empty() && !row.found.date.empty());
      INVARIANT(row.verdict != CapabilityVerdict::Refused || !row.instead.empty());
      INVARIANT((row.subject == CapabilitySubject::Build) == row.names.empty());
      std::string_view name = row.names.empty() ? std::string_view() : std::string_view(row.names.front());
      const CapabilityRow* first = table->find(row.subject, name, setup);
      INVARIANT(!first || first <= &row || !row.where.covers(setup) ||
                name.find('*') != std::string_view::npos);
    }
  }
}

}  // namespace

std::vector<std::string> strix::fuzz::seeds() {
  std::string_view models = models::built_in_catalogue_text();
  std::string_view capabilities = planner::built_in_capabilities_text();
  return {
      std::string(models.substr(0, models.find("- repositories", 1800))),
      "models:\n- {repositories: [a/b], files: [b], architecture: B, source: c, weightBytes: 7, nominal: "
      "true,\n"
      "  layers: {repeat: 2, of: [{kind: full, kvHeads: 2, headDim: 4}, {kind: latent, latent: 9}]}}\n",
      std::string(capabilities),
      "combinations:\n- {where: {engine: vllm, versions: \">=0.1 <1\", variables: {A: b}}, quantizations: "
      "[\"fp8*\"], verdict: Works,\n"
      "  reason: r, source: s, date: \"2026-02\"}\n"
      "settings:\n- {where: {engine: vllm}, topic: t, constants: {hostBytes: 1Gi}, source: s, date: "
      "\"2026-02\"}\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  read_catalogue(text);
  read_capabilities(text);
  return 0;
}
