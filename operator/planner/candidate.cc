#include "planner/candidate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "planner/checked.h"
#include "planner/declared_facts.h"
#include "planner/learned.h"
#include "planner/words.h"

namespace strix::planner {
namespace {

std::string model_name(const api::Model& model) {
  return model.repository.empty() ? model.file : model.repository;
}

int64_t amount_of(Bound bound, const Claim& claim) {
  switch (bound) {
    case Bound::GpuFraction:
      return claim.gpu_fraction_milli;
    case Bound::GpuBytes:
      return claim.gpu_bytes;
    case Bound::Everything:
      return claim.known_bytes();
  }
  return 0;
}

std::string amount_text(Bound bound, int64_t amount) {
  return bound == Bound::GpuFraction ? format_fraction(amount) : gib_number(amount);
}

// "116.2 GiB for tiers (122.2 less 6.0 systemReserve)"
std::string bound_text(Bound bound, const api::NodeProfile& profile) {
  switch (bound) {
    case Bound::GpuFraction:
      return "a maxGpuFraction of " + format_fraction(profile.max_gpu_fraction_milli);
    case Bound::GpuBytes:
      return gib_number(profile.gpu_memory_bytes) + " GiB of GPU memory";
    case Bound::Everything:
      return fmt::format("{} GiB for tiers ({} less {} systemReserve)",
                         gib_number(profile.unified_memory_bytes - profile.system_reserve_bytes),
                         gib_number(profile.unified_memory_bytes), gib_number(profile.system_reserve_bytes));
  }
  return {};
}

// "coder 67.6, orchestrator 45.8": the largest first.
std::string holders_text(Bound bound, std::vector<Entry> others) {
  std::stable_sort(others.begin(), others.end(), [&](const Entry& a, const Entry& b) {
    return amount_of(bound, a.claim) > amount_of(bound, b.claim);
  });
  std::string text;
  for (const Entry& entry : others)
    if (amount_of(bound, entry.claim) > 0)
      text +=
          (text.empty() ? "" : ", ") + entry.holder + " " + amount_text(bound, amount_of(bound, entry.claim));
  return text;
}

std::vector<Entry> entries_of(const std::vector<Candidate*>& candidates) {
  std::vector<Entry> all;
  for (const Candidate* candidate : candidates) all.push_back({candidate->tier().name, candidate->claim()});
  return all;
}

}  // namespace

Candidate::Candidate(const api::Tier& tier, const NodePlan* node, KnownModel known, EngineSettings settings,
                     const std::vector<CombinationFinding>& combinations, int64_t gpu_bytes)
    : tier_(tier), node_(node), known_(std::move(known)), settings_(std::move(settings)) {
  if (tier.activation == api::Activation::Off) state_ = TierState::Off;
  take_combinations(combinations);
  if (!node_) {
    fail(FindingCode::NodeUnknown,
         fmt::format("{} names no node of this stack. Name an entry of spec.nodes.", tier.name));
    return;
  }
  profile_ = node_->profile;
  profile_.gpu_memory_bytes = gpu_bytes;
  read_facts();
  compute();
  check_alone();
}

// They come first: what cannot run at all is told before what does not fit.
void Candidate::take_combinations(const std::vector<CombinationFinding>& combinations) {
  for (const CombinationFinding& finding : combinations) {
    if (finding.severity == Severity::Error)
      fail(finding.code, finding.message);
    else
      note(finding.code, finding.severity, finding.message);
  }
}

void Candidate::read_facts() {
  known_.facts = with_declared(std::move(known_.facts), tier_.model);
  const std::string model = model_name(tier_.model);
  std::string missing;
  FindingCode code = FindingCode::FactsMissing;
  if (!known_.facts) {
    missing = known_.missing.empty() ? fmt::format("nothing is known of {}", model) : known_.missing;
  } else if (known_.facts->layers.empty()) {
    code = FindingCode::ArchitectureUnknown;
    missing = fmt::format("what {} keeps per token is unknown{}{}", model,
                          known_.facts->layers_unknown.empty() ? "" : ": ", known_.facts->layers_unknown);
  } else if (!known_.facts->weight_bytes) {
    missing = fmt::format("how large the weights of {} are is unknown", model);
  } else if (tier_.speculative && !tier_.speculative->model.empty() &&
             (!known_.draft || known_.draft->layers.empty() || !known_.draft->weight_bytes)) {
    missing = fmt::format("nothing is known of the draft model {}", tier_.speculative->model);
  } else {
    facts_known_ = true;
    for (const std::string& doubt : known_.facts->notes)
      note(FindingCode::FactsDoubted, Severity::Note, tier_.name + ": " + doubt);
    return;
  }
  note(code, tier_.accept_unverified ? Severity::Note : Severity::Warning,
       fmt::format("{}: {}. The plan counts with what is declared alone ({}). Write what is known in "
                   "model.facts.",
                   tier_.name, missing,
                   tier_.gpu_fraction_milli ? "gpuFraction " + format_fraction(*tier_.gpu_fraction_milli)
                   : tier_.requests.memory.empty() ? "nothing"
                                                   : "resources.requests.memory " + tier_.requests.memory));
}

Subject Candidate::subject(const api::Tier& tier) const {
  bool drafts = tier.speculative && !tier.speculative->model.empty();
  return {.tier = tier,
          .facts = *known_.facts,
          .draft = drafts && known_.draft ? &*known_.draft : nullptr,
          .constants = settings_.constants,
          .device_bytes = device_bytes()};
}

int64_t Candidate::device_bytes() const {
  bool gpu = tier_.effective_accelerator() == api::Accelerator::Gpu;
  return gpu ? profile_.gpu_memory_bytes : profile_.unified_memory_bytes;
}

int64_t Candidate::share_bytes() const {
  return fraction_bytes(device_bytes(), figures_.effective.fraction_milli.value_or(0));
}

void Candidate::compute() {
  figures_ = facts_known_ ? derive(subject(tier_), std::nullopt) : declared_figures(tier_, profile_);
  if (!figures_.error) return;
  fail(figures_.error->code, figures_.error->message);
}

Figures Candidate::at_context(int64_t context_tokens) const {
  api::Tier other = tier_;
  other.context_length_auto = false;
  other.context_length_tokens = context_tokens;
  other.gpu_fraction_milli.reset();
  other.kv_cache_bytes.reset();
  return derive(subject(other), std::nullopt);
}

void Candidate::check_alone() {
  if (figures_.error) return;
  auto lack = lack_beside({});
  if (!lack) return;
  std::string way_out = smaller_way_out({});
  fail(FindingCode::TooBigForNode,
       fmt::format("{} {}, but {} has {}: {}. {}", tier_.name, needs_text(lack->bound), node_->name,
                   bound_text(lack->bound, node_->profile), lack_text(*lack, {}),
                   way_out.empty() ? "No contextLength makes it fit: give it a smaller model."
                                   : "It fits with " + way_out + "."));
}

void Candidate::fail(FindingCode code, std::string message) {
  runnable_ = false;
  if (state_ != TierState::Off) state_ = TierState::Error;
  note(code, state_ == TierState::Off ? Severity::Note : Severity::Error, std::move(message));
}

void Candidate::note(FindingCode code, Severity severity, std::string message) {
  findings_.push_back({.code = code,
                       .severity = severity,
                       .tier = tier_.name,
                       .node = node_ ? node_->name : "",
                       .message = std::move(message)});
}

void Candidate::fail_by_cycle(const std::vector<std::string>& cycle) {
  fail(FindingCode::StartAfterCycle,
       fmt::format("{} waits for itself: startAfter goes round {}. Remove one of them.", tier_.name,
                   fmt::join(cycle, ", ")));
}

std::optional<int64_t> Candidate::bytes_before_cache() const {
  if (!facts_known_ || figures_.footprint.weight_bytes == 0) return std::nullopt;
  return figures_.footprint.all_bytes() - figures_.footprint.kv_bytes - figures_.footprint.compute_bytes;
}

std::optional<Shortfall> Candidate::lack_beside(const std::vector<Entry>& others) const {
  return shortfall(node_->profile, others, tier_.name, figures_.claim);
}

void Candidate::grow_beside(const std::vector<Entry>& others) {
  if (!facts_known_ || !grows_into_the_rest(tier_)) return;
  int64_t limit = most_context_tokens(tier_, *known_.facts).value_or(figures_.effective.context_tokens);
  auto fits = [&](int64_t steps) {
    Figures grown = derive(subject(tier_), steps * context_grid_tokens);
    return !grown.error && !shortfall(node_->profile, others, tier_.name, grown.claim);
  };
  int64_t tokens = largest_that(limit / context_grid_tokens, fits) * context_grid_tokens;
  if (tokens > figures_.effective.context_tokens) figures_ = derive(subject(tier_), tokens);
}

void Candidate::take_learned(const api::StackSpec& spec, const std::vector<api::Learned>& learned) {
  if (!node_) return;
  context_inputs_ = planner::context_inputs(spec, tier_, settings_, figures_.effective, device_bytes());
  engine_inputs_ = planner::engine_inputs(spec, tier_, settings_);
  learned_.tier = tier_.name;
  if (const api::Learned* mine = api::find_learned(learned, tier_.name)) {
    if (mine->context && mine->context->inputs == context_inputs_) learned_.context = mine->context;
    if (mine->engine && mine->engine->inputs == engine_inputs_) learned_.engine = mine->engine;
  }
  if (!facts_known_ || figures_.error) return;
  Effective& effective = figures_.effective;
  auto tokens = learned_.context
                    ? smaller_context_tokens(tier_, *learned_.context, effective.context_tokens)
                    : std::nullopt;
  if (tokens) figures_ = at_smaller_context(subject(tier_), figures_, *tokens);
  // Only what it holds is said: an engine that runs is not made anew for a better number.
  bool fills = tier_.engine == api::Engine::Vllm && !effective.kv_bytes;
  if (!fills || !learned_.engine) return;
  figures_.kv_tokens =
      tokens_left(figures_.footprint, effective.context_tokens, share_bytes(), learned_.engine->bytes)
          .value_or(0);
  auto hundred = checked_multiply(figures_.kv_tokens, 100);
  figures_.concurrency_hundredths = hundred ? *hundred / std::max<int64_t>(effective.context_tokens, 1) : 0;
}

std::string Candidate::needs_text(Bound bound) const {
  const Claim& claim = figures_.claim;
  std::string text = "needs ";
  if (bound == Bound::GpuFraction)
    text += "gpuFraction " + format_fraction(claim.gpu_fraction_milli);
  else
    text += gib_text(amount_of(bound, claim)) + (bound == Bound::GpuBytes ? " of GPU memory" : "");
  if (tier_.gpu_fraction_milli && claim.gpu)
    return bound != Bound::Everything ? text
                                      : text + fmt::format(" (gpuFraction {} and {} beside it)",
                                                           format_fraction(claim.gpu_fraction_milli),
                                                           gib_text(claim.host_bytes.value_or(0)));
  if (!facts_known_) return text;
  Footprint parts = figures_.footprint;
  if (bound != Bound::Everything)
    parts.host_bytes = parts.output_bytes = parts.prompt_cache_bytes = parts.checkpoint_bytes = 0;
  return text + " (" + parts_text(parts, figures_.effective.context_tokens) + ")";
}

std::string Candidate::lack_text(const Shortfall& lack, const std::vector<Entry>& others) const {
  int64_t missing = lack.wanted + lack.held - lack.limit;
  std::string text =
      lack.bound == Bound::GpuFraction ? format_fraction(missing) + " short" : short_text(missing);
  std::string holders = holders_text(lack.bound, others);
  return holders.empty() ? text : text + " beside " + holders;
}

std::string Candidate::smaller_fraction_way_out(const std::vector<Entry>& others) const {
  Claim claim = figures_.claim;
  for (int milli = claim.gpu_fraction_milli / fraction_grid_milli * fraction_grid_milli; milli > 0;
       milli -= fraction_grid_milli) {
    claim.gpu_fraction_milli = milli;
    claim.gpu_bytes = fraction_bytes(profile_.gpu_memory_bytes, milli);
    if (!shortfall(node_->profile, others, tier_.name, claim)) return "gpuFraction " + format_fraction(milli);
  }
  return {};
}

std::string Candidate::smaller_way_out(const std::vector<Entry>& others) const {
  if (!facts_known_) return figures_.claim.gpu ? smaller_fraction_way_out(others) : std::string();
  auto fits = [&](int64_t tokens) {
    Figures smaller = at_context(tokens);
    return !smaller.error && !shortfall(node_->profile, others, tier_.name, smaller.claim);
  };
  int64_t tokens = figures_.effective.context_tokens;
  bool lower = !fits(tokens);
  if (lower) {
    auto steps_fit = [&](int64_t steps) { return fits(steps * context_grid_tokens); };
    tokens = largest_that(tokens / context_grid_tokens, steps_fit) * context_grid_tokens;
    if (tokens == 0) return {};
  }
  Figures smaller = at_context(tokens);
  std::string text;
  if (tier_.gpu_fraction_milli && smaller.effective.fraction_milli)
    text = "gpuFraction " + format_fraction(*smaller.effective.fraction_milli);
  else if (tier_.kv_cache_bytes)
    text = fmt::format("memory.kvCache {}Mi", ceil_divide(smaller.footprint.kv_bytes, mib));
  if (!lower) return text;
  return text + (text.empty() ? "" : " and ") + "contextLength " + std::to_string(tokens);
}

void Candidate::explain_parking(const std::vector<Candidate*>& before, api::WhenShort when_short) {
  std::vector<Entry> others = entries_of(before);
  auto lack = lack_beside(others);
  if (!lack) return;
  std::string way_out = smaller_way_out(others);
  if (!way_out.empty()) way_out = "with " + way_out + ", or ";
  std::string off;
  for (size_t left = before.size(); left > 0 && lack_beside(others);) {
    --left;
    others.pop_back();
    off += (off.empty() ? "" : " and ") + before[left]->tier().name;
  }
  bool parks = when_short == api::WhenShort::Park;
  note(parks ? FindingCode::Parked : FindingCode::Refused, parks ? Severity::Warning : Severity::Error,
       fmt::format("{} (priority {}) {}: it {}, and {} has {}: {}. It fits {}when {} {} switched off.",
                   tier_.name, tier_.priority, parks ? "is parked" : "does not fit", needs_text(lack->bound),
                   node_->name, bound_text(lack->bound, node_->profile), lack_text(*lack, entries_of(before)),
                   way_out, off, off.find(' ') == std::string::npos ? "is" : "are"));
}

TierPlan Candidate::tier_plan() const {
  TierPlan plan;
  plan.name = tier_.name;
  plan.node = node_ ? node_->name : "";
  plan.engine = tier_.engine;
  plan.on_gpu = tier_.effective_accelerator() == api::Accelerator::Gpu;
  plan.priority = tier_.priority;
  plan.state = state_;
  plan.facts_known = facts_known_;
  plan.runnable = runnable_;
  plan.effective = figures_.effective;
  plan.effective.environment = settings_.environment;
  plan.effective.arguments = settings_.arguments;
  plan.footprint = figures_.footprint;
  plan.claim = figures_.claim;
  plan.largest_context_tokens = figures_.largest_context_tokens;
  plan.concurrency_hundredths = figures_.concurrency_hundredths;
  plan.kv_tokens = figures_.kv_tokens;
  plan.gpu_total_bytes = profile_.gpu_memory_bytes;
  if (node_) plan.share_bytes = share_bytes();
  plan.context_inputs = context_inputs_;
  plan.engine_inputs = engine_inputs_;
  plan.learned = learned_;
  if (!facts_known_) return plan;
  plan.facts_source = known_.facts->source;
  plan.most_context_tokens = most_context_tokens(tier_, *known_.facts);
  if (auto shape = kv_shape(subject(tier_), context_grid_tokens))
    plan.growing_bytes_per_token = planner::growing_bytes_per_token(*known_.facts, *shape);
  return plan;
}

}  // namespace strix::planner
