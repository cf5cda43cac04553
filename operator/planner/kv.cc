#include "planner/kv.h"

#include <algorithm>
#include <array>
#include <vector>

#include "planner/checked.h"

namespace strix::planner {
namespace {

using models::LayerFacts;
using models::LayerKind;

constexpr int64_t smallest_scaled_head_elements = 64;
constexpr int64_t scale_bytes = 4;
constexpr int64_t llama_padding_cells = 256;  // GGML_PAD in llama_context and llama_kv_cache_iswa

struct NamedType {
  std::string_view name;
  CacheType type;
};

// ggml's block sizes (ggml-common.h): q8_0 is 32 elements and a 16-bit scale, and so on.
constexpr auto llama_types = std::to_array<NamedType>({
    {"f32", {1, 4}},
    {"f16", {1, 2}},
    {"bf16", {1, 2}},
    {"q8_0", {32, 34}},
    {"q5_1", {32, 24}},
    {"q5_0", {32, 22}},
    {"q4_1", {32, 20}},
    {"q4_0", {32, 18}},
    {"iq4_nl", {32, 18}},
});

// vllm/config/cache.py, CacheDType. nvfp4: half a byte, and a one-byte scale for 16 elements.
constexpr auto vllm_types = std::to_array<NamedType>({
    {"float16", {1, 2}},
    {"bfloat16", {1, 2}},
    {"fp8", {1, 1}},
    {"fp8_e4m3", {1, 1}},
    {"fp8_e5m2", {1, 1}},
    {"fp8_inc", {1, 1}},
    {"int8_per_token_head", {1, 1, true}},
    {"fp8_per_token_head", {1, 1, true}},
    {"nvfp4", {16, 9}},
});

template <typename List>
std::optional<CacheType> named(const List& list, std::string_view name) {
  for (const NamedType& entry : list)
    if (entry.name == name) return entry.type;
  return std::nullopt;
}

// Bytes of `elements` for one token; absent where they are not whole blocks.
Checked row_bytes(const CacheType& type, int64_t elements) {
  if (elements < 0 || elements % type.block_elements != 0) return std::nullopt;
  Checked bytes = Checked(elements / type.block_elements) * type.block_bytes;
  if (type.scaled) bytes += ceil_divide(elements, smallest_scaled_head_elements) * scale_bytes;
  return bytes;
}

Checked token_bytes(const LayerFacts& layer, const KvShape& shape) {
  return row_bytes(shape.key, layer.key_elements) + row_bytes(shape.value, layer.value_elements);
}

Checked state_bytes(const LayerFacts& layer, const KvShape& shape) {
  return Checked(layer.convolution_elements) * shape.state_element_bytes +
         Checked(layer.recurrent_elements) * shape.recurrent_element_bytes;
}

bool grows(const LayerFacts& layer) {
  return layer.kind == LayerKind::Full || layer.kind == LayerKind::Latent;
}

bool has_state(const LayerFacts& layer) {
  return layer.convolution_elements > 0 || layer.recurrent_elements > 0;
}

// Within these no rounding up below leaves 64 bits before a checked product does. No model comes near.
constexpr int64_t tokens_most = int64_t{1} << 32, elements_most = int64_t{1} << 32;

bool within(int64_t value, int64_t low, int64_t most) {
  return value >= low && value <= most;
}

bool is_sane_layer(const LayerFacts& layer) {
  return within(layer.key_elements, 0, elements_most) && within(layer.value_elements, 0, elements_most) &&
         within(layer.window_tokens, 0, tokens_most) &&
         within(layer.convolution_elements, 0, elements_most) &&
         within(layer.recurrent_elements, 0, elements_most);
}

bool is_sane(const KvShape& shape) {
  constexpr int64_t few = 1 << 16;
  return within(shape.context_tokens, 0, tokens_most) && within(shape.sequences, 1, few) &&
         within(shape.draft_tokens, 0, few) && within(shape.block_tokens, 1, few) &&
         within(shape.batch_tokens, 1, tokens_most) && within(shape.micro_batch_tokens, 0, tokens_most);
}

// The model's layers, and those that only speculation uses where it is asked for. num_hidden_layers does not
// count those, and neither does the catalogue or an author: where nobody names them it is one more of the
// kind that keeps every token. vLLM makes 11 such layers of Qwen3.6-35B-A3B's 10, and refuses a pinned cache
// that has room for 10.
template <typename Visit>
void each_layer(const models::ModelFacts& facts, const KvShape& shape, const Visit& visit) {
  for (const LayerFacts& layer : facts.layers) visit(layer);
  if (shape.draft_tokens == 0) return;
  for (const LayerFacts& layer : facts.draft_layers) visit(layer);
  auto last = std::find_if(facts.layers.rbegin(), facts.layers.rend(), grows);
  if (facts.draft_layers.empty() && last != facts.layers.rend()) visit(*last);
}

bool are_sane(const models::ModelFacts& facts, const KvShape& shape) {
  bool sane = is_sane(shape);
  each_layer(facts, shape, [&](const LayerFacts& layer) { sane = sane && is_sane_layer(layer); });
  return sane;
}

struct Sum {
  Checked growing = 0, window = 0, state = 0;
  std::optional<KvBytes> bytes(Checked total) const {
    if (!total.value() || !growing.value() || !window.value() || !state.value()) return std::nullopt;
    return KvBytes{*growing.value(), *window.value(), *state.value(), *total.value(), 0, 0};
  }
};

// --- llama.cpp: cells of a fixed size, allocated at once ------------------------------------------------

int64_t window_cells(const LayerFacts& layer, const KvShape& shape, int64_t slots, int64_t cells) {
  if (shape.swa_full) return cells;
  Checked wanted = Checked(layer.window_tokens) * slots + shape.micro_batch_tokens;
  return round_up(std::min(cells, wanted.value().value_or(cells)), llama_padding_cells);
}

// What llama-server copies of one slot (LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY): its states, and what the sliding
// layers hold of it. Of a model that keeps every token, as sliding layers do with --swa-full, it makes no
// checkpoints. 149.6 MiB of Qwen3.6-27B, as it prints (unsloth #11073).
Checked checkpoint_bytes(const models::ModelFacts& facts, const KvShape& shape, int64_t cells) {
  Checked window = 0, state = 0;
  bool has_states = false;
  each_layer(facts, shape, [&](const LayerFacts& layer) {
    if (layer.kind == LayerKind::Sliding)
      window += token_bytes(layer, shape) * window_cells(layer, shape, 1, cells);
    if (!has_state(layer)) return;
    has_states = true;
    state += state_bytes(layer, shape);
  });
  return shape.swa_full && !has_states ? Checked(0) : window + state;
}

std::optional<KvBytes> llama_bytes(const models::ModelFacts& facts, const KvShape& shape) {
  int64_t slots = shape.sequences;
  int64_t context = round_up(shape.context_tokens, llama_padding_cells);
  int64_t streams = shape.unified ? 1 : slots;
  int64_t cells = shape.unified ? context : round_up(context / slots, llama_padding_cells);
  Sum sum;
  each_layer(facts, shape, [&](const LayerFacts& layer) {
    if (grows(layer)) sum.growing += token_bytes(layer, shape) * cells * streams;
    if (layer.kind == LayerKind::Sliding)
      sum.window +=
          token_bytes(layer, shape) * window_cells(layer, shape, shape.unified ? slots : 1, cells) * streams;
    // A row of float32 per slot, and one more per drafted token to go back to.
    if (has_state(layer)) sum.state += state_bytes(layer, shape) * slots * (1 + shape.draft_tokens);
  });
  auto bytes = sum.bytes(sum.growing + sum.window + sum.state);
  auto checkpoint = checkpoint_bytes(facts, shape, cells).value();
  if (!bytes || !checkpoint) return std::nullopt;
  bytes->checkpoint_bytes = *checkpoint;
  return bytes;
}

// --- vLLM: pages of one size, shared by groups of layers of one kind -----------------------------------

struct Kind {
  LayerKind kind = LayerKind::Full;
  int64_t window_tokens = 0;
  int64_t token_bytes = 0;  // Linear: bytes of one state
  int64_t layers = 0;
  int64_t block_tokens = 0;

