#include "planner/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "planner/memory_map.h"
#include "planner/words.h"

namespace strix::planner {
namespace {

constexpr int width_least = 60;

// Foreground colours of a terminal, one per tier in turn; none of them is the usual text colour.
constexpr const char* tier_colours[] = {"\x1b[36m", "\x1b[35m", "\x1b[33m", "\x1b[32m", "\x1b[34m"};
constexpr const char* colour_error = "\x1b[31m";
constexpr const char* colour_warning = "\x1b[33m";
constexpr const char* colour_faint = "\x1b[2m";
constexpr const char* colour_end = "\x1b[0m";

std::string painted(const Style& style, const char* colour, const std::string& text) {
  return style.colour ? colour + text + colour_end : text;
}

const char* colour_of_cell(char cell) {
  int tier = cell >= 'A' && cell <= 'Z' ? cell - 'A' : cell >= 'a' && cell <= 'z' ? cell - 'a' : -1;
  return tier < 0 ? colour_faint : tier_colours[static_cast<size_t>(tier) % std::size(tier_colours)];
}

std::string painted_bar(const Style& style, const std::string& bar) {
  if (!style.colour) return bar;
  std::string text;
  for (size_t i = 0; i < bar.size();) {
    size_t end = bar.find_first_not_of(bar[i], i);
    end = end == std::string::npos ? bar.size() : end;
    text += painted(style, colour_of_cell(bar[i]), bar.substr(i, end - i));
    i = end;
  }
  return text;
}

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first two to the left, numbers to the right.
std::string aligned(const std::vector<Row>& rows) {
  constexpr size_t left_columns = 3;
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i ? "  " : "";
      line += i < left_columns ? fmt::format("{:<{}}", row[i], widths[i])
                               : fmt::format("{:>{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string fraction_text(const TierPlan& tier) {
  return tier.effective.fraction_milli ? format_fraction(*tier.effective.fraction_milli) : "-";
}

Row tier_row(const TierPlan& tier, int index) {
  const Footprint& parts = tier.footprint;
  int64_t cache = tier.effective.kv_bytes.value_or(parts.kv_bytes);
  int64_t weights = parts.weight_bytes + parts.draft_weight_bytes + parts.repacked_bytes;
  // Where it cannot run by its own numbers, what it would need.
  int64_t all = tier.claim.known_bytes() > 0 ? tier.claim.known_bytes() : parts.all_bytes();
  bool computed = tier.facts_known && parts.weight_bytes > 0;
  auto known = [&](const std::string& text) { return computed ? text : std::string("?"); };
  std::string sequences =
      fmt::format("{}.{:02}", tier.concurrency_hundredths / 100, tier.concurrency_hundredths % 100);
  return {std::string(1, tier_letter(index)),
          tier.name,
          std::string(to_string(tier.state)),
          known(gib_number(weights)),
          known(gib_number(cache)),
          known(gib_number(all - weights - cache)),
          all > 0 ? gib_number(all) : "?",
          fraction_text(tier),
          std::to_string(tier.effective.context_tokens),
          known(std::to_string(tier.largest_context_tokens)),
          tier.concurrency_hundredths > 0 ? sequences : "-"};
}

std::string bounds_table(const NodePlan& node) {
  std::vector<Row> rows{{"", "bound", "", "tiers", "limit", "left", "all wanted"}};
  const char* names[] = {"GPU fractions", "GPU memory, GiB", "everything, GiB"};
  for (size_t i = 0; i < node.bounds.size(); ++i) {
    const BoundPlan& bound = node.bounds[i];
    auto text = [&](int64_t amount) {
      return bound.bound == Bound::GpuFraction ? (amount < 0 ? "-" : "") + format_fraction(std::abs(amount))
                                               : gib_number(amount);
    };
    rows.push_back({"", names[i], bound.wanted > bound.limit ? "short" : "", text(bound.resident),
                    text(bound.limit), text(bound.limit - bound.resident), text(bound.wanted)});
  }
  return aligned(rows);
}

std::string node_text(const Plan& plan, const NodePlan& node, const Style& style) {
  const api::NodeProfile& profile = node.profile;
  std::string text =
      fmt::format("{}: {} GiB, of which the GPU may map {}; {} reserved for the system\n", node.name,
                  gib_number(profile.unified_memory_bytes), gib_number(profile.gpu_memory_bytes),
                  gib_number(profile.system_reserve_bytes));
  int cells = std::max(style.width, width_least) - 2;
  text += "[" + painted_bar(style, memory_bar(memory_map(plan, node), cells)) + "]\n";
  std::vector<Row> rows{{"", "tier", "state", "weights", "KV", "overhead", "GiB", "fraction", "context",
                         "largest", "sequences"}};
  for (size_t i = 0; i < plan.tiers.size(); ++i)
    if (plan.tiers[i].node == node.name) rows.push_back(tier_row(plan.tiers[i], static_cast<int>(i)));
  return text + "\n" + aligned(rows) + "\n" + bounds_table(node) + "\n";
}

// At word boundaries, further lines indented.
std::string wrapped(const std::string& text, int width) {
  size_t room = static_cast<size_t>(width);
  std::string lines, line;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(' ', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    if (!line.empty() && line.size() + 1 + word.size() > room) {
      lines += line + "\n";
      line = "   ";
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return lines + line + "\n";
}

std::string findings_text(const Plan& plan, const Style& style) {
  std::string text;
  for (const Finding& finding : plan.findings) {
    std::string head = fmt::format("{} {}:", to_string(finding.severity), to_string(finding.code));
    std::string lines = wrapped(head + " " + finding.message, std::max(style.width, width_least));
    const char* colour = finding.severity == Severity::Error     ? colour_error
                         : finding.severity == Severity::Warning ? colour_warning
                                                                 : colour_faint;
    text += painted(style, colour, lines.substr(0, head.size())) + lines.substr(head.size());
  }
  return text;
}

}  // namespace

std::string explain_table(const Plan& plan, const Style& style) {
  std::string text;
  for (const NodePlan& node : plan.nodes) text += node_text(plan, node, style);
  std::string order;
  for (const std::string& name : plan.order.tiers) order += (order.empty() ? "" : ", ") + name;
  text += wrapped("start order: " + order, std::max(style.width, width_least));
  text += plan.fits ? "It fits.\n" : "It does not fit.\n";
  std::string findings = findings_text(plan, style);
  return findings.empty() ? text : text + "\n" + findings;
}

}  // namespace strix::planner
