// Why this file exists: see model.h. Weights, in this order: STRIX_STANDIN_WEIGHT_BYTES; config.json's
// own field `strix_standin.weight_bytes`; its `parameters` × 2; total_size of the safetensors index; 1 GiB.
#include "model.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>

namespace standin {
namespace {

std::optional<Json> ReadJson(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return Json::Parse(text);
}

// The context that a rope scaling block allows, or 0 where there is none.
int64_t Scaled(const Json* scaling, int64_t own) {
  if (!scaling || scaling->kind != Json::Kind::kObject) return 0;
  const double factor = scaling->Number("factor", 0);
  if (factor <= 0) return 0;
  return static_cast<int64_t>(factor * scaling->Number("original_max_position_embeddings", static_cast<double>(own)));
}

}  // namespace

Model::Problem Model::Load(const Options& options, const Knobs& knobs) {
  struct stat about {};
  const bool folder = stat(options.model.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
  std::optional<Json> config;
  if (folder) {
    config = ReadJson(options.model + "/config.json");
    if (!config && !knobs.any_model) return Problem::kUnreadable;
  } else if (!knobs.any_model) {
    return options.model[0] == '/' || options.model[0] == '.' ? Problem::kNotARepository : Problem::kNotCached;
  }

  if (config) {
    // Multimodal models keep the language model's numbers one level down.
    const Json* inner = config->Find("text_config");
    const Json& text = inner && inner->kind == Json::Kind::kObject ? *inner : *config;
    if (const Json* names = config->Find("architectures"); names && !names->items.empty()) architecture = names->items[0].text;
    const double heads = text.Number("num_attention_heads", 4);
    layers = static_cast<int64_t>(text.Number("num_hidden_layers", 4));
    kv_heads = static_cast<int64_t>(text.Number("num_key_value_heads", heads));
    head_dim = static_cast<int64_t>(text.Number("head_dim", text.Number("hidden_size", 256) / heads));
    own_positions = static_cast<int64_t>(text.Number("max_position_embeddings", 32768));
    max_positions = own_positions;
    if (const int64_t scaled = Scaled(text.Find("rope_scaling"), own_positions); scaled > max_positions) max_positions = scaled;
    if (const Json* kinds = text.Find("layer_types")) {
      // Layers with a window or a constant state cost next to nothing per token of a long context.
      int64_t full = 0;
      for (const Json& kind : kinds->items) full += kind.text == "full_attention";
      if (full > 0) layers = full;
    }
    if (const Json index = ReadJson(options.model + "/model.safetensors.index.json").value_or(Json()); const Json* metadata = index.Find("metadata"))
      weight_bytes = static_cast<uint64_t>(metadata->Number("total_size", static_cast<double>(weight_bytes)));
    if (const double parameters = config->Number("parameters", 0); parameters > 0) weight_bytes = static_cast<uint64_t>(parameters * 2);
    if (const Json* own = config->Find("strix_standin")) {
      weight_bytes = static_cast<uint64_t>(own->Number("weight_bytes", static_cast<double>(weight_bytes)));
      overhead_bytes = static_cast<uint64_t>(own->Number("overhead_bytes", static_cast<double>(overhead_bytes)));
    }
  }
  if (knobs.weight_bytes) weight_bytes = *knobs.weight_bytes;
  if (knobs.overhead_bytes) overhead_bytes = *knobs.overhead_bytes;

  // Overrides may be nested the way the configuration is.
  const Json* nested = options.hf_overrides.Find("text_config");
  for (const Json* over : {&options.hf_overrides, nested}) {
    if (!over) continue;
    max_positions = static_cast<int64_t>(over->Number("max_position_embeddings", static_cast<double>(max_positions)));
    for (const char* key : {"rope_scaling", "rope_parameters"})
      if (const int64_t scaled = Scaled(over->Find(key), own_positions); scaled > 0) max_positions = scaled;
  }

  const std::string& cache = options.kv_cache_dtype;
  const int64_t width = cache.rfind("fp8", 0) == 0 || cache.rfind("int8", 0) == 0 ? 1 : options.dtype == "float32" || options.dtype == "float" ? 4 : 2;
  kv_bytes_per_token = 2 * layers * kv_heads * head_dim * width;
  if (kv_bytes_per_token <= 0) return Problem::kUnreadable;
  return Problem::kNone;
}

}  // namespace standin
