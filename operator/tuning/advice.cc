#include "tuning/advice.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "planner/checked.h"
#include "planner/words.h"

namespace strix::tuning {

namespace {

using engines::unbounded_tokens;
using planner::context_grid_tokens;

int64_t on_grid(int64_t tokens) {
  return planner::ceil_divide(tokens, context_grid_tokens) * context_grid_tokens;
}

int64_t sum(int64_t one, int64_t other) {
  bool bounded = one != unbounded_tokens && other != unbounded_tokens;
  return bounded ? one + other : unbounded_tokens;
}

// What would suit, before the planner was asked.
struct Wish {
  int64_t context_tokens = 0;
  int64_t cache_tokens = 0;  // of all requests together
  std::string seen;          // "3 requests were refused (4xx), while others came to 50000 tokens"
};

class Adviser {
 public:
  explicit Adviser(const Case& subject)
      : case_(subject),
        seen_(subject.seen),
        now_(*subject.plan.tier(subject.tier.name)),
        context_(now_.effective.context_tokens),
        cache_(subject.kv_tokens > 0 ? subject.kv_tokens : now_.kv_tokens) {}

  Advice run() const {
    if (!enough_seen()) return {};
    if (!now_.facts_known || context_ <= 0 || cache_ <= 0)
      return {.finding = Finding::Unknown, .recommended = {}, .message = {}};
    bool context_short = reached_context(), cache_short = reached_cache();
    if (context_short || cache_short) return grow(context_short, cache_short);
    return shrink();
  }

 private:
  bool is_vllm() const { return case_.tier.engine == api::Engine::Vllm; }

  bool enough_seen() const {
    return seen_.observed_millis >= dwell_millis(case_.spec.tuning.window_seconds * 1000);
  }

  // --- what was seen

  // The longest request took more than this, and at most the next.
  int64_t longest_over() const {
    if (!is_vllm()) return seen_.sequence_tokens_most;
    return std::max(seen_.prompt_tokens_over, std::min(seen_.alone_tokens_most, context_));
  }
  int64_t longest_most() const {
    if (!is_vllm()) return seen_.sequence_tokens_most;
    return sum(seen_.prompt_tokens_most, seen_.answer_tokens_most);
  }

  bool reached_context() const {
    if (!is_vllm()) return seen_.sequence_tokens_most >= share(context_, at_limit_milli);
    bool near =
        seen_.prompt_tokens_most == unbounded_tokens || longest_over() >= share(context_, near_limit_milli);
    return near && seen_.refused >= refusals_least && seen_.refusing_intervals >= intervals_least;
  }

  bool reached_cache() const {
    bool preempts = seen_.preemptions >= preemptions_least && seen_.preempting_intervals >= intervals_least;
    return preempts || seen_.short_intervals >= intervals_least;
  }

  std::string shortage_text(bool context_short, bool cache_short) const {
    std::string text;
    if (context_short && is_vllm())
      text = fmt::format("{} requests were refused (4xx) while others came to more than {} of {} tokens",
                         seen_.refused, longest_over(), context_);
    else if (context_short)
      text = fmt::format("a request came to {} of {} tokens", seen_.sequence_tokens_most, context_);
    if (!cache_short) return text;
    text += text.empty() ? "" : ", and ";
    if (seen_.preemptions > 0)
      return text + fmt::format("{} times a request lost its place in the KV cache and was computed again",
                                seen_.preemptions);
    return text + fmt::format("up to {} requests waited for a KV cache that was full", seen_.waiting_most);
  }

  // --- more

  Advice grow(bool context_short, bool cache_short) const {
    std::string seen = shortage_text(context_short, cache_short);
    int64_t most = now_.most_context_tokens.value_or(context_) / context_grid_tokens * context_grid_tokens;
    if (context_short && most <= context_ && !cache_short)
      return no_room(seen,
                     fmt::format("the model ends at {} tokens", now_.most_context_tokens.value_or(context_)));
    for (int milli : {margin_milli, 1000 + (margin_milli - 1000) / 2}) {
      Wish wish{.context_tokens = context_, .cache_tokens = cache_, .seen = seen};
      if (context_short)
        wish.context_tokens = std::max(context_, std::min(most, on_grid(share(context_, milli))));
      if (cache_short) wish.cache_tokens = share(cache_, milli);
      wish.cache_tokens = std::max(wish.cache_tokens, wish.context_tokens);
      if (auto recommended = admitted(wish)) {
        recommended->message = grown_text(*recommended, wish);
        return {.finding = Finding::Recommends, .recommended = *recommended, .message = {}};
      }
    }
    return no_room(seen, "a larger one does not fit beside the other tiers");
  }

  static Advice no_room(const std::string& seen, const std::string& why) {
    return {.finding = Finding::NoRoom, .recommended = {}, .message = fmt::format("{}; {}", seen, why)};
  }

