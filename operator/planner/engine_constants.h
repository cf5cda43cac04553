// Why: what an engine takes beside weights and cache cannot be computed; it was measured somewhere, and the
// next version may differ. All such numbers stand here, each with where it comes from.
// May not: hold logic. A row of the capability table replaces a value for an engine version or target.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace strix::planner {

struct EngineConstants {
  // --- vLLM, inside the memory that it requests ---
  // Activations at the profiling peak, the runtime's own: 5.4 to 6.7 GiB measured beyond weights and cache
  // on a GPU with unified memory (llamastash #81).
  int64_t vllm_gpu_engine_bytes = 6 * gib;
  // The CPU build: "0.93 GiB memory was consumed by non-kv usages" with 0.25 GiB of weights (vLLM 0.32.0).
  int64_t vllm_cpu_engine_bytes = 1 * gib;
  // --kv-cache-memory-bytes exists (PR #21489, September 2025). Without it vLLM fills its whole request.
  bool vllm_pins_kv_cache = true;
  // Blocks that it keeps empty and counts against the cache: 32 MiB hold 16256 tokens of a model with 2048
  // bytes a token and blocks of 128, not 16384 (vLLM 0.32.0). Older ones need none.
  int64_t vllm_spare_blocks = 1;
  int64_t vllm_block_tokens = 16;  // --block-size; platforms and hybrid models raise it
  int64_t vllm_cpu_block_tokens = 128;  // of the CPU build; cache_config_info says it (vLLM 0.32.0)
  // --max-num-batched-tokens by the device's memory (vllm/engine/arg_utils.py): 8192 from 70 GiB on.
  int64_t vllm_large_device_bytes = 70 * gib;
  int64_t vllm_large_batch_tokens = 8192, vllm_small_batch_tokens = 2048;
  // Mamba's recurrent state: float32 where the model's configuration says so (Qwen3.5, Qwen3-Next); the
  // smaller kinds are not told apart.
  int64_t vllm_recurrent_element_bytes = 4;

  // --- vLLM, beside what it requests ---
  // Resident memory of the API server and of EngineCore, 0.9 GiB each (vLLM 0.32.0).
  int64_t vllm_host_bytes = 1843 * mib;
  // Captured HIP graphs: vLLM's estimate of them is 0 on ROCm (gpu_worker.py), so they come on top of the
  // request. Not measured on gfx1151: an allowance, for the few batch sizes that 4 sequences need.
  int64_t vllm_graph_bytes = 256 * mib;

  // --- llama.cpp ---
  // Defaults of --batch-size and --ubatch-size, build 11669.
  int64_t llama_batch_tokens = 2048, llama_micro_batch_tokens = 512;
  // Compute buffer: per token of the micro-batch 2 rows of the feed-forward and 8 of the embedding in
  // float32, and the attention mask in float16. Measured with SmolLM2-135M, build 11669: 46.64, 22.67,
  // 16.64 and 8.90 MiB where this gives 47.00, 23.00, 17.00 and 9.08.
  int64_t llama_feed_forward_rows = 2, llama_embedding_rows = 8;
  // Where the dimensions are unknown, and the least on a GPU: the estimate of
  // kyuz0/amd-strix-halo-toolboxes (gguf-vram-estimator).
  int64_t llama_compute_bytes = 2 * gib;
  int64_t llama_host_bytes = 64 * mib;  // the process beyond its buffers: 13 to 50 MiB measured
  // --cache-ram, which we pass as 0: a prompt cache beside the KV cache (8 GiB by default).
  int64_t llama_prompt_cache_bytes = 0;
  // --ctx-checkpoints, of each slot: copies in host memory to go back to, of models with states or sliding
  // windows, whatever --cache-ram says (llama.cpp #21690). By default 32: 18.7 GiB with Qwen3.6-27B and 4
  // slots (unsloth #11073). Agents go on from their last turn, so that a few are enough; with none the whole
  // prompt is computed again.
  static constexpr int64_t llama_checkpoints = 4;
  // Types whose rows a CPU with AVX2 or AVX-512 copies into another layout at the start, same size
  // (ggml/src/ggml-cpu/repack.cpp); --no-repack leaves them in the file's.
  std::vector<std::string> llama_repacked_types = {"Q4_0", "Q4_K", "Q2_K", "IQ4_NL"};
};

}  // namespace strix::planner
