// Why this file exists: see settings.h. argparse's habits are kept where a product can meet them:
// `--flag value` and `--flag=value`, underscores for dashes, unique prefixes (which is how the
// `--kv-cache-memory=` that vLLM's own log suggests comes to work), exit code 2.
#include "settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

namespace standin {
namespace {

enum class Takes { kNothing, kText, kInt, kHuman, kFloat, kJson, kTexts };

struct Flag {
  const char* name;
  Takes takes;
};

// The flags of vLLM that somebody who serves one model on one machine passes. Not all of its 200: one
// that is missing here fails loudly as unknown, which is the right way round for a test.
constexpr Flag kFlags[] = {
    {"--model", Takes::kText},
    {"--host", Takes::kText},
    {"--port", Takes::kInt},
    {"--uds", Takes::kText},
    {"--served-model-name", Takes::kTexts},
    {"--max-model-len", Takes::kHuman},
    {"--gpu-memory-utilization", Takes::kFloat},
    {"--kv-cache-memory-bytes", Takes::kHuman},
    {"--max-num-seqs", Takes::kHuman},
    {"--max-num-batched-tokens", Takes::kHuman},
    {"--max-num-partial-prefills", Takes::kInt},
    {"--max-logprobs", Takes::kInt},
    {"--num-gpu-blocks-override", Takes::kInt},
    {"--enable-prefix-caching", Takes::kNothing},
    {"--no-enable-prefix-caching", Takes::kNothing},
    {"--prefix-caching-hash-algo", Takes::kText},
    {"--enable-chunked-prefill", Takes::kNothing},
    {"--no-enable-chunked-prefill", Takes::kNothing},
    {"--async-scheduling", Takes::kNothing},
    {"--no-async-scheduling", Takes::kNothing},
    {"--enforce-eager", Takes::kNothing},
    {"--no-enforce-eager", Takes::kNothing},
    {"--dtype", Takes::kText},
    {"--quantization", Takes::kText},
    {"--kv-cache-dtype", Takes::kText},
    {"--calculate-kv-scales", Takes::kNothing},
    {"--cpu-offload-gb", Takes::kFloat},
    {"--kv-offloading-size", Takes::kFloat},
    {"--kv-offloading-backend", Takes::kText},
    {"--tensor-parallel-size", Takes::kInt},
    {"--pipeline-parallel-size", Takes::kInt},
    {"--data-parallel-size", Takes::kInt},
    {"--distributed-executor-backend", Takes::kText},
    {"--hf-overrides", Takes::kJson},
    {"--hf-config-path", Takes::kText},
    {"--hf-token", Takes::kText},
    {"--override-generation-config", Takes::kJson},
    {"--default-chat-template-kwargs", Takes::kJson},
    {"--limit-mm-per-prompt", Takes::kJson},
    {"--compilation-config", Takes::kJson},
    {"--additional-config", Takes::kJson},
    {"--speculative-config", Takes::kJson},
    {"--enable-auto-tool-choice", Takes::kNothing},
    {"--tool-call-parser", Takes::kText},
    {"--tool-parser-plugin", Takes::kText},
    {"--reasoning-parser", Takes::kText},
    {"--chat-template", Takes::kText},
    {"--chat-template-content-format", Takes::kText},
    {"--attention-backend", Takes::kText},
    {"--moe-backend", Takes::kText},
    {"--load-format", Takes::kText},
    {"--safetensors-load-strategy", Takes::kText},
    {"--block-size", Takes::kInt},
    {"--api-key", Takes::kTexts},
    {"--generation-config", Takes::kText},
    {"--seed", Takes::kInt},
    {"--download-dir", Takes::kText},
    {"--trust-remote-code", Takes::kNothing},
    {"--no-trust-remote-code", Takes::kNothing},
    {"--tokenizer", Takes::kText},
    {"--tokenizer-mode", Takes::kText},
    {"--revision", Takes::kText},
    {"--runner", Takes::kText},
    {"--task", Takes::kText},
    {"--enable-sleep-mode", Takes::kNothing},
    {"--disable-hybrid-kv-cache-manager", Takes::kNothing},
    {"--language-model-only", Takes::kNothing},
    {"--disable-log-stats", Takes::kNothing},
    {"--enable-log-requests", Takes::kNothing},
    {"--no-enable-log-requests", Takes::kNothing},
    {"--disable-log-requests", Takes::kNothing},
    {"--max-log-len", Takes::kInt},
    {"--uvicorn-log-level", Takes::kText},
    {"--disable-uvicorn-access-log", Takes::kNothing},
    {"--disable-access-log-for-endpoints", Takes::kText},
    {"--enable-server-load-tracking", Takes::kNothing},
    {"--enable-prompt-tokens-details", Takes::kNothing},
    {"--enable-force-include-usage", Takes::kNothing},
    {"--enable-request-id-headers", Takes::kNothing},
    {"--root-path", Takes::kText},
    {"--allowed-origins", Takes::kText},
    {"--shutdown-timeout", Takes::kInt},
};
// Removed in 2026-03, so images before 0.17 take it and later ones die of it.
constexpr Flag kSwapSpace = {"--swap-space", Takes::kFloat};

const std::map<std::string, std::string> kShort = {
    {"-tp", "--tensor-parallel-size"}, {"-pp", "--pipeline-parallel-size"}, {"-dp", "--data-parallel-size"},
    {"-q", "--quantization"},          {"-sc", "--speculative-config"},     {"-cc", "--compilation-config"},
    {"-O", "--compilation-config"},
};

std::string Environment(const char* name, const std::string& otherwise = "") {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

double EnvironmentNumber(const char* name, double otherwise) {
  const std::string text = Environment(name);
  if (text.empty()) return otherwise;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end == '\0' && value >= 0) return value;
  std::fprintf(stderr, "stand-in: %s=%s is no number\n", name, text.c_str());
  std::exit(64);
}

std::optional<uint64_t> EnvironmentBytes(const char* name) {
  const std::string text = Environment(name);
  if (text.empty()) return std::nullopt;
  const auto value = Bytes(text);
  if (value) return value;
  std::fprintf(stderr, "stand-in: %s=%s is no number of bytes\n", name, text.c_str());
  std::exit(64);
}

bool EnvironmentFlag(const char* name) {
  const std::string text = Environment(name);
  return text == "1" || text == "true";
}

std::vector<std::string> Split(const std::string& text, char at) {
  std::vector<std::string> out;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(at, start), text.size());
    if (end > start) out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

}  // namespace

Knobs Knobs::FromEnvironment() {
  Knobs knobs;
  knobs.load_seconds = EnvironmentNumber("STRIX_STANDIN_LOAD_SECONDS", knobs.load_seconds);
  knobs.token_milliseconds = EnvironmentNumber("STRIX_STANDIN_TOKEN_MILLISECONDS", knobs.token_milliseconds);
  knobs.pool_path = Environment("STRIX_STANDIN_POOL");
  knobs.pool_bytes = EnvironmentBytes("STRIX_STANDIN_POOL_BYTES");
  knobs.weight_bytes = EnvironmentBytes("STRIX_STANDIN_WEIGHT_BYTES");
  knobs.overhead_bytes = EnvironmentBytes("STRIX_STANDIN_OVERHEAD_BYTES");
  knobs.graph_bytes = EnvironmentBytes("STRIX_STANDIN_GRAPH_BYTES").value_or(0);
  knobs.release_seconds = EnvironmentNumber("STRIX_STANDIN_RELEASE_SECONDS", knobs.release_seconds);
  knobs.ignore_term_while_loading = EnvironmentFlag("STRIX_STANDIN_IGNORE_TERM_WHILE_LOADING");
  knobs.device = Environment("STRIX_STANDIN_DEVICE");
  knobs.gpu = Environment("STRIX_STANDIN_BUILD", "gpu") != "cpu";
  // What the API server and the core hold is of the CPU build's own pool; a GPU's knows nothing of it.
  knobs.host_bytes = EnvironmentBytes("STRIX_STANDIN_HOST_BYTES").value_or(knobs.gpu ? 0 : 1ull << 30);
  knobs.die = Environment("STRIX_STANDIN_DIE");
  knobs.control = Environment("STRIX_STANDIN_CONTROL");
  knobs.version = Environment("STRIX_STANDIN_VERSION", knobs.version);
  knobs.any_model = EnvironmentFlag("STRIX_STANDIN_ANY_MODEL");
  return knobs;
}

bool Knobs::Before(int major, int minor) const {
  int have_major = 0, have_minor = 0;
  std::sscanf(version.c_str(), "%d.%d", &have_major, &have_minor);
  return have_major < major || (have_major == major && have_minor < minor);
}

std::optional<int64_t> HumanReadable(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(value)) return std::nullopt;
  const std::string unit(end);
  if (unit.empty()) {
    if (value != std::floor(value)) return std::nullopt;
    return static_cast<int64_t>(value);
  }
  static const std::map<std::string, double> kUnits = {
      {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12},
      {"K", 1024.0}, {"M", 1048576.0}, {"G", 1073741824.0}, {"T", 1099511627776.0},
  };
  const auto found = kUnits.find(unit);
  if (found == kUnits.end()) return std::nullopt;
  return static_cast<int64_t>(value * found->second);
}

