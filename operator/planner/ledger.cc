#include "planner/ledger.h"

#include <algorithm>
#include <limits>

#include "base/bytes.h"

namespace strix::planner {
namespace {

constexpr size_t named_holders_max = 4;  // a message is read by people

int64_t clamp(int64_t amount) {
  return std::clamp<int64_t>(amount, 0, bytes_most);
}

// A sum that leaves the range stays above every limit, and two sums still add up.
int64_t add(int64_t sum, int64_t amount) {
  return clamp(sum) + clamp(amount);
}

struct Ask {
  const api::NodeProfile& profile;
  const std::vector<Entry>& held;
  Totals totals;
  const std::string& holder;
  const Claim& claim;
};

int64_t share_of(Bound bound, const Claim& claim) {
  switch (bound) {
    case Bound::GpuFraction:
      return std::max(claim.gpu_fraction_milli, 0);
    case Bound::GpuBytes:
      return clamp(claim.gpu_bytes);
    case Bound::Everything:
      return clamp(claim.gpu_bytes) + clamp(claim.host_bytes.value_or(0));
  }
  return 0;
}

int64_t total_held(Bound bound, const Totals& totals) {
  switch (bound) {
    case Bound::GpuFraction:
      return totals.gpu_fraction_milli;
    case Bound::GpuBytes:
      return totals.gpu_bytes;
    case Bound::Everything:
      return totals.all_bytes();
  }
  return 0;
}

int64_t limit_of(Bound bound, const api::NodeProfile& profile) {
  auto bounded = [](int64_t bytes) { return std::clamp<int64_t>(bytes, 0, bytes_most - 1); };
  switch (bound) {
    case Bound::GpuFraction:
      return std::max(profile.max_gpu_fraction_milli, 0);
    case Bound::GpuBytes:
      return bounded(profile.gpu_memory_bytes);
    case Bound::Everything:
      return bounded(profile.unified_memory_bytes) - bounded(profile.system_reserve_bytes);
  }
  return 0;
}

// A tier that draws nothing on the GPU cannot break a bound of the GPU, not even one that is broken already.
bool concerns(Bound bound, const Claim& claim) {
  return bound == Bound::Everything || claim.gpu || claim.gpu_fraction_milli > 0 || claim.gpu_bytes > 0;
}

bool breaks(Bound bound, const Ask& ask, const Claim& claim) {
  if (!concerns(bound, claim)) return false;
  return total_held(bound, ask.totals) + share_of(bound, claim) > limit_of(bound, ask.profile);
}

std::string amount_text(Bound bound, int64_t amount) {
  return bound == Bound::GpuFraction ? format_fraction(amount) : format_gib(amount);
}

std::string tenths_text(int64_t tenths) {
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + "Gi";
}

// What is missing, rounded up: freeing what the message says is enough.
std::string short_text(Bound bound, int64_t amount) {
  if (bound == Bound::GpuFraction) return format_fraction(amount);
  if (amount < gib) return std::to_string((amount + mib - 1) / mib) + "Mi";
  return tenths_text(amount / gib * 10 + (amount % gib * 10 + gib - 1) / gib);
}

// What is left, rounded down: taking what the message says fits.
std::string free_text(int64_t amount) {
  if (amount < gib) return std::to_string(amount / mib) + "Mi";
  return tenths_text(amount / gib * 10 + amount % gib * 10 / gib);
}

// "llm/strix-orchestrator 0.35, llm/strix-coder 0.60": the largest first.
std::string holders_text(Bound bound, const std::vector<Entry>& held) {
  std::vector<std::pair<int64_t, const Entry*>> by_size;
  for (const Entry& entry : held)
    if (int64_t share = share_of(bound, entry.claim); share > 0) by_size.emplace_back(share, &entry);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (size_t i = 0; i < by_size.size() && i < named_holders_max; ++i)
    text += (i ? ", " : "") + by_size[i].second->holder + " " + amount_text(bound, by_size[i].first);
  if (by_size.size() > named_holders_max)
    text += " and " + std::to_string(by_size.size() - named_holders_max) + " more";
  return text;
}

// The same tier with another fraction. The total that its bytes are a share of is read off the claim, since
// its own stack's profile may be larger than the strictest one; rounded up, so that the answer fits.
Claim with_fraction(const Claim& claim, int milli) {
  int64_t bytes = clamp(claim.gpu_bytes), fraction = claim.gpu_fraction_milli;
  int64_t rest = (bytes % fraction * 1000 + fraction - 1) / fraction;
  int64_t total = add(checked_multiply(bytes / fraction, 1000).value_or(bytes_most), rest);
  Claim other = claim;
  other.gpu_fraction_milli = milli;
  other.gpu_bytes = fraction_bytes(total, milli);
  return other;
}

// The largest fraction on a grid of 0.01 with which every bound holds; 0: none.
int fitting_fraction_milli(const Ask& ask) {
  for (int milli = std::min(ask.claim.gpu_fraction_milli / 10 * 10, 1000); milli > 0; milli -= 10) {
    Claim claim = with_fraction(ask.claim, milli);
    if (!breaks(Bound::GpuFraction, ask, claim) && !breaks(Bound::GpuBytes, ask, claim) &&
        !breaks(Bound::Everything, ask, claim))
      return milli;
  }
  return 0;
}

std::string way_out(Bound bound, const Ask& ask, int64_t free) {
  if (ask.claim.gpu_fraction_milli > 0) {
    if (int milli = fitting_fraction_milli(ask))
      return "It fits with gpuFraction " + format_fraction(milli) + ".";
  } else if (free >= mib) {
    return "It fits with " + free_text(free) + " or less.";
  }
  if (!holders_text(bound, ask.held).empty())
    return "It fits when another tier of this node takes less or is switched off.";
  return "Give it a smaller model or context.";
}

std::string bound_text(Bound bound, const api::NodeProfile& profile, int64_t limit) {
  switch (bound) {
    case Bound::GpuFraction:
      return format_fraction(limit);
    case Bound::GpuBytes:
      return amount_text(bound, limit) + " GPU memory";
    case Bound::Everything:
      return amount_text(bound, limit) + " (" + format_gib(profile.unified_memory_bytes) + " less " +
             format_gib(profile.system_reserve_bytes) + " systemReserve)";
  }
  return {};
}

Shortfall describe(Bound bound, const Ask& ask) {
  Shortfall lack{.bound = bound,
                 .wanted = share_of(bound, ask.claim),
                 .held = total_held(bound, ask.totals),
                 .limit = limit_of(bound, ask.profile),
                 .message = {}};
  int64_t free = lack.limit - lack.held;  // below 0 where more is held than there is
  std::string holders = holders_text(bound, ask.held);
  std::string what = bound == Bound::GpuFraction ? "gpuFraction " : "";
  lack.message = ask.holder + " needs ";
  lack.message += lack.wanted > 0 ? what + amount_text(bound, lack.wanted) : std::string("memory");
  lack.message += ", but ";
  if (holders.empty())
    lack.message += "there is only " + bound_text(bound, ask.profile, std::max<int64_t>(lack.limit, 0));
  else
    lack.message += amount_text(bound, lack.held) + " of " +
                    bound_text(bound, ask.profile, std::max<int64_t>(lack.limit, 0)) + " is held (" +
                    holders + ")";
  lack.message += ": " + short_text(bound, lack.wanted - free) + " short. " + way_out(bound, ask, free);
  return lack;
}

}  // namespace

Totals total_of(const std::vector<Entry>& entries) {
  Totals totals;
  int64_t fraction_milli = 0;
  for (const Entry& entry : entries) {
    fraction_milli = add(fraction_milli, entry.claim.gpu_fraction_milli);
    totals.gpu_bytes = add(totals.gpu_bytes, entry.claim.gpu_bytes);
    totals.host_bytes = add(totals.host_bytes, entry.claim.host_bytes.value_or(0));
    totals.host_complete = totals.host_complete && entry.claim.host_bytes.has_value();
  }
  constexpr int64_t int_most = std::numeric_limits<int>::max();
  totals.gpu_fraction_milli = static_cast<int>(std::min(fraction_milli, int_most));
  return totals;
}

std::optional<Shortfall> shortfall(const api::NodeProfile& profile, const std::vector<Entry>& held,
                                   const std::string& holder, const Claim& claim) {
  Ask ask{profile, held, total_of(held), holder, claim};
  for (Bound bound : {Bound::GpuFraction, Bound::GpuBytes, Bound::Everything})
    if (breaks(bound, ask, claim)) return describe(bound, ask);
  return std::nullopt;
}

api::NodeProfile strictest(const std::vector<api::NodeProfile>& profiles) {
  if (profiles.empty()) return {};
  api::NodeProfile strict = profiles.front();
  for (const api::NodeProfile& profile : profiles) {
    strict.unified_memory_bytes = std::min(strict.unified_memory_bytes, profile.unified_memory_bytes);
    strict.gpu_memory_bytes = std::min(strict.gpu_memory_bytes, profile.gpu_memory_bytes);
    strict.system_reserve_bytes = std::max(strict.system_reserve_bytes, profile.system_reserve_bytes);
    strict.max_gpu_fraction_milli = std::min(strict.max_gpu_fraction_milli, profile.max_gpu_fraction_milli);
  }
  return strict;
}

}  // namespace strix::planner