  std::string grown_text(const api::Recommended& recommended, const Wish& wish) const {
    int64_t more = bytes_of(recommended) - now_.claim.known_bytes();
    std::string cost = more > 0 ? planner::gib_text(more) + " more" : "no more memory";
    return fmt::format("{}: {} gives {}, for {}", wish.seen, settings_text(recommended),
                       recommended.context_length_tokens ? "longer requests room" : "them room", cost);
  }

  // --- less

  Advice shrink() const {
    Advice suits{.finding = Finding::Suits, .recommended = {}, .message = {}};
    bool told = is_vllm() ? seen_.requests >= requests_least : seen_.sequence_tokens_most > 0;
    if (!told) return {};
    Wish wish{.context_tokens = context_needed(), .cache_tokens = 0, .seen = {}};
    if (wish.context_tokens > share(context_, shrink_milli)) wish.context_tokens = context_;
    wish.cache_tokens = is_vllm() ? cache_needed(wish.context_tokens) : wish.context_tokens;
    if (wish.context_tokens == context_ && wish.cache_tokens > share(cache_, shrink_milli)) return suits;
    auto recommended = admitted(wish);
    if (!recommended) return suits;
    int64_t freed = now_.claim.known_bytes() - bytes_of(*recommended);
    if (freed < freed_bytes_least) return suits;
    recommended->message = fmt::format("{}: {} is enough, and frees {}", used_text(),
                                       settings_text(*recommended), planner::gib_text(freed));
    return {.finding = Finding::Recommends, .recommended = *recommended, .message = {}};
  }

  int64_t context_needed() const {
    int64_t needed = context_;
    if (is_vllm()) {  // the edge of a bucket is margin enough
      if (longest_most() == unbounded_tokens) return context_;
      needed = std::max(longest_most(), share(longest_over(), margin_milli));
    } else {  // the slots share one cache
      int64_t slots = std::clamp<int64_t>(seen_.running_most, 1, case_.tier.max_sequences);
      if (seen_.sequence_tokens_most > context_ / slots) return context_;
      needed = share(seen_.sequence_tokens_most * slots, margin_milli);
    }
    return std::min(context_, on_grid(std::max(needed, planner::least_useful_context_tokens)));
  }

  // What was in use at once, and, as it is only looked at now and then, room for the longest request beside
  // one of full length.
  int64_t cache_needed(int64_t context_tokens) const {
    if (seen_.kv_intervals == 0) return cache_;
    int64_t beside = sum(context_tokens, std::min(longest_most(), context_));
    return std::min(cache_, std::max(share(seen_.kv_tokens_most, margin_milli), beside));
  }

  std::string used_text() const {
    if (!is_vllm())
      return fmt::format("no request came to more than {} of {} tokens, and {} ran at once",
                         seen_.sequence_tokens_most, context_, std::max<int64_t>(seen_.running_most, 1));
    return fmt::format("{} requests took at most {} of {} tokens each, and all at once {} % of the KV cache",
                       seen_.requests, std::min(longest_most(), context_), context_,
                       (seen_.kv_used_milli_most + 9) / 10);
  }

  // --- what the planner says

  // The settings for a wish, on the grid; absent where the planner does not admit them beside the others, or
  // where they are what is set.
  std::optional<api::Recommended> admitted(const Wish& wish) const {
    api::Recommended recommended;
    if (wish.context_tokens != context_) recommended.context_length_tokens = wish.context_tokens;
    const api::Tier& tier = case_.tier;
    // One that leaves its cache open gets that of one request: more has to be said.
    bool open = !tier.gpu_fraction_milli && !tier.kv_cache_bytes;
    bool says_cache = open && is_vllm() && wish.cache_tokens > wish.context_tokens;
    bool grows = wish.context_tokens > context_ || wish.cache_tokens > cache_;
    if (is_vllm() && tier.kv_cache_bytes) {
      int64_t bytes = planner::round_up(cache_bytes(wish.cache_tokens), kv_cache_grid_bytes);
      if (bytes != *tier.kv_cache_bytes) recommended.kv_cache_bytes = bytes;
    } else if (tier.gpu_fraction_milli || says_cache) {
      auto milli = fraction_for(wish);
      if (!milli) return std::nullopt;
      int now = now_.effective.fraction_milli.value_or(0);
      bool worth = grows ? *milli > now : *milli <= now - fraction_step_milli;
      if (worth) recommended.gpu_fraction_milli = *milli;
      if (!worth && says_cache) return std::nullopt;
    }
    bool nothing = recommended.same_as({});
    return !nothing && admits(recommended) ? std::optional(recommended) : std::nullopt;
  }

  // As many bytes as so many tokens take now, in requests of full length.
  int64_t cache_bytes(int64_t tokens) const {
    auto bytes = checked_multiply(now_.footprint.kv_bytes, tokens);
    return bytes ? planner::ceil_divide(*bytes, context_) : planner::bytes_most / 2;
  }

