#include "models/gguf_architecture.h"

#include <algorithm>
#include <iterator>

namespace strix::models {

namespace {

// llama.cpp of November 2026: load_hparams and create_memory of src/llama-model.cpp, and load_arch_hparams of
// each file in src/models/. Not in here, because their caches are of a kind of their own: deepseek32,
// deepseek4, glm-dsa, glm5-next, minimax-m3, qwen4exp, hy_v4, dots3note (indexer caches), nanbeige, hrm_text
// (loops), graniteswitch, t5, and drafts (eagle3, dflash, gemma4-assistant).
constexpr std::string_view attention_only[] = {
    "llama",         "deci",       "falcon",     "grok",           "gpt2",          "gptj",
    "gptneox",       "mpt",        "baichuan",   "starcoder",      "refact",        "bloom",
    "stablelm",      "qwen",       "qwen2",      "qwen2moe",       "qwen2vl",       "qwen3",
    "qwen3moe",      "qwen3vl",    "qwen3vlmoe", "phi2",           "phi3",          "phimoe",
    "plamo",         "codeshell",  "orion",      "internlm2",      "minicpm",       "minicpm3",
    "gemma",         "starcoder2", "xverse",     "command-r",      "dbrx",          "olmo",
    "olmoe",         "openelm",    "arctic",     "deepseek",       "deepseek2-ocr", "chatglm",
    "glm4",          "glm4moe",    "bitnet",     "jais",           "jais2",         "nemotron",
    "exaone",        "granite",    "granitemoe", "chameleon",      "plm",           "bailingmoe",
    "bailingmoe2",   "dots1",      "arcee",      "ernie4_5",       "ernie4_5-moe",  "hunyuan-moe",
    "hunyuan-dense", "hunyuan_vl", "hy_v3",      "smollm3",        "seed_oss",      "grovemoe",
    "apertus",       "minimax-m2", "cogvlm",     "pangu-embedded", "mistral3",      "paddleocr",
    "llama-embed",   "maincoder",  "talkie",
};

constexpr std::string_view without_cache[] = {
    "bert",         "modern-bert",  "nomic-bert", "nomic-bert-moe",  "neo-bert",
    "jina-bert-v2", "jina-bert-v3", "eurobert",   "gemma-embedding", "dream",
    "llada",        "llada-moe",    "rnd1",
};

constexpr Architecture particular[] = {
    {.name = "gemma2", .window_rule = WindowRule::Required, .period = 2, .window = 4096},
    {.name = "gemma3", .window_rule = WindowRule::IfPresent, .period = 6},
    {.name = "gemma3n", .window_rule = WindowRule::Required, .period = 5, .layers_with_cache = 20},
    {.name = "gemma4", .window_rule = WindowRule::Listed},
    {.name = "gpt-oss", .window_rule = WindowRule::Required, .period = 2},
    {.name = "llama4", .window_rule = WindowRule::UnlessZero, .period = 4, .window = 8192},
    {.name = "cohere2", .window_rule = WindowRule::Required, .period = 4},
    {.name = "cohere2moe", .window_rule = WindowRule::Required, .period = 4, .full_first = true},
    {.name = "olmo2", .window_rule = WindowRule::IfPresent, .period = 4},
    {.name = "exaone4", .window_rule = WindowRule::Only64Layers, .period = 4, .window = 4096},
    {.name = "exaone-moe", .window_rule = WindowRule::Required, .period = 4, .window = 128},
    {.name = "smallthinker",
     .window_rule = WindowRule::IfPresent,
     .period = 4,
     .full_first = true,
     .window = 4096,
     .window_fixed = true},
    {.name = "plamo3", .window_rule = WindowRule::IfPresent, .period = 8},
    {.name = "afmoe", .window_rule = WindowRule::IfPresent, .period = 4},
    {.name = "laguna", .window_rule = WindowRule::IfPresent, .period = 4, .full_first = true},
    {.name = "mellum", .window_rule = WindowRule::IfPresent, .period = 4},
    {.name = "muse-glimmer", .window_rule = WindowRule::Required, .period = 4},
    {.name = "mimo2", .window_rule = WindowRule::Listed},
    {.name = "step35", .window_rule = WindowRule::Listed},
    {.name = "spark2_5", .window_rule = WindowRule::Listed},
    {.name = "maple", .window_rule = WindowRule::Listed},
    {.name = "granite_swa", .window_rule = WindowRule::Listed},
    {.name = "deepseek2", .latent = true},
    {.name = "mistral4", .latent = true},
    {.name = "mamba", .layers = LayerRule::Recurrent, .state = StateRule::Mamba},
    {.name = "mamba2", .layers = LayerRule::Recurrent, .state = StateRule::Mamba},
    {.name = "rwkv6", .layers = LayerRule::Recurrent, .state = StateRule::Rwkv},
    {.name = "rwkv6qwen2", .layers = LayerRule::Recurrent, .state = StateRule::Rwkv},
    {.name = "rwkv7", .layers = LayerRule::Recurrent, .state = StateRule::Rwkv},
    {.name = "arwkv7", .layers = LayerRule::Recurrent, .state = StateRule::Rwkv},
    {.name = "jamba", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Mamba},
    {.name = "granitehybrid", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Mamba},
    {.name = "plamo2", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Mamba},
    {.name = "falcon-h1", .layers = LayerRule::Both, .state = StateRule::Mamba},
    {.name = "nemotron_h", .layers = LayerRule::NemotronH, .state = StateRule::Mamba},
    {.name = "nemotron_h_moe", .layers = LayerRule::NemotronH, .state = StateRule::Mamba},
    {.name = "qwen3next", .layers = LayerRule::RecurrentListed, .state = StateRule::Mamba},
    {.name = "qwen35", .layers = LayerRule::RecurrentListed, .state = StateRule::Mamba},
    {.name = "qwen35moe", .layers = LayerRule::RecurrentListed, .state = StateRule::Mamba},
    {.name = "minimax-01",
     .layers = LayerRule::RecurrentListed,
     .state = StateRule::LinearAttention,
     .interval = 8},
    {.name = "lfm2",
     .layers = LayerRule::RecurrentWithoutKv,
     .state = StateRule::ShortConvolution,
     .window_rule = WindowRule::AllAttention},
    {.name = "lfm2moe", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::ShortConvolution},
    {.name = "kimi-linear", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Kda, .latent = true},
    {.name = "kimi-k3", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Kda, .latent = true},
    {.name = "bailingmoe3", .layers = LayerRule::RecurrentWithoutKv, .state = StateRule::Kda, .latent = true},
};

template <typename Names>
bool lists(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

const Architecture* gguf_architecture(std::string_view name) {
  static constexpr Architecture plain{.name = "attention only"};
  static constexpr Architecture encoder{.name = "without cache", .layers = LayerRule::NoCache};
  for (const Architecture& architecture : particular)
    if (architecture.name == name) return &architecture;
  if (lists(attention_only, name)) return &plain;
  return lists(without_cache, name) ? &encoder : nullptr;
}

std::string_view not_a_model(std::string_view architecture, std::string_view general_type) {
  if (architecture == "clip" || general_type == "mmproj") return "a projector for images or sound";
  if (general_type == "adapter") return "an adapter";
  if (general_type == "imatrix" || architecture == "imatrix") return "an importance matrix";
  return "";
}

}  // namespace strix::models
