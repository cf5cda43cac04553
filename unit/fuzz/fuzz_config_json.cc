#include "base/check.h"
#include "fuzz/target.h"
#include "models/config_json.h"

std::vector<std::string> strix::fuzz::seeds() {
  const std::string shape =
      R"("num_hidden_layers":8,"hidden_size":1024,"num_attention_heads":16,"sliding_window":64)";
  return {
      R"({"model_type":"qwen2","use_sliding_window":true,"max_window_layers":6,)" + shape + "}",
      R"({"model_type":"gemma3","text_config":{"model_type":"gemma3_text","rope_scaling":{"rope_type":"yarn",
             "factor":8.0,"original_max_position_embeddings":4096},"max_position_embeddings":32768,)" +
          shape + "}}",
      R"({"model_type":"gemma4_text","num_kv_shared_layers":2,"num_global_key_value_heads":2,)" + shape + "}",
      R"({"model_type":"qwen3_5_moe_text","linear_num_value_heads":32,"mtp_num_hidden_layers":1,)" + shape +
          "}",
      R"({"model_type":"nemotron_h","hybrid_override_pattern":"M-M*EM-*",)" + shape + "}",
      R"({"model_type":"lfm2","full_attn_idxs":[2,5],"quantization_config":{"quant_method":"awq"},)" + shape +
          "}",
      R"({"model_type":"deepseek_v3","kv_lora_rank":512,"qk_rope_head_dim":64,)" + shape + "}"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto config = strix::models::read_config_json({reinterpret_cast<const char*>(data), size});
  if (!config.ok()) return 0;
  const strix::models::ModelFacts& facts = config->facts;
  INVARIANT(facts.layers.empty() == !facts.layers_unknown.empty());
  INVARIANT(strix::models::growing_elements_per_token(facts) >= 0);
  INVARIANT(facts.context_length_most_tokens.value_or(0) >= 0);
  return 0;
}