  int64_t page_bytes() const {
    if (kind == LayerKind::Linear) return token_bytes;
    return (Checked(token_bytes) * block_tokens).value().value_or(0);
  }
};

void count(std::vector<Kind>& kinds, LayerKind kind, int64_t window, Checked bytes, int64_t block) {
  int64_t size = bytes.value().value_or(0);
  for (Kind& known : kinds) {
    if (known.kind == kind && known.window_tokens == window && known.token_bytes == size) {
      ++known.layers;
      return;
    }
  }
  kinds.push_back({kind, window, size, 1, block});
}

// `sound` becomes false where some layer's bytes cannot be told.
std::vector<Kind> kinds_of(const models::ModelFacts& facts, const KvShape& shape, bool& sound) {
  std::vector<Kind> kinds;
  each_layer(facts, shape, [&](const LayerFacts& layer) {
    Checked token = token_bytes(layer, shape), state = state_bytes(layer, shape);
    sound = sound && token.value() && state.value();
    if (grows(layer)) count(kinds, LayerKind::Full, 0, token, shape.block_tokens);
    if (layer.kind == LayerKind::Sliding)
      count(kinds, layer.kind, layer.window_tokens, token, shape.block_tokens);
    if (has_state(layer)) count(kinds, LayerKind::Linear, 0, state, 0);
  });
  return kinds;
}

// Pages that one sequence of full length needs of one layer (vllm/v1/kv_cache_interface.py).
int64_t pages_of(const Kind& kind, const KvShape& shape) {
  if (kind.kind == LayerKind::Linear) return 1 + shape.draft_tokens + (shape.prefix_cached_states ? 1 : 0);
  if (kind.kind != LayerKind::Sliding) return ceil_divide(shape.context_tokens, kind.block_tokens);
  auto window = checked_add(kind.window_tokens - 1, shape.batch_tokens);
  int64_t tokens = std::min(window.value_or(shape.context_tokens), shape.context_tokens);
  return ceil_divide(tokens, kind.block_tokens) + 1;
}

// Makes the pages of all kinds one size, as vLLM does: blocks of more tokens where a token is smaller, and
// where there are states, blocks of attention as large as a state. 0: they do not come out even.
int64_t unify_page_bytes(std::vector<Kind>& kinds, const KvShape& shape) {
  int64_t state = 0, smallest_token = 0;
  for (const Kind& kind : kinds) {
    if (kind.kind == LayerKind::Linear)
      state = std::max(state, kind.token_bytes);
    else if (smallest_token == 0 || kind.token_bytes < smallest_token)
      smallest_token = kind.token_bytes;
  }
  int64_t page = state;
  for (Kind& kind : kinds) {
    if (kind.kind == LayerKind::Linear) continue;
    if (state > 0 && kind.token_bytes > 0) {
      auto step = Checked(shape.block_tokens) * kind.token_bytes;
      if (!step.value()) return 0;
      kind.block_tokens = shape.block_tokens * std::max<int64_t>(ceil_divide(state, *step.value()), 1);
    }
    page = std::max(page, kind.page_bytes());
  }
  for (Kind& kind : kinds) {
    if (kind.kind == LayerKind::Linear) continue;  // padded to the page
    int64_t bytes = kind.page_bytes();
    if (bytes <= 0 || page % bytes != 0) return 0;
    kind.block_tokens *= page / bytes;
  }
  return page;
}

// Layers per group: the smallest kind's, unless all are about as many
// (_get_kv_cache_groups_uniform_page_size).
int64_t group_layers(const std::vector<Kind>& kinds) {
  int64_t least = kinds.front().layers, most = least;
  for (const Kind& kind : kinds) {
    least = std::min(least, kind.layers);
    most = std::max(most, kind.layers);
  }
  return most * 4 < least * 5 ? most : least;
}

bool of_several_kinds(const std::vector<Kind>& kinds) {
  return std::any_of(kinds.begin(), kinds.end(), [&](const Kind& kind) {
    return kind.kind != kinds.front().kind || kind.window_tokens != kinds.front().window_tokens;
  });
}

std::optional<KvBytes> vllm_bytes(const models::ModelFacts& facts, const KvShape& shape) {
  bool sound = true;
  std::vector<Kind> kinds = kinds_of(facts, shape, sound);
  if (!sound) return std::nullopt;
  if (kinds.empty()) return KvBytes{};
  int64_t page = of_several_kinds(kinds) ? unify_page_bytes(kinds, shape) : 0;
  int64_t group = page > 0 ? group_layers(kinds) : 0;
  Sum sum;
  Checked pages = 0, block = group > 0 ? Checked(group) * page : Checked(0);
  for (const Kind& kind : kinds) {
    Checked own = Checked(pages_of(kind, shape)) * kind.layers * shape.sequences;
    Checked bytes = own * (page > 0 && kind.kind != LayerKind::Linear ? page : kind.page_bytes());
    (kind.kind == LayerKind::Linear    ? sum.state
     : kind.kind == LayerKind::Sliding ? sum.window
                                       : sum.growing) += bytes;
    if (group == 0) block += Checked(kind.layers) * kind.page_bytes();
    if (group > 0) pages += Checked(ceil_divide(kind.layers, group)) * pages_of(kind, shape);
  }
  Checked total = sum.growing + sum.window + sum.state;
  if (group > 0) total = pages * group * page * shape.sequences;
  auto bytes = sum.bytes(total);
  if (!bytes || !block.value()) return std::nullopt;
  bytes->block_bytes = *block.value();
  return bytes;
}

}  // namespace

std::optional<CacheType> cache_type(api::Engine engine, std::string_view name, std::string_view model_dtype) {
  bool automatic = name.empty() || name == "auto";
  if (engine == api::Engine::LlamaCpp) return named(llama_types, automatic ? "f16" : name);
  if (automatic && model_dtype == "float32") return CacheType{1, 4};
  return named(vllm_types, automatic ? "bfloat16" : name);
}

std::optional<KvBytes> kv_bytes(const models::ModelFacts& facts, const KvShape& shape) {
  if (!are_sane(facts, shape)) return std::nullopt;
  return shape.engine == api::Engine::LlamaCpp ? llama_bytes(facts, shape) : vllm_bytes(facts, shape);
}

int64_t growing_bytes_per_token(const models::ModelFacts& facts, const KvShape& shape) {
  Checked bytes = 0;
  each_layer(facts, shape, [&](const LayerFacts& layer) {
    if (grows(layer)) bytes += token_bytes(layer, shape);
  });
  return bytes.value().value_or(0);
}

}  // namespace strix::planner
