#include "base/check.h"
#include "fuzz/target.h"
#include "models/catalogue.h"

std::vector<std::string> strix::fuzz::seeds() {
  std::string_view rows = models::built_in_catalogue_text();
  return {std::string(rows.substr(0, rows.find("- repositories", 1800))),
          "models:\n- {repositories: [a/b], files: [b], architecture: B, source: c, weightBytes: 7, nominal: "
          "true,\n"
          "  layers: {repeat: 2, of: [{kind: full, kvHeads: 2, headDim: 4}, {kind: latent, latent: 9}]}}\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto catalogue = strix::models::Catalogue::parse({reinterpret_cast<const char*>(data), size});
  if (!catalogue.ok()) return 0;
  for (const auto& row : catalogue->rows()) {
    INVARIANT(!row.source.empty() && !row.facts.layers.empty());
    INVARIANT(strix::models::growing_elements_per_token(row.facts) >= 0);
    INVARIANT(catalogue->by_repository(row.repositories.front()) == &row);
  }
  return 0;
}
