#include "reconcile/learn.h"

#include <map>
#include <string>

#include "planner/learned.h"
#include "reconcile/failure.h"

namespace strix::reconcile {

namespace {

// What this pass has put into status as the tier's last failure; null: nothing new.
const api::Failure* fresh_failure(const TierContext& c) {
  if (!c.current || !c.current->last_failure) return nullptr;
  const api::Failure* known = c.last && c.last->last_failure ? &*c.last->last_failure : nullptr;
  return known && known->time == c.current->last_failure->time ? nullptr : &*c.current->last_failure;
}

std::optional<api::LearnedContext> context_of(const TierContext& c) {
  if (!c.planned || !c.current) return std::nullopt;
  std::optional<api::LearnedContext> known = c.planned->learned.context;
  int64_t asked = c.effective.context_tokens;
  bool same = known && known->refused_tokens == asked;
  const api::Failure* failure = fresh_failure(c);
  if (auto estimate = failure ? context_estimate(*failure, c.diagnosis) : std::nullopt)
    return api::LearnedContext{.refused_tokens = asked,
                               .refusals = same ? known->refusals + 1 : 1,
                               .estimate_tokens = *estimate,
                               .inputs = c.planned->context_inputs};
  // It takes it after all: what was in the way is gone.
  if (same && c.current->state == state::ready) return std::nullopt;
  return known;
}

bool as_predicted(int64_t predicted, int64_t tokens) {
  int64_t apart = predicted < tokens ? tokens - predicted : predicted - tokens;
  return apart <= tokens / kv_tokens_close_fraction;
}

// From the cache that an engine had left when it had filled its share. It is measured again with each start,
// and the number stays while it says well enough what is found.
std::optional<api::LearnedEngine> engine_of(const TierContext& c) {
  if (!c.planned || !c.current) return std::nullopt;
  const planner::TierPlan& planned = *c.planned;
  const std::optional<api::LearnedEngine>& known = planned.learned.engine;
  bool fills = planned.engine == api::Engine::Vllm && planned.facts_known && !planned.effective.kv_bytes;
  bool told = c.current->state == state::ready && c.probe && c.probe->told;
  auto tokens = told ? engines::kv_tokens_at_full_length(c.probe->report) : std::nullopt;
  if (!fills || !tokens || as_predicted(planned.kv_tokens, *tokens)) return known;
  auto bytes = planner::engine_bytes_of(planned.footprint, planned.effective.context_tokens,
                                        planned.share_bytes, *tokens);
  if (!bytes) return known;
  return api::LearnedEngine{.bytes = *bytes, .inputs = planned.engine_inputs};
}

// By planner::gpu_inputs().
using Totals = std::map<std::string, int64_t>;

// Empty: it uses no GPU, or nobody knows where it is.
std::string gpu_inputs_of(const TierContext& c) {
  bool on_gpu = c.planned && c.planned->on_gpu && c.node && c.node->entry;
  return on_gpu ? planner::gpu_inputs(c.observed->stack->spec, *c.tier, *c.node->entry) : std::string();
}

// What engines measured that did not find what their fractions come to, where that is not what they were
// planned with.
Totals fresh_totals(const StackContext& stack) {
  Totals totals;
  for (const auto& c : stack.tiers) {
    std::string inputs = gpu_inputs_of(c);
    const api::Failure* failure = fresh_failure(c);
    auto total = failure ? measured_gpu_bytes(*failure, c.diagnosis) : std::nullopt;
    if (inputs.empty() || !total || is_known_total(*c.planned, *total)) continue;
    totals[inputs] = *total;
  }
  return totals;
}

// Every tier whose engine would measure the same has it, so that it stays when one of them goes.
std::optional<api::LearnedGpuMemory> gpu_memory_of(const TierContext& c, const Totals& fresh) {
  std::string inputs = gpu_inputs_of(c);
  if (inputs.empty()) return std::nullopt;
  auto measured = fresh.find(inputs);
  auto total = measured != fresh.end()
                   ? std::optional(measured->second)
                   : planner::measured_gpu_bytes(c.observed->stack->status.learned, inputs);
  if (!total) return std::nullopt;
  return api::LearnedGpuMemory{.total_bytes = *total, .inputs = std::move(inputs)};
}

}  // namespace

void tell_learned(const StackContext& stack, api::StackStatus& status) {
  Totals totals = fresh_totals(stack);
  status.learned.clear();
  for (const auto& c : stack.tiers) {
    api::Learned learned{.tier = c.tier->name,
                         .context = context_of(c),
                         .engine = engine_of(c),
                         .gpu_memory = gpu_memory_of(c, totals)};
    if (learned.context || learned.engine || learned.gpu_memory) status.learned.push_back(std::move(learned));
  }
}

}  // namespace strix::reconcile
