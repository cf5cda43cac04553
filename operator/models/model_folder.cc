#include "models/model_folder.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/bytes.h"
#include "models/config_json.h"
#include "models/facts_of_gguf.h"
#include "models/gguf.h"
#include "models/safetensors.h"

namespace strix::models {

namespace {

constexpr int64_t config_bytes_max = 4 * mib;
constexpr int64_t index_bytes_max = 16 * mib;

Result<std::string> read_text(const std::string& name, const OpenFile& open, int64_t most) {
  auto source = open(name);
  if (!source.ok()) return source.error();
  int64_t size = (*source)->size();
  if (size > most)
    return Error{ErrorKind::Invalid, fmt::format("{}: {} bytes, at most {}", name, size, most)};
  std::string text(static_cast<size_t>(size), '\0');
  if (Status read = (*source)->read(0, {text.data(), text.size()}); !read.ok()) return read.error();
  return text;
}

// Of the index's shards, or of the one file; absent when there is neither.
Result<std::optional<SafetensorsWeights>> read_weights(const std::string& folder, const OpenFile& open,
                                                       int64_t layers) {
  std::string index_name = folder + "/model.safetensors.index.json";
  auto index = read_text(index_name, open, index_bytes_max);
  if (index.ok()) {
    auto beside = [&](const std::string& shard) { return open(folder + "/" + shard); };
    auto weights = read_safetensors_index(*index, beside, layers);
    if (!weights.ok()) return weights.error().wrap(index_name);
    return std::optional(*weights);
  }
  if (index.error().kind != ErrorKind::NotFound) return index.error();
  std::string single = folder + "/model.safetensors";
  auto source = open(single);
  if (!source.ok() && source.error().kind == ErrorKind::NotFound) return std::optional<SafetensorsWeights>();
  if (!source.ok()) return source.error();
  auto weights = read_safetensors(**source, layers);
  if (!weights.ok()) return weights.error().wrap(single);
  return std::optional(*weights);
}

void add_weights(const SafetensorsWeights& weights, bool ties_output, ModelFacts* facts) {
  facts->source += " and safetensors headers";
  facts->weight_bytes = weights.bytes - (ties_output ? weights.output_bytes : 0);
  if (weights.draft_bytes > 0) facts->draft_weight_bytes = weights.draft_bytes;
  if (facts->quantization.empty()) facts->parameters = weights.elements;
  if (weights.announced_bytes && *weights.announced_bytes != weights.bytes) {
    facts->notes.push_back(fmt::format("the index says {} bytes of weights, its files have {}",
                                       *weights.announced_bytes, weights.bytes));
  }
}

}  // namespace

Result<ModelFacts> facts_of_repository(const std::string& repository, const OpenFile& open) {
  std::string name = repository + "/config.json";
  auto text = read_text(name, open, config_bytes_max);
  if (!text.ok()) return text.error();
  auto config = read_config_json(*text);
  if (!config.ok()) return config.error().wrap(name);
  ModelFacts facts = config->facts;
  auto weights = read_weights(repository, open, static_cast<int64_t>(facts.layers.size()));
  if (!weights.ok()) return weights.error();
  if (weights->has_value()) add_weights(**weights, config->ties_output, &facts);
  return facts;
}

Result<ModelFacts> facts_of_file(const std::string& file, const OpenFile& open) {
  auto gguf = read_gguf_parts(file, open);
  if (!gguf.ok()) return gguf.error();
  auto facts = facts_of_gguf(*gguf);
  if (!facts.ok()) return facts.error().wrap(file);
  return facts;
}

}  // namespace strix::models