std::optional<uint64_t> Bytes(const std::string& text) {
  std::string head = text;
  if (head.size() > 2 && head.back() == 'i') {
    head.pop_back();
    if (head.back() == 'k') return std::nullopt;
  }
  const auto value = HumanReadable(head);
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::string PythonFloat(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string out(text, end);
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

void UsageError(const std::string& program, const std::string& message) {
  if (program == "vllm") {
    std::fputs(
        "usage: vllm [-h] [-v]\n"
        "            {chat,complete,serve,launch,bench,collect-env,download-kernels,preload,run-batch,snapshot}\n"
        "            ...\n",
        stderr);
  } else {
    std::fprintf(stderr, "usage: %s [model_tag] [options]\n", program.c_str());
  }
  std::fprintf(stderr, "%s: error: %s\n", program.c_str(), message.c_str());
  std::exit(2);
}

Options ParseServe(const std::vector<std::string>& arguments, const Knobs& knobs) {
  std::vector<Flag> flags(std::begin(kFlags), std::end(kFlags));
  if (knobs.Before(0, 17)) flags.push_back(kSwapSpace);
  // A test of the flag tables of a product takes flags away that this version really has.
  for (const std::string& gone : Split(Environment("STRIX_STANDIN_REJECT_FLAGS"), ','))
    std::erase_if(flags, [&](const Flag& flag) { return gone == flag.name; });

  Options options;
  if (knobs.Before(0, 20)) options.utilization = 0.9;
  std::string unrecognized, given;
  auto note = [&](const std::string& key, const std::string& python) { given += (given.empty() ? "" : ", ") + ("'" + key + "': ") + python; };
  auto text_of = [](const std::string& value) { return "'" + value + "'"; };

  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.empty() || argument[0] != '-' || argument == "-") {
      if (options.model.empty()) {
        options.model = argument;
        note("model_tag", text_of(argument));
      } else {
        unrecognized += " " + argument;
      }
      continue;
    }
    std::string name = argument, value;
    bool has_value = false;
    if (const size_t equals = argument.find('='); equals != std::string::npos) {
      name = argument.substr(0, equals);
      value = argument.substr(equals + 1);
      has_value = true;
    }
    if (const auto found = kShort.find(name); found != kShort.end()) name = found->second;
    std::string dashed = name;
    if (dashed.rfind("--", 0) == 0) std::replace(dashed.begin(), dashed.end(), '_', '-');

    const Flag* flag = nullptr;
    std::string candidates;
    int matches = 0;
    for (const Flag& candidate : flags) {
      if (dashed == candidate.name) {
        flag = &candidate;
        matches = 1;
        break;
      }
      if (dashed.size() > 2 && std::string(candidate.name).rfind(dashed, 0) == 0) {
        flag = &candidate;
        candidates += (matches++ ? ", " : "") + std::string(candidate.name);
      }
    }
    if (matches > 1) UsageError("vllm serve", "ambiguous option: " + name + " could match " + candidates);
    if (!flag) {
      // argparse reports what follows an unknown flag too, up to the next flag.
      unrecognized += " " + argument;
      while (!has_value && !options.model.empty() && i + 1 < arguments.size() && arguments[i + 1].rfind('-', 0) != 0) unrecognized += " " + arguments[++i];
      continue;
    }
    const std::string is = flag->name;
    std::vector<std::string> values;
    if (flag->takes == Takes::kNothing) {
      if (has_value) UsageError("vllm serve", "argument " + is + ": ignored explicit argument '" + value + "'");
    } else {
      if (has_value) {
        values.push_back(value);
      } else {
        auto is_value = [&](const std::string& next) { return next.empty() || next[0] != '-' || next == "-1"; };
        while (i + 1 < arguments.size() && is_value(arguments[i + 1]) && (values.empty() || flag->takes == Takes::kTexts)) values.push_back(arguments[++i]);
      }
      if (values.empty()) UsageError("vllm serve", "argument " + is + ": expected " + (flag->takes == Takes::kTexts ? "at least one argument" : "one argument"));
      value = values[0];
    }

    std::string key = is.substr(2);
    std::replace(key.begin(), key.end(), '-', '_');
    int64_t number = 0;
    double real = 0;
    std::optional<Json> json;
    switch (flag->takes) {
      case Takes::kInt:
      case Takes::kFloat: {
        char* end = nullptr;
        real = std::strtod(value.c_str(), &end);
        const bool whole = value.find_first_of(".eE") == std::string::npos;
        if (value.empty() || *end != '\0' || (flag->takes == Takes::kInt && !whole)) UsageError("vllm serve", "argument " + is + ": invalid " + (flag->takes == Takes::kInt ? "int" : "float") + " value: '" + value + "'");
        number = static_cast<int64_t>(real);
        note(key, flag->takes == Takes::kInt ? std::to_string(number) : PythonFloat(real));
        break;
      }
      case Takes::kHuman: {
        const auto parsed = is == "--max-model-len" && value == "auto" ? std::optional<int64_t>(-1) : HumanReadable(value);
        if (!parsed) UsageError("vllm serve", "argument " + is + ": invalid " + (is == "--max-model-len" ? "human_readable_int_or_auto" : "human_readable_int") + " value: '" + value + "'");
        number = *parsed;
        note(key, std::to_string(number));
        break;
      }
      case Takes::kJson:
        json = Json::Parse(value);
        if (!json || json->kind != Json::Kind::kObject) UsageError("vllm serve", "argument " + is + ": Value " + value + " cannot be converted to <function loads>.");
        note(key, value);
        break;
      case Takes::kTexts: {
        std::string list;
        for (const std::string& one : values) list += (list.empty() ? "" : ", ") + text_of(one);
        if (is != "--api-key") note(key, "[" + list + "]");
        break;
      }
      case Takes::kText: note(key, text_of(value)); break;
      case Takes::kNothing: note(is.rfind("--no-", 0) == 0 ? key.substr(3) : key, is.rfind("--no-", 0) == 0 ? "False" : "True"); break;
    }

    if (is == "--model") options.model = value;
    else if (is == "--host") options.host = value;
    else if (is == "--port") options.port = static_cast<int>(number);
    else if (is == "--served-model-name") options.served_names = values;
    else if (is == "--max-model-len") options.max_model_len = number;
    else if (is == "--gpu-memory-utilization") options.utilization = real;
    else if (is == "--kv-cache-memory-bytes") options.kv_cache_memory_bytes = number;
    else if (is == "--max-num-seqs") options.max_num_seqs = number;
    else if (is == "--max-num-batched-tokens") options.max_num_batched_tokens = number;
    else if (is == "--num-gpu-blocks-override") options.num_gpu_blocks_override = number;
    else if (is == "--tensor-parallel-size") options.tensor_parallel_size = number;
    else if (is == "--block-size") options.block_size = number;
    else if (is == "--enable-prefix-caching") options.prefix_caching = true;
    else if (is == "--no-enable-prefix-caching") options.prefix_caching = false;
    else if (is == "--enforce-eager") options.enforce_eager = true;
    else if (is == "--no-enforce-eager") options.enforce_eager = false;
    else if (is == "--enable-auto-tool-choice") options.auto_tool_choice = true;
    else if (is == "--tool-call-parser") options.tool_call_parser = value;
    else if (is == "--dtype") options.dtype = value;
    else if (is == "--kv-cache-dtype") options.kv_cache_dtype = value;
    else if (is == "--quantization") options.quantization = value;
    else if (is == "--load-format") options.load_format = value;
    else if (is == "--api-key") options.api_keys = values;
    else if (is == "--hf-overrides") options.hf_overrides = *json;
  }
  if (!unrecognized.empty()) UsageError("vllm", "unrecognized arguments:" + unrecognized);
  if (options.utilization <= 0 || options.utilization > 1) UsageError("vllm serve", "argument --gpu-memory-utilization: Input should be greater than 0 and less than or equal to 1");
  if (options.port < 0 || options.port > 65535) UsageError("vllm serve", "argument --port: invalid port");
  if (options.model.empty()) options.model = "Qwen/Qwen3-0.6B";
  if (options.served_names.empty()) options.served_names = {options.model};
  if (options.api_keys.empty())
    if (const std::string key = Environment("VLLM_API_KEY"); !key.empty()) options.api_keys = {key};
  options.not_default = "{" + given + "}";
  return options;
}

}  // namespace standin
