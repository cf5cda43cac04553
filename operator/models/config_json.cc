#include "models/config_json.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "models/config_family.h"
#include "models/printable.h"

namespace strix::models {

namespace {

constexpr json::Limits limits{.bytes_max = 4u << 20, .depth_max = 32};
constexpr int64_t layers_max = 1024;
constexpr int64_t size_max = 1 << 24;
constexpr int64_t tokens_max = 1 << 30;

// The members of one object. The first thing that is wrong is remembered.
class Members {
 public:
  explicit Members(json::Value value) : value_(value) {}

  json::Value operator[](std::string_view name) const { return value_[name]; }
  std::optional<int64_t> find(std::string_view name, int64_t most = size_max) {
    json::Value member = value_[name];
    if (!member.exists() || member.is_null()) return std::nullopt;
    auto number = member.integer();
    if (!number || *number < 0 || *number > most) {
      fail(name, fmt::format("no whole number up to {}", most));
      return std::nullopt;
    }
    return number;
  }
  int64_t get(std::string_view name, int64_t fallback, int64_t most = size_max) {
    return find(name, most).value_or(fallback);
  }
  // A default of 0 means that the file has to say.
  int64_t require(std::string_view name, int64_t fallback = 0, int64_t most = size_max) {
    int64_t number = get(name, fallback, most);
    if (number == 0) fail(name, "missing");
    return number;
  }
  void fail(std::string_view name, std::string_view what) {
    if (error_.empty()) error_ = fmt::format("{}: {}", name, what);
  }
  bool failed() const { return !error_.empty(); }
  Error error() const { return Error{ErrorKind::Invalid, error_}; }

