#include "models/facts_of_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "models/gguf_architecture.h"
#include "models/printable.h"

namespace strix::models {

namespace {

constexpr int64_t layers_max = 1024;     // llama.cpp: 512
constexpr int64_t size_max = 1 << 24;    // of a head, an embedding, a state
constexpr int64_t tokens_max = 1 << 30;  // of a context or a window

// The values of one architecture by their keys without its name. The first thing that is wrong is remembered.
class Keys {
 public:
  Keys(const Gguf& gguf, std::string architecture) : gguf_(gguf), prefix_(std::move(architecture) + ".") {}

  std::optional<int64_t> find(std::string_view key, int64_t most = size_max) {
    const GgufValue* value = gguf_.find(prefix_ + std::string(key));
    if (value == nullptr || value->kind == GgufValue::Kind::Integers) return std::nullopt;
    bool whole = value->kind == GgufValue::Kind::Integer || value->kind == GgufValue::Kind::Boolean;
    if (!whole || value->integer < 0 || value->integer > most) {
      fail(key, fmt::format("no whole number up to {}", most));
      return std::nullopt;
    }
    return value->integer;
  }
  int64_t get(std::string_view key, int64_t fallback, int64_t most = size_max) {
    return find(key, most).value_or(fallback);
  }
  int64_t require(std::string_view key, int64_t most = size_max) {
    auto value = find(key, most);
    if (!value) fail(key, "missing");
    return value.value_or(0);
  }
  // A number for each layer: from an array, or one for all.
  std::optional<std::vector<int64_t>> find_layers(std::string_view key, size_t count) {
    const GgufValue* value = gguf_.find(prefix_ + std::string(key));
    if (value == nullptr) return std::nullopt;
    if (value->kind != GgufValue::Kind::Integers) return std::vector<int64_t>(count, require(key));
    if (value->integers.size() != count)
      fail(key, fmt::format("{} elements for {} layers", value->integers.size(), count));
    std::vector<int64_t> numbers = value->integers;
    numbers.resize(count);
    for (int64_t number : numbers)
      if (number < 0 || number > size_max) fail(key, fmt::format("no whole number up to {}", size_max));
    return failed() ? std::vector<int64_t>(count) : numbers;
  }
  const GgufValue* raw(std::string_view key) const { return gguf_.find(prefix_ + std::string(key)); }

  void fail(std::string_view key, std::string_view what) {
    if (error_.empty()) error_ = fmt::format("{}{}: {}", printable(prefix_), key, what);
  }
  bool failed() const { return !error_.empty(); }
  Error error() const { return Error{ErrorKind::Invalid, error_}; }

