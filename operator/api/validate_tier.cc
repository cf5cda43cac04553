#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/text.h"
#include "api/validate_checks.h"
#include "base/bytes.h"

namespace strix::api::checks {

namespace {

constexpr int64_t context_tokens_min = 256;
constexpr int64_t context_tokens_max = 10485760;
constexpr int64_t weight_bytes_max = int64_t{1} << 50;
constexpr size_t name_length_max = 63;  // of a pod and a Service
constexpr size_t start_after_max = 15;

bool uses_gpu(const Tier& tier) {
  return tier.effective_accelerator() == Accelerator::Gpu;
}

std::string node_names(const StackSpec& spec) {
  std::string names;
  for (const auto& node : spec.nodes) names += (names.empty() ? "" : ", ") + quoted(node.name);
  return clipped(names, 300);
}

// A path below the model store: segments that begin with a letter or digit.
bool is_store_path(std::string_view text, size_t segments_max) {
  for (size_t segments = 1;; ++segments) {
    size_t slash = text.find('/');
    if (segments > segments_max || !is_word(text.substr(0, slash), "._-")) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_gguf(std::string_view text) {
  constexpr std::string_view suffix = ".gguf";
  return text.size() > suffix.size() && text.size() <= 256 && is_store_path(text, 32) &&
         text.substr(text.size() - suffix.size()) == suffix;
}

void rope_scaling(const TierSubject& subject, const RopeScaling& rope, Findings& findings) {
  std::string path = subject.path + ".model.ropeScaling";
  if (rope.factor_milli < 1000 || rope.factor_milli > 64000)
    findings.add(path + ".factor", "must be 1 to 64");
  range(path + ".originalContextLength", rope.original_context_length, context_tokens_min, context_tokens_max,
        findings);
  constexpr int64_t theta_max = 1'000'000'000'000;
  if (rope.theta) range(path + ".theta", *rope.theta, 1, theta_max, findings);
}

}  // namespace

void tier_name(const TierSubject& subject, Findings& findings) {
  const std::string& name = subject.tier.name;
  if (!is_tier_name(name)) {
    findings.add(
        subject.path + ".name",
        fmt::format("{} must be 1 to 30 lower-case letters and digits, beginning with a letter and no "
                    "hyphen",
                    quoted(name)));
    return;
  }
  const std::string& stack = subject.stack.metadata.name;
  if (stack.size() + 1 + name.size() > name_length_max)
    findings.add(subject.path + ".name",
                 fmt::format("the tier's pod would be called {}-{}, which has {} characters; at most {} are "
                             "allowed: shorten metadata.name or the tier's name",
                             clipped(stack, 80), name, stack.size() + 1 + name.size(), name_length_max));
}

void tier_node(const TierSubject& subject, Findings& findings) {
  if (subject.node || subject.stack.spec.nodes.empty()) return;
  if (subject.tier.node.empty()) {
    findings.add(subject.path + ".node",
                 fmt::format("is required where spec.nodes has several entries; name one of {}",
                             node_names(subject.stack.spec)));
  } else {
    findings.add(subject.path + ".node",
                 fmt::format("{} is not in spec.nodes; name one of {}", quoted(subject.tier.node),
                             node_names(subject.stack.spec)));
  }
}

void tier_model(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  const Model& model = tier.model;
  std::string path = subject.path + ".model";
  if (model.repository.empty() == model.file.empty()) {
    findings.add(path, "set exactly one of repository (for vllm) and file (for llamacpp)");
    return;
  }
  if (tier.engine == Engine::Vllm && model.repository.empty())
    findings.add(path + ".repository",
                 "is required for engine vllm; name a folder of the model store, or use llamacpp");
  if (tier.engine == Engine::LlamaCpp && model.file.empty())
    findings.add(path + ".file",
                 "is required for engine llamacpp; name a GGUF file of the model store, or use vllm");
  if (!model.repository.empty() && (!is_store_path(model.repository, 2) || model.repository.size() > 200))
    findings.add(path + ".repository",
                 fmt::format("{} is not the name of a model on the hub, such as Qwen/Qwen2.5-14B-Instruct",
                             quoted(model.repository)));
  if (!model.file.empty() && !is_gguf(model.file))
    findings.add(path + ".file",
                 fmt::format("{} must be the path of a .gguf file below the model store, of letters, "
                             "digits, '.', '_' and '-'",
                             quoted(model.file)));
  if (model.rope_scaling) rope_scaling(subject, *model.rope_scaling, findings);
}

void tier_facts(const TierSubject& subject, Findings& findings) {
  if (!subject.tier.model.facts) return;
  const DeclaredFacts& facts = *subject.tier.model.facts;
  std::string path = subject.path + ".model.facts";
  auto number = [&](const char* name, const std::optional<int64_t>& value, int64_t low, int64_t high) {
    if (value) range(path + "." + name, *value, low, high, findings);
  };
  number("layers", facts.layers, 1, 1024);
  number("kvHeads", facts.kv_heads, 1, 1024);
  number("headDim", facts.head_dim, 1, 8192);
  number("slidingLayers", facts.sliding_layers, 1, 1024);
  number("slidingWindow", facts.sliding_window_tokens, 1, context_tokens_max);
  number("weightBytes", facts.weight_bytes, 1, weight_bytes_max);
  number("contextLength", facts.context_length_tokens, context_tokens_min, context_tokens_max);
  bool whole = facts.layers.has_value() == facts.kv_heads.has_value() &&
               facts.layers.has_value() == facts.head_dim.has_value();
  if (!whole) findings.add(path, "layers, kvHeads and headDim belong together; set all three or none");
  bool sliding = facts.sliding_layers.has_value();
  if (sliding != facts.sliding_window_tokens.has_value() ||
      (sliding && (!facts.layers || *facts.sliding_layers > *facts.layers)))
    findings.add(path,
                 "slidingLayers and slidingWindow belong together, and slidingLayers is a part of layers");
}

void tier_speculative(const TierSubject& subject, Findings& findings) {
  if (!subject.tier.speculative) return;
  const Speculative& speculative = *subject.tier.speculative;
  std::string path = subject.path + ".speculative";
  range(path + ".tokens", speculative.tokens, 1, 16, findings);
  if (speculative.model.empty()) return;
  bool llama = subject.tier.engine == Engine::LlamaCpp;
  if (speculative.model.size() > 256 || !is_store_path(speculative.model, 32))
    findings.add(path + ".model", fmt::format("{} is not the name of a model below the model store",
                                              quoted(speculative.model)));
  else if (is_gguf(speculative.model) != llama)
    findings.add(path + ".model",
                 fmt::format("{} is no model for engine {}; name {}", quoted(speculative.model),
                             to_string(subject.tier.engine), llama ? "a GGUF file" : "a repository"));
}

void tier_context(const TierSubject& subject, Findings& findings) {
  if (subject.tier.context_length_auto) return;
  int64_t tokens = subject.tier.context_length_tokens;
  std::string path = subject.path + ".contextLength";
  range(path, tokens, context_tokens_min, context_tokens_max, findings);
  if (tokens > context_tokens_max || !subject.tier.model.rope_scaling) return;
  const RopeScaling& rope = *subject.tier.model.rope_scaling;
  auto stretched = rope.stretched_tokens();
  if (stretched && tokens > *stretched)
    findings.add(
        path,
        fmt::format("{} is more than ropeScaling reaches ({} x {} = {}); lower it, or raise the factor",
                    tokens, rope.original_context_length, format_fraction(rope.factor_milli), *stretched));
}

void tier_memory(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  std::string path = subject.path + ".memory.gpuFraction";
  if (tier.gpu_fraction_milli && tier.kv_cache_bytes)
    findings.add(subject.path + ".memory",
                 "set at most one of gpuFraction and kvCache; the other follows from it");
  if (!uses_gpu(tier) && tier.engine == Engine::LlamaCpp && tier.gpu_fraction_milli)
    findings.add(path,
                 "has no meaning for a llamacpp tier on the CPU; remove it: what the tier takes follows from "
                 "its model and contextLength");
  if (tier.kv_cache_bytes && *tier.kv_cache_bytes <= 0)
    findings.add(subject.path + ".memory.kvCache", "must be more than 0, such as 12Gi");
  if (tier.gpu_fraction_milli && (*tier.gpu_fraction_milli < 10 || *tier.gpu_fraction_milli > 1000))
    findings.add(path, "must be 0.01 to 1");
  if (!tier.kv_cache_type.empty() && (tier.kv_cache_type.size() > 32 || !is_word(tier.kv_cache_type, "_")))
    findings.add(subject.path + ".memory.kvCacheType",
                 fmt::format("{} is not a type such as auto, fp8 or q8_0", quoted(tier.kv_cache_type)));
}

void tier_devices(const TierSubject& subject, Findings& findings) {
  if (!subject.node || subject.node->devices || !uses_gpu(subject.tier)) return;
  findings.add(fmt::format("spec.nodes[{}].devices", clipped(subject.node->name, 63)),
               fmt::format("is required because tier {} uses the GPU; say how pods get it, or set the tier's "
                           "accelerator to None",
                           quoted(subject.tier.name)));
}

void tier_engine_only(const TierSubject& subject, Findings& findings) {
  const Tier& tier = subject.tier;
  if (tier.engine == Engine::Vllm) return;
  auto refuse = [&](bool set, const char* field) {
    if (set) findings.add(subject.path + "." + field, "is for engine vllm; remove it");
  };
  refuse(!tier.quantization.empty(), "quantization");
  refuse(!tier.tool_call_parser.empty(), "toolCallParser");
  refuse(tier.enforce_eager, "enforceEager");
}

void tier_start_after(const TierSubject& subject, Findings& findings) {
  const auto& names = subject.tier.start_after;
  std::string path = subject.path + ".startAfter";
  if (names.size() > start_after_max)
    findings.add(path, fmt::format("has {} entries; at most {} are allowed", names.size(), start_after_max));
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size())
    findings.add(path, "names a tier twice; remove one");
  for (const auto& name : names) {
    if (name == subject.tier.name) {
      findings.add(path, "names the tier itself; remove it");
      continue;
    }
    const auto& tiers = subject.stack.spec.tiers;
    bool known = std::any_of(tiers.begin(), tiers.end(), [&](const Tier& tier) { return tier.name == name; });
    if (!known)
      findings.add(path, fmt::format("{} is not a tier of this stack; name tiers of spec.tiers, or remove it",
                                     quoted(name)));
  }
}

}  // namespace strix::api::checks