 private:
  json::Value value_;
  std::string error_;
};

// The part that describes the language model: multimodal configs nest it.
json::Value text_of(json::Value root) {
  for (std::string_view name : {"text_config", "language_config", "llm_config"})
    if (root[name].is_object() && root[name]["num_hidden_layers"].exists()) return root[name];
  return root;
}

struct Shape {
  size_t layers = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t full_kv_heads = 0, full_head_dim = 0;  // of full layers
  int64_t window = 0;
};

Shape read_shape(Members& config, const Family& family) {
  Shape shape;
  shape.layers = static_cast<size_t>(config.require("num_hidden_layers", 0, layers_max));
  int64_t hidden = config.require("hidden_size");
  shape.heads = config.require("num_attention_heads", family.heads);
  shape.kv_heads = config.get("num_key_value_heads", family.kv_heads > 0 ? family.kv_heads : shape.heads);
  if (config.failed()) return shape;
  shape.head_dim = config.get("head_dim", family.head_dim > 0 ? family.head_dim : hidden / shape.heads);
  shape.full_head_dim = shape.head_dim;
  shape.full_kv_heads = shape.kv_heads;
  if (family.global_head_dim > 0) {
    shape.full_head_dim = config.get("global_head_dim", family.global_head_dim);
    if (config["attention_k_eq_v"].boolean_or(false))
      shape.full_kv_heads = config.get("num_global_key_value_heads", shape.kv_heads);
  }
  std::string_view window = family.rule == FamilyRule::Chunked ? "attention_chunk_size" : "sliding_window";
  bool off = config[window].exists() && config[window].is_null();
  shape.window = off ? 0 : config.get(window, family.window, tokens_max);
  return shape;
}

// Products of three sizes; absent beyond 63 bits.
std::optional<int64_t> product(int64_t a, int64_t b, int64_t c) {
  auto two = checked_multiply(a, b);
  return two ? checked_multiply(*two, c) : std::nullopt;
}

LayerFacts state_layer(Members& config, int64_t kernel, std::optional<int64_t> channels,
                       std::optional<int64_t> recurrent) {
  LayerFacts layer{.kind = LayerKind::Linear};
  auto convolution = channels ? checked_multiply(std::max<int64_t>(kernel - 1, 0), *channels) : std::nullopt;
  bool sane = convolution && recurrent && *convolution < (1ll << 40) && *recurrent < (1ll << 40);
  if (!sane) {
    config.fail("num_hidden_layers", "states beyond any model's");
    return layer;
  }
  layer.convolution_elements = *convolution;
  layer.recurrent_elements = *recurrent;
  return layer;
}

// What a layer keeps that has no attention.
LayerFacts linear_layer(Members& config, const Family& family) {
  int64_t hidden = config.get("hidden_size", 0);
  switch (family.rule) {
    case FamilyRule::Delta: {
      int64_t key_heads = config.get("linear_num_key_heads", 16, 65536);
      int64_t value_heads = config.get("linear_num_value_heads", 32, 65536);
      int64_t key = config.get("linear_key_head_dim", 128, 65536);
      int64_t value = config.get("linear_value_head_dim", 128, 65536);
      return state_layer(config, config.get("linear_conv_kernel_dim", 4, 1024),
                         2 * key_heads * key + value_heads * value, product(value_heads, key, value));
    }
    case FamilyRule::Mamba: {
      int64_t heads = config.get("mamba_n_heads", 128, 65536);
      bool given = config["mamba_d_head"].is_number();
      int64_t expanded = config.get("mamba_expand", 2, 1024) * hidden;
      int64_t head = given ? config.get("mamba_d_head", 0, 65536) : expanded / std::max<int64_t>(heads, 1);
      int64_t size = config.get("mamba_d_state", 256, 65536);
      int64_t groups = config.get("mamba_n_groups", 1, 65536);
      return state_layer(config, config.get("mamba_d_conv", 4, 1024), heads * head + 2 * groups * size,
                         product(heads, head, size));
    }
    case FamilyRule::NemotronH: {
      int64_t heads = config.get("mamba_num_heads", 128, 65536);
      int64_t head = config.get("mamba_head_dim", 64, 65536);
      int64_t size = config.get("ssm_state_size", 128, 65536);
      int64_t groups = config.get("n_groups", 8, 65536);
      return state_layer(config, config.get("conv_kernel", 4, 1024), heads * head + 2 * groups * size,
                         product(heads, head, size));
    }
    case FamilyRule::ShortConvolution:
      return state_layer(config, config.get("conv_L_cache", 3, 1024), hidden, 0);
    default:
      config.fail("layer_types", "a linear layer in a model type that has none");
      return {};
  }
}

LayerFacts attention_layer(Members& config, const Family& family, const Shape& shape, bool slides) {
  LayerFacts layer;
  if (family.rule == FamilyRule::Latent) {
    layer.kind = LayerKind::Latent;
    layer.key_elements = config.require("kv_lora_rank") + config.require("qk_rope_head_dim");
    return layer;
  }
  slides = slides && shape.window > 0;
  layer.kind = slides ? LayerKind::Sliding : LayerKind::Full;
  layer.window_tokens = slides ? shape.window : 0;
  layer.key_elements = slides ? shape.kv_heads * shape.head_dim : shape.full_kv_heads * shape.full_head_dim;
  layer.value_elements = layer.key_elements;
  return layer;
}

// One of the words of layer_types or layers_block_type.
std::optional<LayerFacts> named_layer(Members& config, const Family& family, const Shape& shape,
                                      std::string_view word) {
  if (word == "full_attention" || word == "attention") return attention_layer(config, family, shape, false);
  if (word == "sliding_attention" || word == "chunked_attention")
    return attention_layer(config, family, shape, true);
  if (word == "linear_attention" || word == "mamba" || word == "conv") return linear_layer(config, family);
  if (word == "moe" || word == "mlp") return LayerFacts{.kind = LayerKind::Shared};
  return std::nullopt;
}

// Which word layer i has, where the file lists none.
std::string_view word_of(Members& config, const Family& family, const Shape& shape, size_t i) {
  constexpr std::string_view sliding = "sliding_attention", full = "full_attention";
  int64_t layer = static_cast<int64_t>(i);
  switch (family.rule) {
    case FamilyRule::Full:
    case FamilyRule::Latent:
      return full;
    case FamilyRule::WindowOnAll:
      return shape.window > 0 ? sliding : full;
    case FamilyRule::WindowOnUpper:
      if (!config["use_sliding_window"].boolean_or(false)) return full;
      return layer >= config.get("max_window_layers", 28, layers_max) ? sliding : full;
    case FamilyRule::Periodic:
    case FamilyRule::Chunked:
    case FamilyRule::Delta: {
      std::string_view name = family.rule == FamilyRule::Delta     ? "full_attention_interval"
                              : family.rule == FamilyRule::Chunked ? "no_rope_layer_interval"
                                                                   : "sliding_window_pattern";
      auto letters = config[name].string();
      int64_t period =
          letters ? static_cast<int64_t>(letters->size()) : config.get(name, family.period, layers_max);
      if (period == 0) return full;
      bool is_full = (layer + 1) % period == 0;
      return is_full ? full : family.rule == FamilyRule::Delta ? "linear_attention" : sliding;
    }
    case FamilyRule::NemotronH: {
      std::string_view letters = config["hybrid_override_pattern"].string().value_or("");
      if (i >= letters.size()) break;
      if (letters[i] == '*') return full;
      return letters[i] == 'M' ? "mamba" : "mlp";
    }
    case FamilyRule::Mamba:
      return "mamba";
    case FamilyRule::ShortConvolution: {
      bool attends = false;
      config["full_attn_idxs"].for_each(
          [&](json::Value index) { attends = attends || index.integer() == layer; });
      if (!config["full_attn_idxs"].is_array()) break;
      return attends ? full : "conv";
    }
  }
  config.fail("layer_types", "missing");
  return full;
}

void read_layers(Members& config, const Family& family, ModelFacts* facts) {
  Shape shape = read_shape(config, family);
  json::Value listed = config["layer_types"].is_array() ? config["layer_types"] : config["layers_block_type"];
  if (listed.is_array() && listed.size() != shape.layers)
    config.fail("layer_types", fmt::format("{} elements for {} layers", listed.size(), shape.layers));
  int64_t shared = config.get("num_kv_shared_layers", family.shared_layers, layers_max);
  if (shared > static_cast<int64_t>(shape.layers)) config.fail("num_kv_shared_layers", "more than layers");
  for (size_t i = 0; i < shape.layers && !config.failed(); ++i) {
    std::string word =
        listed.is_array() ? listed.at(i).string_or("") : std::string(word_of(config, family, shape, i));
    auto layer = named_layer(config, family, shape, word);
    if (!layer) {
      facts->layers.clear();
      facts->layers_unknown = fmt::format("unknown layer type \"{}\"", printable(word));
      return;
    }
    if (i + static_cast<size_t>(shared) >= shape.layers) layer = LayerFacts{.kind = LayerKind::Shared};
    facts->layers.push_back(*layer);
  }
  int64_t drafts = config.get("num_nextn_predict_layers", config.get("mtp_num_hidden_layers", 0), layers_max);
  for (int64_t i = 0; i < drafts && !config.failed(); ++i)
    facts->draft_layers.push_back(attention_layer(config, family, shape, false));
}

// As vLLM derives the largest model length: from max_position_embeddings and the model's own rope scaling.
std::optional<int64_t> read_context(Members& config, const Family* family, std::string_view model_type) {
  auto context = config.find("max_position_embeddings", tokens_max);
  if (!context && family != nullptr && family->context > 0) context = family->context;
  json::Value scaling =
      config["rope_scaling"].is_object() ? config["rope_scaling"] : config["rope_parameters"];
  auto factor = scaling["factor"].number();
  if (!context || !factor || model_type.starts_with("gemma3")) return context;
  std::string type = scaling["rope_type"].string_or(scaling["type"].string_or("default"));
  bool scales = type == "yarn" || type == "linear" || type == "dynamic";
  if (!scales || !(*factor >= 1) || *factor > 1024) return context;
  int64_t original = scaling["original_max_position_embeddings"].integer_or(*context);
  int64_t base = type == "yarn" && original > 0 && original <= tokens_max ? original : *context;
  double scaled = std::floor(static_cast<double>(base) * *factor);
  return static_cast<int64_t>(std::fmin(scaled, static_cast<double>(tokens_max)));
}

// Models of several kinds of layers may have a dictionary for each kind, and thus none of their own.
std::optional<int64_t> read_rope_theta(json::Value config) {
  constexpr double theta_max = 1e12;
  json::Value own = config["rope_theta"];
  auto theta = own.is_number() ? own.number() : config["rope_parameters"]["rope_theta"].number();
  bool whole = theta && *theta >= 1 && *theta <= theta_max && std::floor(*theta) == *theta;
  return whole ? std::optional(static_cast<int64_t>(*theta)) : std::nullopt;
}

std::string first_text(std::initializer_list<json::Value> values) {
  for (json::Value value : values)
    if (value.is_string()) return printable(value.string_or(""));
  return "";
}

// compressed-tensors is a container: what the weights are is its format, and engines differ in what they can.
std::string quantization_of(json::Value root, json::Value inner) {
  json::Value config = root["quantization_config"];
  if (!config["quant_method"].is_string()) config = inner["quantization_config"];
  std::string method = first_text({config["quant_method"]});
  std::string format = first_text({config["format"]});
  return method == "compressed-tensors" && !format.empty() ? method + "/" + format : method;
}

}  // namespace

Result<ConfigJson> read_config_json(std::string_view text) {
  auto document = json::Document::parse(text, limits);
  if (!document.ok()) return document.error();
  json::Value root = document->root(), inner = text_of(root);
  if (!root.is_object()) return Error{ErrorKind::Invalid, "not a JSON object"};
  ConfigJson read;
  ModelFacts& facts = read.facts;
  facts.format = WeightFormat::Safetensors;
  facts.source = "config.json";
  std::string model_type = first_text({inner["model_type"], root["model_type"]});
  facts.architecture = first_text({root["architectures"].at(0), inner["architectures"].at(0)});
  if (facts.architecture.empty()) facts.architecture = model_type;
  const Family* family = config_family(model_type);
  Members config(inner);
  if (model_type.empty()) {
    config.fail("model_type", "missing");
  } else if (family == nullptr) {
    facts.layers_unknown = fmt::format("unknown architecture \"{}\"", model_type);
  } else {
    read_layers(config, *family, &facts);
  }
  facts.context_length_most_tokens = read_context(config, family, model_type);
  facts.rope_theta = read_rope_theta(inner);
  facts.embedding_length = config.find("hidden_size");
  facts.vocabulary_size = config.find("vocab_size", tokens_max);
  if (!config["intermediate_size"].is_array()) facts.feed_forward_length = config.find("intermediate_size");
  facts.dtype = first_text({inner["dtype"], inner["torch_dtype"], root["dtype"], root["torch_dtype"]});
  facts.quantization = quantization_of(root, inner);
  read.ties_output = root["tie_word_embeddings"].boolean_or(
      inner["tie_word_embeddings"].boolean_or(family != nullptr && family->tied));
  if (config.failed()) return config.error();
  return read;
}

}  // namespace strix::models
