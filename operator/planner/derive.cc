#include "planner/derive.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "planner/checked.h"
#include "planner/words.h"

namespace strix::planner {
namespace {

Finding error(const api::Tier& tier, FindingCode code, std::string message) {
  return {.code = code,
          .severity = Severity::Error,
          .tier = tier.name,
          .node = {},
          .message = std::move(message)};
}

std::string model_name(const api::Tier& tier) {
  return tier.model.repository.empty() ? tier.model.file : tier.model.repository;
}

// "gpuMemory" is what people know it by; the CPU build of vLLM takes its fraction from unifiedMemory.
std::string fraction_of_text(const Subject& subject, int milli) {
  return fmt::format("gpuFraction {} of {} GiB is {}", format_fraction(milli),
                     gib_number(subject.device_bytes),
                     gib_number(fraction_bytes(subject.device_bytes, milli)));
}

// What the tier has for its cache, and in what words that was given.
struct Budget {
  std::optional<int64_t> request_bytes;  // everything that the fraction covers; absent: open
  std::optional<int64_t> cache_bytes;    // absent: open
};

Budget budget_of(const Subject& subject) {
  const api::Tier& tier = subject.tier;
  Budget budget;
  bool has_fraction = subject.is_vllm() || subject.on_gpu();
  if (tier.gpu_fraction_milli && has_fraction)
    budget.request_bytes = fraction_bytes(subject.device_bytes, *tier.gpu_fraction_milli);
  if (tier.kv_cache_bytes) budget.cache_bytes = *tier.kv_cache_bytes;
  return budget;
}

bool within(const Budget& budget, const Footprint& parts) {
  if (budget.request_bytes && parts.request_bytes() > *budget.request_bytes) return false;
  return !budget.cache_bytes || parts.kv_bytes <= *budget.cache_bytes;
}

// The largest context on the grid for which the tier stays within its budget; 0: none.
int64_t largest_within(const Subject& subject, const Budget& budget, int64_t most_tokens) {
  auto fits = [&](int64_t steps) {
    auto parts = footprint(subject, steps * context_grid_tokens);
    return parts && within(budget, *parts);
  };
  return largest_that(most_tokens / context_grid_tokens, fits) * context_grid_tokens;
}

std::string context_way_out(int64_t tokens) {
  return tokens > 0 ? fmt::format("contextLength {}", tokens) : std::string();
}

std::string ways_out(const std::string& first, const std::string& second) {
  if (first.empty() && second.empty()) return "No contextLength makes it fit: give it a smaller model.";
  if (first.empty() || second.empty()) return "It fits with " + first + second + ".";
  return "It fits with " + first + ", or with " + second + ".";
}

Finding too_small(const Subject& subject, const Budget& budget, const Footprint& parts, int64_t context) {
  const api::Tier& tier = subject.tier;
  std::string lower = context_way_out(std::min(largest_within(subject, budget, context), context));
  if (budget.request_bytes && parts.request_bytes() > *budget.request_bytes) {
    auto milli = smallest_fraction_milli(subject.device_bytes, parts.request_bytes());
    std::string more = milli ? "gpuFraction " + format_fraction(*milli) : std::string();
    Footprint asked = parts;  // only what the fraction has to cover
    asked.graph_bytes = asked.host_bytes = asked.output_bytes = asked.repacked_bytes = 0;
    asked.prompt_cache_bytes = asked.checkpoint_bytes = 0;
    return error(
        tier, FindingCode::FractionTooSmall,
        fmt::format("{} needs {} ({}), but {}: {}. {}", tier.name, gib_text(parts.request_bytes()),
                    parts_text(asked, context), fraction_of_text(subject, *tier.gpu_fraction_milli),
                    short_text(parts.request_bytes() - *budget.request_bytes), ways_out(more, lower)));
  }
  int64_t mebibytes = ceil_divide(parts.kv_bytes, mib);
  return error(tier, FindingCode::KvCacheTooSmall,
               fmt::format("{} needs {} of KV cache for {} tokens, but memory.kvCache is {}: {}. {}",
                           tier.name, gib_text(parts.kv_bytes), context, gib_text(*budget.cache_bytes),
                           short_text(parts.kv_bytes - *budget.cache_bytes),
                           ways_out(fmt::format("memory.kvCache {}Mi", mebibytes), lower)));
}

std::optional<Finding> beyond_model(const Subject& subject, std::optional<int64_t> most) {
  const api::Tier& tier = subject.tier;
  if (tier.context_length_auto || !most || tier.context_length_tokens <= *most) return std::nullopt;
  std::string way_out;
  if (tier.model.rope_scaling) {
    way_out = fmt::format("Lower contextLength to {}, or raise ropeScaling.factor.", *most);
  } else {
    int64_t factor = ceil_divide(tier.context_length_tokens, std::max<int64_t>(*most, 1));
    bool needs_theta = subject.is_vllm() && !subject.facts.rope_theta;
    way_out = fmt::format(
        "Lower contextLength to {}, or set model.ropeScaling to {{type: yarn, factor: {}, "
        "originalContextLength: {}{}}}.",
        *most, factor, *most, needs_theta ? ", theta: rope_theta of its config.json" : "");
  }
  // A row of the catalogue may stand for a later model of the same name.
  bool by_catalogue = subject.facts.source.find("catalogue: ") != std::string::npos;
  bool declared = tier.model.facts && tier.model.facts->context_length_tokens;
  if (by_catalogue && !declared && !tier.model.rope_scaling)
    way_out += fmt::format(
        " That {} is the catalogue's: where the model's own files say more, write it in "
        "model.facts.contextLength.",
        *most);
  return error(tier, FindingCode::ContextBeyondModel,
               fmt::format("{} asks for {} tokens, but {} ends at {}{}: {} too many. {}", tier.name,
                           tier.context_length_tokens, model_name(tier), *most,
                           tier.model.rope_scaling ? " with its ropeScaling" : "",
                           tier.context_length_tokens - *most, way_out));
}

// vLLM's override of the scaling replaces the whole of rope_parameters, and with it the model's base
// (vllm/config/model.py, _apply_dict_overrides): a class of models may then take another one for it, and
// answers garbage. llama.cpp reads it from the GGUF.
std::optional<int64_t> rope_theta(const api::Tier& tier, const models::ModelFacts* facts) {
  if (tier.engine != api::Engine::Vllm || !tier.model.rope_scaling) return std::nullopt;
  if (tier.model.rope_scaling->theta || !facts) return tier.model.rope_scaling->theta;
  return facts->rope_theta;
}

std::optional<Finding> rope_theta_missing(const api::Tier& tier, const models::ModelFacts* facts) {
  if (tier.engine != api::Engine::Vllm || !tier.model.rope_scaling || rope_theta(tier, facts))
    return std::nullopt;
  return error(
      tier, FindingCode::RopeThetaUnknown,
      fmt::format("{} has a ropeScaling, for which vLLM has to be told the rope_theta of {} again, and "
                  "it is not known. Write model.ropeScaling.theta; the model's config.json has it as "
                  "rope_theta.",
                  tier.name, model_name(tier)));
}

// The first thing that keeps the cache from being computed at all.
std::optional<Finding> cache_fault(const Subject& subject) {
  const api::Tier& tier = subject.tier;
  if (!kv_shape(subject, context_grid_tokens))
    return error(tier, FindingCode::CacheTypeUnknown,
                 fmt::format("{} has kvCacheType {}, of which it is not known how many bytes it takes with "
                             "{}. Use {}.",
                             tier.name, tier.kv_cache_type, to_string(tier.engine),
                             subject.is_vllm() ? "auto or fp8" : "auto, f16 or q8_0"));
  if (footprint(subject, context_grid_tokens)) return std::nullopt;
  return error(tier, FindingCode::CacheTypeUnfit,
               fmt::format("{} cannot be computed with kvCacheType {}: the rows of this model's cache are "
                           "not whole blocks of that type, or its numbers are out of range. Use {}.",
                           tier.name, tier.kv_cache_type.empty() ? "auto" : tier.kv_cache_type,
                           subject.is_vllm() ? "auto" : "f16"));
}

int64_t chosen_context(const Subject& subject, const Budget& budget, std::optional<int64_t> most,
                       std::optional<int64_t> given) {
  const api::Tier& tier = subject.tier;
  if (!tier.context_length_auto) return tier.context_length_tokens;
  int64_t limit = most.value_or(least_useful_context_tokens) / context_grid_tokens * context_grid_tokens;
  if (grows_into_the_rest(tier)) return std::min(given.value_or(least_useful_context_tokens), limit);
  return largest_within(subject, budget, limit);
}

void set_claim(const Subject& subject, const Budget& budget, Figures& figures) {
  const Footprint& parts = figures.footprint;
  // A declared fraction is taken whole: vLLM puts what is left of it into its cache. A derived one only has
  // to be large enough to pass the engine's check; the cache is pinned, and no more is used.
  int64_t request = parts.request_bytes();
  if (subject.is_vllm() && budget.cache_bytes) request += *budget.cache_bytes - parts.kv_bytes;
  auto milli = subject.tier.gpu_fraction_milli;
  if (budget.request_bytes) {
    request = *budget.request_bytes;
  } else {
    milli = subject.is_vllm() || subject.on_gpu() ? smallest_fraction_milli(subject.device_bytes, request)
                                                  : std::nullopt;
    if (milli && subject.is_vllm() && !subject.constants.vllm_pins_kv_cache)
      request = fraction_bytes(subject.device_bytes, *milli);
  }
  figures.effective.fraction_milli = milli;
  if (subject.is_vllm() && subject.constants.vllm_pins_kv_cache)
    figures.effective.kv_bytes = request - (parts.request_bytes() - parts.kv_bytes - parts.spare_bytes);
  int64_t beside = parts.beside_bytes();
  if (subject.on_gpu()) {
    figures.claim.gpu = true;
    figures.claim.gpu_fraction_milli = milli.value_or(0);
    figures.claim.gpu_bytes = std::min(request + parts.graph_bytes, bytes_most);
    figures.claim.host_bytes = beside;
  } else {
    figures.claim.host_bytes = std::min(request + parts.graph_bytes + beside, bytes_most);
  }
  // What the author reserves beyond what we count is believed; less is not.
  if (!subject.tier.requests.memory.empty())
    if (auto declared = parse_quantity(subject.tier.requests.memory))
      figures.claim.host_bytes = std::max(*figures.claim.host_bytes, std::min(*declared, bytes_most));
}

// What the cache that it is given holds in requests of full length.
void set_cache(const Subject& subject, Figures& figures) {
  const Footprint& parts = figures.footprint;
  int64_t context = figures.effective.context_tokens;
  if (figures.effective.kv_bytes && parts.kv_bytes > 0) {
    int64_t usable = *figures.effective.kv_bytes - parts.spare_bytes;
    auto hundred = checked_multiply(usable, 100);
    figures.concurrency_hundredths = hundred ? *hundred / parts.kv_bytes : 0;
    auto tokens = checked_multiply(usable, context);
    figures.kv_tokens = tokens ? *tokens / parts.kv_bytes : 0;
  }
  if (!subject.is_vllm()) figures.kv_tokens = context;  // one cache for all slots
}

}  // namespace

std::optional<int> smallest_fraction_milli(int64_t device_bytes, int64_t request_bytes) {
  auto fits = [&](int64_t steps) {
    return fraction_bytes(device_bytes, 1000 - steps * fraction_grid_milli) >= request_bytes;
  };
  if (!fits(0)) return std::nullopt;
  int64_t steps_most = 1000 / fraction_grid_milli - 1;  // 0.01 is the least that the API takes
  return static_cast<int>(1000 - largest_that(steps_most, fits) * fraction_grid_milli);
}

bool grows_into_the_rest(const api::Tier& tier) {
  return tier.context_length_auto && !tier.gpu_fraction_milli && !tier.kv_cache_bytes;
}

std::optional<int64_t> most_context_tokens(const api::Tier& tier, const models::ModelFacts& facts) {
  if (const auto& rope = tier.model.rope_scaling)
    if (auto stretched = rope->stretched_tokens()) return stretched;
  return facts.context_length_most_tokens;
}

Figures derive(const Subject& subject, std::optional<int64_t> context_tokens) {
  Figures figures;
  auto most = most_context_tokens(subject.tier, subject.facts);
  if ((figures.error = beyond_model(subject, most))) return figures;
  if ((figures.error = rope_theta_missing(subject.tier, &subject.facts))) return figures;
  if ((figures.error = cache_fault(subject))) return figures;
  Budget budget = budget_of(subject);
  int64_t context = chosen_context(subject, budget, most, context_tokens);
  // Nothing fits: told for the smallest that could have been.
  int64_t told = context > 0 ? context : std::min(context_grid_tokens, most.value_or(context_grid_tokens));
  auto parts = footprint(subject, told);
  if (!parts) {
    figures.error = error(subject.tier, FindingCode::TooBigForNode,
                          fmt::format("{} needs more than any machine has at {} tokens. Lower contextLength.",
                                      subject.tier.name, told));
    return figures;
  }
  figures.effective.context_tokens = told;
  figures.effective.rope_theta = rope_theta(subject.tier, &subject.facts);
  figures.footprint = *parts;
  if (!within(budget, *parts)) {
    figures.error = too_small(subject, budget, *parts, told);
    return figures;
  }
  set_claim(subject, budget, figures);
  if (figures.effective.kv_bytes && parts->kv_bytes > 0) {
    Budget given{.request_bytes = {}, .cache_bytes = *figures.effective.kv_bytes - parts->spare_bytes};
    figures.largest_context_tokens = largest_within(subject, given, most.value_or(told));
  }
  set_cache(subject, figures);
  figures.largest_context_tokens = std::max(figures.largest_context_tokens, told);
  return figures;
}

Figures at_smaller_context(const Subject& subject, Figures figures, int64_t context_tokens) {
  auto parts = footprint(subject, context_tokens);
  if (!parts) return figures;
  figures.effective.context_tokens = context_tokens;
  figures.footprint = *parts;
  set_cache(subject, figures);
  return figures;
}

Figures declared_figures(const api::Tier& tier, const api::NodeProfile& profile) {
  Figures figures;
  figures.effective = declared_effective(tier);
  figures.claim = declared_claim(tier, profile);
  figures.largest_context_tokens = tier.context_length_tokens;
  std::string name = model_name(tier);
  if (tier.context_length_auto)
    figures.error =
        error(tier, FindingCode::ContextUnknown,
              fmt::format("{} has contextLength auto, but nothing is known of {}. Write a number, "
                          "or what is known in model.facts.",
                          tier.name, name));
  // On the CPU, too: vLLM takes most of the machine where it is told nothing at all.
  else if (!tier.gpu_fraction_milli && (tier.effective_accelerator() == api::Accelerator::Gpu ||
                                        (tier.engine == api::Engine::Vllm && !tier.kv_cache_bytes)))
    figures.error =
        error(tier, FindingCode::FractionMissing,
              fmt::format("{} has no memory.gpuFraction, and nothing is known of {} to derive one "
                          "from. Give it a gpuFraction, or write what is known in model.facts.",
                          tier.name, name));
  else
    figures.error = rope_theta_missing(tier, nullptr);
  return figures;
}

}  // namespace strix::planner
