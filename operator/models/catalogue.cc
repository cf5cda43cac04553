#include "models/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/yaml.h"

namespace strix::models {

namespace {

constexpr size_t layers_max = 1024;
constexpr int64_t bytes_max = int64_t{1} << 50;
constexpr int64_t elements_max = int64_t{1} << 40;
constexpr int64_t size_max = 1 << 24;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Whether a file's name is `beginning` and then a separator or its end: "Qwen3-32B" does not begin
// "Qwen3-32Bx".
bool begins(std::string_view name, std::string_view beginning) {
  if (name.size() < beginning.size()) return false;
  for (size_t i = 0; i < beginning.size(); ++i)
    if (lower(name[i]) != lower(beginning[i])) return false;
  return name.size() == beginning.size() || std::string_view("-._").find(name[beginning.size()]) < 3;
}

// Reads one row; the first thing that is wrong is remembered with its place.
class RowReader {
 public:
  RowReader(const yaml::Document& document, std::string path) : document_(document), path_(std::move(path)) {}

  CatalogueRow read(json::Value row);
  bool failed() const { return !error_.empty(); }
  Error error() const { return Error{ErrorKind::Invalid, error_}; }

 private:
  void fail(const std::string& path, std::string_view what) {
    yaml::Location at = document_.locate(path);
    if (error_.empty()) error_ = fmt::format("line {}, column {}: {}: {}", at.line, at.column, path, what);
  }
  void check_names(json::Value object, const std::string& path, const std::set<std::string_view>& known);
  std::optional<int64_t> number(json::Value object, const std::string& path, std::string_view name,
                                int64_t most);
  int64_t positive(json::Value object, const std::string& path, std::string_view name, int64_t most);
  std::vector<std::string> texts(json::Value row, std::string_view name);
  std::string text(json::Value row, std::string_view name);
  LayerFacts layer(json::Value run, const std::string& path);
  void layers(json::Value value, ModelFacts* facts);