 private:
  const Gguf& gguf_;
  std::string prefix_;
  std::string error_;
};

struct Shape {
  size_t layers = 0;        // with those of multi-token prediction
  size_t trunk_layers = 0;  // without
  int64_t embedding = 0;
  std::vector<int64_t> heads, kv_heads, feed_forward;
  int64_t key_length = 0, value_length = 0, sliding_key_length = 0, sliding_value_length = 0;
  bool latent = false;
};

Shape read_shape(Keys& keys, const Architecture& architecture) {
  Shape shape;
  shape.embedding = keys.require("embedding_length");
  int64_t layers = keys.require("block_count", layers_max);
  int64_t draft = keys.get("nextn_predict_layers", 0, layers_max);
  if (!keys.failed() && (layers == 0 || draft >= layers))
    keys.fail("block_count", fmt::format("{} layers, {} of them for prediction", layers, draft));
  if (keys.failed()) return shape;
  shape.layers = static_cast<size_t>(layers);
  shape.trunk_layers = static_cast<size_t>(layers - draft);
  std::vector<int64_t> none(shape.layers);
  shape.feed_forward = keys.find_layers("feed_forward_length", shape.layers).value_or(none);
  shape.heads = keys.find_layers("attention.head_count", shape.layers).value_or(none);
  shape.kv_heads = keys.find_layers("attention.head_count_kv", shape.layers).value_or(shape.heads);
  int64_t head = shape.heads[0] > 0 ? shape.embedding / shape.heads[0] : 0;
  shape.key_length = keys.get("attention.key_length", head);
  shape.value_length = keys.get("attention.value_length", head);
  shape.sliding_key_length = keys.get("attention.key_length_swa", shape.key_length);
  shape.sliding_value_length = keys.get("attention.value_length_swa", shape.value_length);
  shape.latent = architecture.latent && keys.get("attention.key_length_mla", 0) > 0 &&
                 keys.get("attention.value_length_mla", 0) > 0;
  return shape;
}

// The window of sliding layers, 0 for none.
int64_t read_window(Keys& keys, const Architecture& architecture, const Shape& shape) {
  constexpr std::string_view key = "attention.sliding_window";
  auto found = keys.find(key, tokens_max);
  switch (architecture.window_rule) {
    case WindowRule::None:
      return 0;
    case WindowRule::IfPresent:
    case WindowRule::AllAttention:
      return found.value_or(0) > 0 && architecture.window_fixed ? architecture.window : found.value_or(0);
    case WindowRule::UnlessZero:
      return found == 0 ? 0 : architecture.window;
    case WindowRule::Only64Layers:
      return shape.trunk_layers == 64 ? found.value_or(architecture.window) : 0;
    case WindowRule::Required:
    case WindowRule::Listed:
      if (!found && architecture.window == 0) keys.fail(key, "missing");
      return found.value_or(architecture.window);
  }
  return 0;
}

// Which layers slide, by position alone.
std::vector<bool> read_pattern(Keys& keys, const Architecture& architecture, const Shape& shape) {
  constexpr std::string_view key = "attention.sliding_window_pattern";
  std::vector<bool> slides(shape.layers, architecture.window_rule == WindowRule::AllAttention);
  if (architecture.window_rule == WindowRule::AllAttention) return slides;
  const GgufValue* listed = keys.raw(key);
  if (listed != nullptr && listed->kind == GgufValue::Kind::Integers) {
    for (size_t i = 0; i < std::min(shape.layers, listed->integers.size()); ++i)
      slides[i] = listed->integers[i] != 0;
    return slides;
  }
  if (architecture.window_rule == WindowRule::Listed) {
    keys.fail(key, "missing");
    return slides;
  }
  int64_t period = keys.get(key, architecture.period, layers_max);
  for (size_t i = 0; i < shape.trunk_layers; ++i) {
    int64_t place = period == 0 ? -1 : static_cast<int64_t>(i) % period;
    slides[i] = period == 0 || place != (architecture.full_first ? 0 : period - 1);
  }
  return slides;
}

std::vector<bool> read_recurrent(Keys& keys, const Architecture& architecture, const Shape& shape) {
  std::vector<bool> recurrent(shape.layers, architecture.layers == LayerRule::Recurrent);
  bool listed_rule = architecture.layers == LayerRule::RecurrentListed;
  auto listed = listed_rule ? keys.find_layers("attention.recurrent_layers", shape.layers) : std::nullopt;
  int64_t interval = listed_rule ? keys.get("full_attention_interval", architecture.interval, layers_max) : 1;
  if (interval == 0) {
    keys.fail("full_attention_interval", "is 0");
    return recurrent;
  }
  for (size_t i = 0; i < shape.trunk_layers; ++i) {
    if (listed) {
      recurrent[i] = (*listed)[i] != 0;
    } else if (listed_rule) {
      recurrent[i] = static_cast<int64_t>(i + 1) % interval != 0;
    } else if (architecture.layers == LayerRule::RecurrentWithoutKv) {
      recurrent[i] = shape.kv_heads[i] == 0;
    } else if (architecture.layers == LayerRule::NemotronH) {
      recurrent[i] = shape.kv_heads[i] == 0 && shape.feed_forward[i] == 0;
    }
  }
  return recurrent;
}

struct State {
  int64_t convolution = 0, recurrent = 0;
};

// As llama.cpp's n_embd_r and n_embd_s. Its products of three sizes are checked by the caller's bound.
State read_state(Keys& keys, const Architecture& architecture, const Shape& shape) {
  int64_t heads = shape.heads[0];
  switch (architecture.state) {
    case StateRule::None:
      return {};
    case StateRule::Mamba: {
      int64_t kernel = keys.require("ssm.conv_kernel", 1024), inner = keys.require("ssm.inner_size");
      int64_t size = keys.require("ssm.state_size"), groups = keys.get("ssm.group_count", 0, 65536);
      if (keys.failed()) return {};
      auto channels = checked_multiply(2 * groups, size);
      if (!channels) return {-1, -1};
      return {std::max<int64_t>(kernel - 1, 0) * (inner + *channels), size * inner};
    }
    case StateRule::ShortConvolution:
      return {shape.embedding * std::max<int64_t>(keys.require("shortconv.l_cache", 1024) - 1, 0), 0};
    case StateRule::Kda: {
      int64_t head = keys.require("kda.head_dim", 65536), kernel = keys.require("ssm.conv_kernel", 1024);
      if (heads > 65536) return {-1, -1};
      return {3 * (kernel > 0 ? kernel - 1 : 3) * heads * head, head * head * heads};
    }
    case StateRule::LinearAttention:
      if (heads > 65536 || shape.key_length > 65536) return {-1, -1};
      return {0, shape.key_length * shape.key_length * heads};
    case StateRule::Rwkv:
      return {keys.get("token_shift_count", 2, 1024) * shape.embedding,
              shape.embedding * keys.require("wkv.head_size")};
  }
  return {};
}

void add_state(LayerFacts* layer, const State& state) {
  layer->convolution_elements = state.convolution;
  layer->recurrent_elements = state.recurrent;
}

LayerFacts attention_layer(const Shape& shape, size_t i, int64_t window) {
  LayerFacts layer;
  int64_t heads = shape.kv_heads[i];
  if (shape.latent) {
    layer.kind = LayerKind::Latent;
    layer.key_elements = shape.key_length * heads;
  } else {
    layer.kind = window > 0 ? LayerKind::Sliding : LayerKind::Full;
    layer.window_tokens = window;
    layer.key_elements = (window > 0 ? shape.sliding_key_length : shape.key_length) * heads;
    layer.value_elements = (window > 0 ? shape.sliding_value_length : shape.value_length) * heads;
  }
  return heads > 0 ? layer : LayerFacts{.kind = LayerKind::Shared};
}

void read_layers(Keys& keys, const Architecture& architecture, const Shape& shape, ModelFacts* facts) {
  int64_t window = read_window(keys, architecture, shape);
  std::vector<bool> slides(shape.layers);
  if (window > 0) slides = read_pattern(keys, architecture, shape);
  std::vector<bool> recurrent = read_recurrent(keys, architecture, shape);
  State state = read_state(keys, architecture, shape);
  if (state.convolution < 0 || state.recurrent < 0) keys.fail("ssm", "a state beyond any model's");
  size_t with_cache = shape.layers;
  if (architecture.layers_with_cache > 0) with_cache = static_cast<size_t>(architecture.layers_with_cache);
  if (architecture.name == "gemma4")
    with_cache =
        shape.layers - static_cast<size_t>(std::min<int64_t>(keys.get("attention.shared_kv_layers", 0),
                                                             static_cast<int64_t>(shape.layers)));
  for (size_t i = 0; i < shape.layers && !keys.failed(); ++i) {
    LayerFacts layer{.kind = LayerKind::Shared};
    bool attends = architecture.layers != LayerRule::NoCache && i < with_cache;
    if (architecture.layers == LayerRule::NemotronH && shape.feed_forward[i] != 0 && i < shape.trunk_layers)
      attends = false;
    if (recurrent[i]) {
      layer.kind = LayerKind::Linear;
      add_state(&layer, state);
    } else if (attends) {
      layer = attention_layer(shape, i, slides[i] ? window : 0);
      if (architecture.layers == LayerRule::Both && i < shape.trunk_layers) add_state(&layer, state);
    }
    (i < shape.trunk_layers ? facts->layers : facts->draft_layers).push_back(layer);
  }
}

// blk.17.attn_q.weight is of layer 17.
std::optional<size_t> layer_of(std::string_view tensor) {
  if (!tensor.starts_with("blk.")) return std::nullopt;
  size_t layer = 0, at = 4;
  for (; at < tensor.size() && at < 10 && tensor[at] >= '0' && tensor[at] <= '9'; ++at)
    layer = layer * 10 + static_cast<size_t>(tensor[at] - '0');
  if (at == 4) return std::nullopt;
  return layer;
}

// Weights that are multiplied with activations; the others are looked up, added, convolved or scanned. The
// token table is both where there is no output matrix of its own.
bool is_multiplied(const GgufTensor& tensor, bool has_output) {
  std::string_view name = tensor.name;
  size_t wide = 0;
  for (size_t i = 1; i < tensor.dimensions.size(); ++i)
    if (tensor.dimensions[i] > 1) ++wide;
  if (wide == 0 || !name.ends_with(".weight")) return false;
  if (name == "token_embd.weight") return !has_output;
  for (std::string_view other : {"position_embd", "token_types", "per_layer_token_embd", "rope_freqs",
                                 "rope_factors", "ssm_conv1d", "shortconv.conv", "time_mix_lerp"})
    if (name.find(other) != std::string_view::npos) return false;
  return true;
}

Status weigh(const Gguf& gguf, const Shape& shape, ModelFacts* facts) {
  std::optional<int64_t> bytes = 0, elements = 0;
  int64_t draft_bytes = 0;
  bool has_output = std::any_of(gguf.tensors.begin(), gguf.tensors.end(),
                                [](const GgufTensor& tensor) { return tensor.name == "output.weight"; });
  for (const GgufTensor& tensor : gguf.tensors) {
    bytes = checked_add(*bytes, tensor.bytes);
    elements = checked_add(*elements, tensor.elements);
    if (!bytes || !elements) return Error{ErrorKind::Invalid, "tensors of more than 63 bits of bytes"};
    auto& by_type =
        is_multiplied(tensor, has_output) ? facts->repackable_bytes_by_type : facts->other_bytes_by_type;
    by_type[std::string(tensor.type->name)] += tensor.bytes;
    if (shape.layers > shape.trunk_layers && layer_of(tensor.name).value_or(0) >= shape.trunk_layers)
      draft_bytes += tensor.bytes;
  }
  facts->weight_bytes = bytes;
  facts->parameters = elements;
  if (shape.layers > shape.trunk_layers) facts->draft_weight_bytes = draft_bytes;
  return success();
}

}  // namespace

Result<ModelFacts> facts_of_gguf(const Gguf& gguf) {
  ModelFacts facts;
  facts.format = WeightFormat::Gguf;
  facts.source = "GGUF header";
  facts.architecture = gguf.text("general.architecture");
  std::string shown = printable(facts.architecture);
  if (facts.architecture.empty()) return Error{ErrorKind::Invalid, "general.architecture: missing"};
  std::string_view other = not_a_model(facts.architecture, gguf.text("general.type"));
  if (!other.empty()) return Error{ErrorKind::Invalid, fmt::format("{}, not a model", other)};
  Shape shape;
  Keys keys(gguf, facts.architecture);
  if (const Architecture* architecture = gguf_architecture(facts.architecture)) {
    shape = read_shape(keys, *architecture);
    if (!keys.failed()) read_layers(keys, *architecture, shape, &facts);
    if (keys.failed()) return keys.error();
  } else {
    facts.layers_unknown = fmt::format("unknown architecture \"{}\"", shown);
  }
  if (auto context = keys.find("context_length", tokens_max)) facts.context_length_most_tokens = context;
  if (auto embedding = keys.find("embedding_length")) facts.embedding_length = embedding;
  auto widest = std::max_element(shape.feed_forward.begin(), shape.feed_forward.end());
  if (widest != shape.feed_forward.end() && *widest > 0) facts.feed_forward_length = *widest;
  facts.vocabulary_size = keys.find("vocab_size", tokens_max);
  const GgufValue* tokens = gguf.find("tokenizer.ggml.tokens");
  if (!facts.vocabulary_size && tokens != nullptr && tokens->length > 0)
    facts.vocabulary_size = tokens->length;
  if (keys.failed()) return keys.error();
  if (auto file_type = gguf.integer("general.file_type"); file_type && *file_type >= 0)
    facts.quantization = file_type_name(static_cast<uint64_t>(*file_type));
  if (Status weighed = weigh(gguf, shape, &facts); !weighed.ok()) return weighed.error();
  return facts;
}

}  // namespace strix::models
