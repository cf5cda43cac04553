#include "base/bytes.h"
#include "base/json.h"
#include "base/yaml_writer.h"
#include "planner/explain.h"

namespace strix::planner {
namespace {

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::GpuFraction:
      return "gpuFraction";
    case Bound::GpuBytes:
      return "gpuBytes";
    case Bound::Everything:
      return "everything";
  }
  return "unknown";
}

void write_fraction(json::Writer& writer, std::string_view name, int64_t milli) {
  writer.key(name).number(static_cast<double>(milli) / 1000);
}

void write_amount(json::Writer& writer, Bound bound, std::string_view name, int64_t amount) {
  if (bound == Bound::GpuFraction)
    write_fraction(writer, name, amount);
  else
    writer.member(name, amount);
}

void write_texts(json::Writer& writer, std::string_view name, const std::vector<std::string>& texts) {
  writer.key(name).begin_array();
  for (const std::string& text : texts) writer.string(text);
  writer.end_array();
}

void write_footprint(json::Writer& writer, const Footprint& parts) {
  writer.key("footprint").begin_object();
  writer.member("weights", parts.weight_bytes).member("draftWeights", parts.draft_weight_bytes);
  writer.member("repackedWeights", parts.repacked_bytes).member("engine", parts.engine_bytes);
  writer.member("kv", parts.kv_bytes).member("spareBlocks", parts.spare_bytes);
  writer.member("graphs", parts.graph_bytes);
  writer.member("computeBuffers", parts.compute_bytes).member("outputBuffers", parts.output_bytes);
  writer.member("promptCache", parts.prompt_cache_bytes).member("checkpoints", parts.checkpoint_bytes);
  writer.member("processes", parts.host_bytes);
  writer.end_object();
}

void write_tier(json::Writer& writer, const TierPlan& tier) {
  writer.begin_object();
  writer.member("name", tier.name).member("node", tier.node);
  writer.member("engine", std::string(api::to_string(tier.engine)));
  writer.member("accelerator", tier.on_gpu ? "GPU" : "None");
  writer.member("priority", tier.priority).member("state", std::string(to_string(tier.state)));
  writer.member("factsKnown", tier.facts_known);
  if (!tier.facts_source.empty()) writer.member("factsSource", tier.facts_source);
  writer.member("contextLength", tier.effective.context_tokens);
  writer.member("largestContextLength", tier.largest_context_tokens);
  if (tier.most_context_tokens) writer.member("modelContextLength", *tier.most_context_tokens);
  if (tier.effective.fraction_milli) write_fraction(writer, "gpuFraction", *tier.effective.fraction_milli);
  if (tier.effective.kv_bytes) writer.member("kvCacheBytes", *tier.effective.kv_bytes);
  writer.member("kvBytesPerToken", tier.growing_bytes_per_token);
  if (tier.kv_tokens > 0) writer.member("kvTokens", tier.kv_tokens);
  if (tier.concurrency_hundredths > 0)
    writer.key("concurrency").number(static_cast<double>(tier.concurrency_hundredths) / 100);
  writer.key("claim").begin_object().member("gpuBytes", tier.claim.gpu_bytes);
  if (tier.claim.host_bytes) writer.member("hostBytes", *tier.claim.host_bytes);
  writer.end_object();
  if (tier.facts_known) write_footprint(writer, tier.footprint);
  writer.end_object();
}

void write_node(json::Writer& writer, const NodePlan& node) {
  writer.begin_object();
  writer.member("name", node.name).member("total", node.profile.unified_memory_bytes);
  writer.member("gpuTotal", node.profile.gpu_memory_bytes)
      .member("reserved", node.profile.system_reserve_bytes);
  writer.key("bounds").begin_array();
  for (const BoundPlan& bound : node.bounds) {
    writer.begin_object().member("name", std::string(to_string(bound.bound)));
    write_amount(writer, bound.bound, "limit", bound.limit);
    write_amount(writer, bound.bound, "planned", bound.resident);
    write_amount(writer, bound.bound, "wanted", bound.wanted);
    writer.end_object();
  }
  writer.end_array().end_object();
}

void write_finding(json::Writer& writer, const Finding& finding) {
  writer.begin_object();
  writer.member("code", std::string(to_string(finding.code)));
  writer.member("severity", std::string(to_string(finding.severity)));
  if (!finding.tier.empty()) writer.member("tier", finding.tier);
  if (!finding.node.empty()) writer.member("node", finding.node);
  writer.member("message", finding.message).end_object();
}

}  // namespace

std::string explain_json(const Plan& plan) {
  json::Writer writer;
  writer.begin_object().member("fits", plan.fits);
  write_texts(writer, "startOrder", plan.order.tiers);
  writer.key("nodes").begin_array();
  for (const NodePlan& node : plan.nodes) write_node(writer, node);
  writer.end_array().key("tiers").begin_array();
  for (const TierPlan& tier : plan.tiers) write_tier(writer, tier);
  writer.end_array().key("findings").begin_array();
  for (const Finding& finding : plan.findings) write_finding(writer, finding);
  writer.end_array().end_object();
  return writer.take();
}

std::string explain_yaml(const Plan& plan) {
  auto document = json::Document::parse(explain_json(plan));
  return document ? yaml::write(document->root()) : "";
}

}  // namespace strix::planner
