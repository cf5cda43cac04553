#include "models/config_family.h"

#include <algorithm>
#include <iterator>

namespace strix::models {

namespace {

// transformers of November 2026, models/*/configuration_*.py; for the rules also vLLM's model classes, which
// follow them. Not in here, because their caches are of a kind of their own: deepseek_v32, deepseek_v4,
// glm_moe_dsa (indexer caches), jamba, falcon_h1, kimi_linear, mimo_v2_flash.
constexpr std::string_view full[] = {
    "llama",
    "glm",
    "glm4",
    "glm4_moe",
    "glm4v_text",
    "glm4v_moe_text",
    "granite",
    "granitemoe",
    "stablelm",
    "granitemoeshared",
    "olmo",
    "olmo2",
    "olmoe",
    "seed_oss",
    "gpt_neox",
    "exaone",
    "nemotron",
    "hunyuan_v1_dense",
    "ernie4_5",
    "ernie4_5_moe",
    "dots1",
    "arcee",
    "hunyuan_v1_moe",
    "internlm2",
    "internlm3",
    "smollm3",
    "phi",
    "apertus",
    "minicpm",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen2_vl_text",
    "qwen2_5_vl_text",
    "qwen3_vl_text",
    "qwen3_vl_moe_text",
    "bailing_moe",
};

constexpr Family windowed[] = {
    {.name = "mistral", .rule = FamilyRule::WindowOnAll},
    {.name = "ministral3", .rule = FamilyRule::WindowOnAll, .head_dim = 128},
    {.name = "mixtral", .rule = FamilyRule::WindowOnAll},
    {.name = "phi3", .rule = FamilyRule::WindowOnAll},
    {.name = "phimoe", .rule = FamilyRule::WindowOnAll},
    {.name = "starcoder2", .rule = FamilyRule::WindowOnAll},
    {.name = "qwen2", .rule = FamilyRule::WindowOnUpper},
    {.name = "qwen2_moe", .rule = FamilyRule::WindowOnUpper},
    {.name = "qwen3", .rule = FamilyRule::WindowOnUpper, .head_dim = 128},
    {.name = "qwen3_moe", .rule = FamilyRule::WindowOnUpper},
    {.name = "gemma2",
     .rule = FamilyRule::Periodic,
     .period = 2,
     .window = 4096,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .context = 8192,
     .tied = true},
    {.name = "gemma3_text",
     .rule = FamilyRule::Periodic,
     .period = 6,
     .window = 4096,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .context = 131072,
     .tied = true},
    {.name = "gemma3n_text",
     .rule = FamilyRule::Periodic,
     .period = 5,
     .window = 512,
     .heads = 8,
     .kv_heads = 2,
     .head_dim = 256,
     .shared_layers = 15,
     .context = 32768,
     .tied = true},
    {.name = "gemma4_text",
     .rule = FamilyRule::Periodic,
     .period = 6,
     .window = 512,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .context = 131072,
     .global_head_dim = 512,
     .tied = true},
    {.name = "gpt_oss",
     .rule = FamilyRule::Periodic,
     .period = 2,
     .window = 128,
     .heads = 64,
     .kv_heads = 8,
     .head_dim = 64,
     .context = 131072},
    {.name = "cohere2", .rule = FamilyRule::Periodic, .period = 4, .window = 4096, .tied = true},
    {.name = "exaone4", .rule = FamilyRule::Periodic, .period = 4, .window = 4096},
    {.name = "exaone_moe", .rule = FamilyRule::Periodic, .period = 4, .window = 4096},
    {.name = "olmo3", .rule = FamilyRule::Periodic, .period = 4, .window = 4096},
};

constexpr Family others[] = {
    {.name = "gemma", .head_dim = 256, .context = 8192, .tied = true},
    {.name = "cohere", .tied = true},
    {.name = "minimax_m2", .head_dim = 128},
    {.name = "llama4_text",
     .rule = FamilyRule::Chunked,
     .period = 4,
     .window = 8192,
     .heads = 40,
     .kv_heads = 8,
     .head_dim = 128},
    {.name = "qwen3_next", .rule = FamilyRule::Delta, .period = 4, .head_dim = 256},
    {.name = "qwen3_5", .rule = FamilyRule::Delta, .period = 4, .head_dim = 256},
    {.name = "qwen3_5_text", .rule = FamilyRule::Delta, .period = 4, .head_dim = 256},
    {.name = "qwen3_5_moe", .rule = FamilyRule::Delta, .period = 4, .head_dim = 256},
    {.name = "qwen3_5_moe_text", .rule = FamilyRule::Delta, .period = 4, .head_dim = 256},
    {.name = "granitemoehybrid", .rule = FamilyRule::Mamba},
    {.name = "nemotron_h", .rule = FamilyRule::NemotronH, .head_dim = 128},
    {.name = "lfm2", .rule = FamilyRule::ShortConvolution, .tied = true},
    {.name = "lfm2_moe", .rule = FamilyRule::ShortConvolution, .tied = true},
    {.name = "deepseek_v2", .rule = FamilyRule::Latent},
    {.name = "deepseek_v3", .rule = FamilyRule::Latent},
    {.name = "kimi_k2", .rule = FamilyRule::Latent},
    {.name = "glm4_moe_lite", .rule = FamilyRule::Latent},
    {.name = "mistral4", .rule = FamilyRule::Latent},
};

}  // namespace

const Family* config_family(std::string_view model_type) {
  static constexpr Family plain{.name = "full"};
  for (const Family& family : windowed)
    if (family.name == model_type) return &family;
  for (const Family& family : others)
    if (family.name == model_type) return &family;
  bool known = std::find(std::begin(full), std::end(full), model_type) != std::end(full);
  return known ? &plain : nullptr;
}

}  // namespace strix::models