  const yaml::Document& document_;
  std::string path_;
  std::string error_;
};

void RowReader::check_names(json::Value object, const std::string& path,
                            const std::set<std::string_view>& known) {
  if (!object.is_object()) return fail(path, "not a map");
  object.for_each_member([&](std::string_view name, json::Value) {
    if (!known.contains(name)) fail(path + "." + std::string(name), "no such field");
  });
}

std::optional<int64_t> RowReader::number(json::Value object, const std::string& path, std::string_view name,
                                         int64_t most) {
  json::Value value = object[name];
  if (!value.exists()) return std::nullopt;
  auto whole = value.integer();
  if (whole && *whole > 0 && *whole <= most) return whole;
  fail(path + "." + std::string(name), fmt::format("no whole number from 1 to {}", most));
  return std::nullopt;
}

int64_t RowReader::positive(json::Value object, const std::string& path, std::string_view name,
                            int64_t most) {
  auto found = number(object, path, name, most);
  if (!found) fail(path + "." + std::string(name), "missing");
  return found.value_or(1);
}

std::vector<std::string> RowReader::texts(json::Value row, std::string_view name) {
  std::vector<std::string> all;
  row[name].for_each([&](json::Value value) { all.push_back(value.string_or("")); });
  bool empty = all.empty() || std::find(all.begin(), all.end(), "") != all.end();
  if (empty) fail(path_ + "." + std::string(name), "no list of texts");
  return all;
}

std::string RowReader::text(json::Value row, std::string_view name) {
  std::string found = row[name].string_or("");
  if (found.empty()) fail(path_ + "." + std::string(name), "missing");
  return found;
}

LayerFacts RowReader::layer(json::Value run, const std::string& path) {
  LayerFacts layer;
  std::string kind = run["kind"].string_or("");
  std::set<std::string_view> known = {"kind", "count"};
  if (kind == "full" || kind == "sliding") {
    known.insert({"kvHeads", "headDim"});
    layer.key_elements = positive(run, path, "kvHeads", 65536) * positive(run, path, "headDim", 65536);
    layer.value_elements = layer.key_elements;
    if (kind == "sliding") {
      known.insert("window");
      layer.kind = LayerKind::Sliding;
      layer.window_tokens = positive(run, path, "window", 1 << 30);
    }
  } else if (kind == "linear") {
    known.insert({"convolutionElements", "recurrentElements"});
    layer.kind = LayerKind::Linear;
    layer.convolution_elements = number(run, path, "convolutionElements", elements_max).value_or(0);
    layer.recurrent_elements = number(run, path, "recurrentElements", elements_max).value_or(0);
  } else if (kind == "latent") {
    known.insert("latent");
    layer.kind = LayerKind::Latent;
    layer.key_elements = positive(run, path, "latent", size_max);
  } else if (kind == "shared") {
    layer.kind = LayerKind::Shared;
  } else {
    fail(path + ".kind", "none of full, sliding, linear, latent, shared");
  }
  check_names(run, path, known);
  return layer;
}

void RowReader::layers(json::Value value, ModelFacts* facts) {
  std::string path = path_ + ".layers";
  check_names(value, path, {"repeat", "of"});
  int64_t repeat = positive(value, path, "repeat", layers_max);
  std::vector<LayerFacts> period;
  for (size_t i = 0; i < value["of"].size() && !failed(); ++i) {
    std::string run_path = fmt::format("{}.of[{}]", path, i);
    json::Value run = value["of"].at(i);
    auto count = static_cast<size_t>(number(run, run_path, "count", layers_max).value_or(1));
    period.insert(period.end(), count, layer(run, run_path));
    if (period.size() > layers_max) fail(run_path, "more layers than any model has");
  }
  if (period.empty()) fail(path + ".of", "no list of layers");
  if (period.size() * static_cast<size_t>(repeat) > layers_max) fail(path, "more layers than any model has");
  for (int64_t i = 0; i < repeat && !failed(); ++i)
    facts->layers.insert(facts->layers.end(), period.begin(), period.end());
}

CatalogueRow RowReader::read(json::Value row) {
  CatalogueRow read;
  check_names(row, path_,
              {"repositories", "files", "architecture", "source", "context", "ropeTheta", "parameters",
               "weightBytes", "nominal", "quantization", "embedding", "vocabulary", "feedForward", "layers"});
  read.repositories = texts(row, "repositories");
  read.files = texts(row, "files");
  read.source = text(row, "source");
  ModelFacts& facts = read.facts;
  facts.format = WeightFormat::Safetensors;
  facts.architecture = text(row, "architecture");
  facts.context_length_most_tokens = number(row, path_, "context", 1 << 30);
  facts.rope_theta = number(row, path_, "ropeTheta", 1 << 30);
  facts.parameters = number(row, path_, "parameters", bytes_max);
  facts.weight_bytes = number(row, path_, "weightBytes", bytes_max);
  facts.quantization = row["quantization"].string_or("");
  facts.dtype = "bfloat16";
  facts.embedding_length = number(row, path_, "embedding", size_max);
  facts.vocabulary_size = number(row, path_, "vocabulary", size_max);
  facts.feed_forward_length = number(row, path_, "feedForward", size_max);
  if (row["nominal"].boolean_or(false))
    facts.notes.push_back("the weights are nominal: the parameters in the model's name, two bytes each");
  layers(row["layers"], &facts);
  if (!failed()) facts.source = "catalogue: " + read.repositories.front();
  return read;
}

}  // namespace

Result<Catalogue> Catalogue::parse(std::string_view text) {
  auto document = yaml::parse(text);
  if (!document.ok()) return document.error();
  json::Value models = document->root()["models"];
  if (!models.is_array()) return Error{ErrorKind::Invalid, "models: missing"};
  Catalogue catalogue;
  std::set<std::string> repositories;
  for (size_t i = 0; i < models.size(); ++i) {
    RowReader reader(*document, fmt::format("models[{}]", i));
    CatalogueRow row = reader.read(models.at(i));
    if (reader.failed()) return reader.error();
    for (const std::string& repository : row.repositories)
      if (!repositories.insert(repository).second)
        return Error{ErrorKind::Invalid, fmt::format("models[{}]: a repository that is there twice", i)};
    catalogue.rows_.push_back(std::move(row));
  }
  return catalogue;
}

const CatalogueRow* Catalogue::by_repository(std::string_view repository) const {
  for (const CatalogueRow& row : rows_)
    for (const std::string& known : row.repositories)
      if (known == repository) return &row;
  return nullptr;
}

const CatalogueRow* Catalogue::by_file(std::string_view file) const {
  std::string_view name = file.substr(file.rfind('/') == std::string_view::npos ? 0 : file.rfind('/') + 1);
  const CatalogueRow* found = nullptr;
  size_t longest = 0;
  for (const CatalogueRow& row : rows_) {
    for (const std::string& beginning : row.files) {
      if (beginning.size() <= longest || !begins(name, beginning)) continue;
      longest = beginning.size();
      found = &row;
    }
  }
  return found;
}

ModelFacts facts_without_weights(const CatalogueRow& row) {
  ModelFacts facts = row.facts;
  facts.format = WeightFormat::Gguf;
  facts.weight_bytes.reset();
  facts.quantization.clear();
  facts.dtype.clear();
  facts.notes.clear();
  return facts;
}

const Catalogue& built_in_catalogue() {
  static const Catalogue catalogue = [] {
    auto parsed = Catalogue::parse(built_in_catalogue_text());
    INVARIANT(parsed.ok());
    return std::move(parsed).value();
  }();
  return catalogue;
}

}  // namespace strix::models
