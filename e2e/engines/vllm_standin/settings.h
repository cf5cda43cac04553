// Why this file exists: a product passes vLLM's command line and knows nothing of the stand-in, so
// vLLM's flags must behave as vLLM's do, refusals included; and a test needs knobs that the product
// never sees, so those are environment variables.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json.h"

namespace standin {

struct Options {
  std::string model;
  std::vector<std::string> served_names;  // never empty
  std::string host = "0.0.0.0";
  int port = 8000;
  std::optional<int64_t> max_model_len;  // missing: the model's own; -1: auto
  double utilization = 0.92;
  std::optional<int64_t> kv_cache_memory_bytes;
  std::optional<int64_t> max_num_seqs, max_num_batched_tokens, num_gpu_blocks_override;
  int64_t tensor_parallel_size = 1;
  int64_t block_size = 0;  // 0: the platform's
  bool prefix_caching = true, enforce_eager = false, auto_tool_choice = false;
  std::string dtype = "auto", kv_cache_dtype = "auto", quantization, tool_call_parser, load_format = "auto";
  std::vector<std::string> api_keys;
  Json hf_overrides;
  std::string not_default;  // as vLLM prints it: a Python dict of what was given
};

// What a test sets; the README lists them.
struct Knobs {
  double load_seconds = 2.0;
  double token_milliseconds = 5;
  std::string pool_path;
  std::optional<uint64_t> pool_bytes, weight_bytes, overhead_bytes;
  uint64_t graph_bytes = 0, host_bytes = 0;
  double release_seconds = 1.0;
  bool ignore_term_while_loading = false;
  std::string device;
  bool gpu = true;  // the texts of the GPU build, or of the CPU build
  std::string die, control, version = "0.32.0";
  bool any_model = false;

  static Knobs FromEnvironment();
  bool Before(int major, int minor) const;  // version < major.minor
};

// "64k" = 64,000, "64K" = 65,536 and "1.5G", as vLLM's human_readable_int. Nothing where it is no number.
std::optional<int64_t> HumanReadable(const std::string& text);
// "8Gi", "512Mi", or what HumanReadable takes.
std::optional<uint64_t> Bytes(const std::string& text);

// The arguments after "serve". Ends the process with 2 and argparse's words where they are wrong.
Options ParseServe(const std::vector<std::string>& arguments, const Knobs& knobs);
[[noreturn]] void UsageError(const std::string& program, const std::string& message);

// A float as Python's repr prints it: 0.9, 1.0.
std::string PythonFloat(double value);

}  // namespace standin