  // The smallest with which the plan gives the tier what is wished for.
  std::optional<int> fraction_for(const Wish& wish) const {
    api::StackSpec spec = case_.spec;
    api::Tier& tier = tier_of(spec);
    tier.context_length_tokens = wish.context_tokens;
    tier.context_length_auto = false;
    tier.gpu_fraction_milli.reset();
    tier.kv_cache_bytes.reset();
    if (is_vllm() && wish.cache_tokens > wish.context_tokens)
      tier.kv_cache_bytes = cache_bytes(wish.cache_tokens);
    planner::Plan plan = case_.plan_of(spec);
    return plan.tier(tier.name)->effective.fraction_milli;
  }

  api::StackSpec with(const api::Recommended& recommended) const {
    api::StackSpec spec = case_.spec;
    api::Tier& tier = tier_of(spec);
    tier.context_length_tokens = recommended.context_length_tokens.value_or(context_);
    tier.context_length_auto = false;
    if (recommended.gpu_fraction_milli) tier.gpu_fraction_milli = recommended.gpu_fraction_milli;
    if (recommended.kv_cache_bytes) tier.kv_cache_bytes = recommended.kv_cache_bytes;
    return spec;
  }

  // It runs, and all others do that do now, with no less.
  bool admits(const api::Recommended& recommended) const {
    planner::Plan plan = case_.plan_of(with(recommended));
    for (const planner::TierPlan& before : case_.plan.tiers) {
      if (before.state != planner::TierState::Resident) continue;
      const planner::TierPlan* after = plan.tier(before.name);
      if (!after || after->state != planner::TierState::Resident) return false;
      bool other = before.name != case_.tier.name;
      if (other && after->effective.context_tokens < before.effective.context_tokens) return false;
    }
    return true;
  }

  int64_t bytes_of(const api::Recommended& recommended) const {
    planner::Plan plan = case_.plan_of(with(recommended));
    return plan.tier(case_.tier.name)->claim.known_bytes();
  }

  api::Tier& tier_of(api::StackSpec& spec) const {
    return *std::find_if(spec.tiers.begin(), spec.tiers.end(),
                         [&](const api::Tier& tier) { return tier.name == case_.tier.name; });
  }

  static std::string settings_text(const api::Recommended& recommended) {
    std::string text;
    auto say = [&](std::string setting) { text += (text.empty() ? "" : " and ") + setting; };
    if (recommended.context_length_tokens)
      say(fmt::format("contextLength {}", *recommended.context_length_tokens));
    if (recommended.gpu_fraction_milli)
      say("memory.gpuFraction " + format_fraction(*recommended.gpu_fraction_milli));
    if (recommended.kv_cache_bytes)
      say(fmt::format("memory.kvCache {}Mi", *recommended.kv_cache_bytes / mib));
    return text;
  }

  const Case& case_;
  const Seen& seen_;
  const planner::TierPlan& now_;
  const int64_t context_, cache_;
};

// In more than a step.
bool differs(const api::Recommended& one, const api::Recommended& other) {
  auto apart = [](auto a, auto b, int64_t step) {
    if (a.has_value() != b.has_value()) return true;
    return a && std::abs(static_cast<int64_t>(*a) - static_cast<int64_t>(*b)) > step;
  };
  int64_t context_step = std::max(context_grid_tokens, one.context_length_tokens.value_or(0) / 8);
  return apart(one.context_length_tokens, other.context_length_tokens, context_step) ||
         apart(one.gpu_fraction_milli, other.gpu_fraction_milli, fraction_step_milli) ||
         apart(one.kv_cache_bytes, other.kv_cache_bytes, 2 * kv_cache_grid_bytes);
}

}  // namespace

Advice advise(const Case& subject) {
  const planner::TierPlan* planned = subject.plan.tier(subject.tier.name);
  if (!planned || planned->state != planner::TierState::Resident) return {};
  return Adviser(subject).run();
}

int64_t dwell_millis(int64_t window_millis) {
  constexpr int64_t hour_millis = 3'600'000;
  return std::max(hour_millis, window_millis / 4);
}

Advice settled(const std::optional<api::Recommended>& last, Advice fresh, int64_t window_millis,
               WallMillis now) {
  bool recommends = fresh.finding == Finding::Recommends;
  if (recommends) fresh.recommended.since = now;
  if (!last) return fresh;
  bool stood = now - last->since >= dwell_millis(window_millis);
  bool other = !recommends || differs(*last, fresh.recommended);
  // Too little seen, as after a start of the operator, is no reason to take back what was said.
  bool keeps = fresh.finding == Finding::Observing || !other || !stood;
  if (!keeps) return fresh;
  return {.finding = Finding::Recommends, .recommended = *last, .message = {}};
}

}  // namespace strix::tuning
