// Why: a plan for a model that nobody has downloaded yet needs its facts from somewhere, with their source.
// May not: win over a model's own files, or know a model that operator/data/catalogue.yaml does not list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/facts.h"

namespace strix::models {

struct CatalogueRow {
  std::vector<std::string> repositories, files;  // files: how GGUF file names begin
  ModelFacts facts;                              // of the repository; `source` names the row
  std::string source;                            // where the row's numbers were read
};

// Immutable; any thread.
class Catalogue {
 public:
  // The text of a catalogue.yaml. Errors: Invalid, with line and column.
  static Result<Catalogue> parse(std::string_view text);

  const CatalogueRow* by_repository(std::string_view repository) const;  // null when there is none
  // By the longest of `files` that a file's name begins with. Its layers are as good as the repository's; its
  // weights are quantised otherwise: facts_without_weights.
  const CatalogueRow* by_file(std::string_view file) const;
  const std::vector<CatalogueRow>& rows() const { return rows_; }

 private:
  std::vector<CatalogueRow> rows_;
};

// The facts of a GGUF that `row` describes: what does not depend on its quantisation.
ModelFacts facts_without_weights(const CatalogueRow& row);

const Catalogue& built_in_catalogue();
std::string_view built_in_catalogue_text();  // operator/data/catalogue.yaml

}  // namespace strix::models
