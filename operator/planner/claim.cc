#include "planner/claim.h"

#include <algorithm>
#include <limits>

#include "base/bytes.h"
#include "base/json.h"

namespace strix::planner {
namespace {

// A declared request that cannot be read is unknown, not zero; validate() says so to its author.
std::optional<int64_t> declared_host_bytes(const api::Tier& tier) {
  auto bytes = tier.requests.memory.empty() ? std::nullopt : parse_quantity(tier.requests.memory);
  return bytes ? std::optional(std::min(*bytes, bytes_most)) : std::nullopt;
}

std::optional<int64_t> amount(json::Value value) {
  auto number = value.integer();
  return number && *number >= 0 && *number <= bytes_most ? number : std::nullopt;
}

}  // namespace

int64_t fraction_bytes(int64_t total_bytes, int64_t milli) {
  if (total_bytes <= 0 || milli <= 0) return 0;
  auto whole = checked_multiply(total_bytes / 1000, milli);
  auto part = checked_multiply(total_bytes % 1000, milli);
  if (!whole || !part) return bytes_most;
  int64_t rest = *part / 1000 + (*part % 1000 != 0);
  return std::min(checked_add(*whole, rest).value_or(bytes_most), bytes_most);
}

Claim declared_claim(const api::Tier& tier, const api::NodeProfile& profile) {
  Claim claim;
  claim.host_bytes = declared_host_bytes(tier);
  if (tier.effective_accelerator() == api::Accelerator::Gpu) {
    claim.gpu = true;
    claim.gpu_fraction_milli = tier.gpu_fraction_milli.value_or(0);
    claim.gpu_bytes = fraction_bytes(profile.gpu_memory_bytes, claim.gpu_fraction_milli);
  } else if (tier.engine == api::Engine::Vllm && tier.gpu_fraction_milli) {
    // vLLM's CPU build takes its utilization from the memory that the kernel reports. The pod's request may
    // be meant to cover that share and the processes beside it: the larger one is what the tier may take.
    int64_t share = fraction_bytes(profile.unified_memory_bytes, *tier.gpu_fraction_milli);
    claim.host_bytes = std::max(share, claim.host_bytes.value_or(0));
  }
  return claim;
}

std::string encode_claim(const Claim& claim) {
  json::Writer writer;
  writer.begin_object();
  writer.member("gpu", claim.gpu);
  writer.member("gpuBytes", claim.gpu_bytes);
  writer.member("gpuFractionMilli", claim.gpu_fraction_milli);
  if (claim.host_bytes) writer.member("hostBytes", *claim.host_bytes);
  writer.end_object();
  return writer.take();
}

std::optional<Claim> decode_claim(std::string_view annotation) {
  auto document = json::Document::parse(annotation, {.bytes_max = 4096, .depth_max = 4});
  if (!document || !document->root().is_object()) return std::nullopt;
  json::Value root = document->root();
  auto gpu = root["gpu"].boolean();
  auto bytes = amount(root["gpuBytes"]);
  auto fraction = amount(root["gpuFractionMilli"]);
  // A negative or missing amount would let the ledger promise memory that is held.
  if (!gpu || !bytes || !fraction || *fraction > std::numeric_limits<int>::max()) return std::nullopt;
  Claim claim{
      .gpu = *gpu, .gpu_fraction_milli = static_cast<int>(*fraction), .gpu_bytes = *bytes, .host_bytes = {}};
  if (root["hostBytes"].exists()) {
    claim.host_bytes = amount(root["hostBytes"]);
    if (!claim.host_bytes) return std::nullopt;
  }
  return claim;
}

}  // namespace strix::planner
