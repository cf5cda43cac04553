#include <fmt/format.h>

#include <algorithm>

#include "planner/explain.h"
#include "planner/memory_map.h"
#include "planner/words.h"

namespace strix::planner {
namespace {

constexpr int picture_width = 960, margin = 20, bar_height = 44, row_height = 20, title_height = 34;

// One hue per tier: weights full, cache lighter, overhead hatched by being lighter still. Readable on a light
// and on a dark page, since the picture brings its own ground.
constexpr const char* hues[] = {"#2a6f97", "#b5543c", "#5b7f3b", "#7d5ba6", "#b08a2e", "#3d8b84"};
constexpr const char* free_colour = "#e9ecef";
constexpr const char* reserve_colour = "#adb5bd";

std::string escaped(const std::string& text) {
  std::string safe;
  for (char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string colour_of(const Piece& piece) {
  if (piece.kind == PieceKind::Free) return free_colour;
  if (piece.kind == PieceKind::Reserve) return reserve_colour;
  return hues[static_cast<size_t>(std::max(piece.tier, 0)) % std::size(hues)];
}

const char* opacity_of(PieceKind kind) {
  return kind == PieceKind::Cache ? "0.65" : kind == PieceKind::Overhead ? "0.35" : "1";
}

std::string name_of(const Plan& plan, const Piece& piece) {
  switch (piece.kind) {
    case PieceKind::Weights:
      return plan.tiers[static_cast<size_t>(piece.tier)].name + ": weights";
    case PieceKind::Cache:
      return plan.tiers[static_cast<size_t>(piece.tier)].name + ": KV cache";
    case PieceKind::Overhead:
      return plan.tiers[static_cast<size_t>(piece.tier)].name + ": overhead";
    case PieceKind::Free:
      return "free";
    case PieceKind::Reserve:
      return "reserved for the system";
  }
  return {};
}

std::string text_at(int x, int y, const char* weight, const std::string& text) {
  return fmt::format("<text x=\"{}\" y=\"{}\" font-weight=\"{}\">{}</text>\n", x, y, weight, escaped(text));
}

// A bar, and below it a line per piece; y moves down.
std::string node_picture(const Plan& plan, const NodePlan& node, int& y) {
  std::vector<Piece> pieces = memory_map(plan, node);
  int64_t total = 0;
  for (const Piece& piece : pieces) total = std::min(total + piece.bytes, bytes_most);
  std::string svg = text_at(
      margin, y, "bold",
      fmt::format("{}: {} GiB, of which the GPU may map {}", node.name,
                  gib_number(node.profile.unified_memory_bytes), gib_number(node.profile.gpu_memory_bytes)));
  y += 12;
  constexpr int bar_width = picture_width - 2 * margin;
  int64_t before = 0;
  std::string legend;
  int legend_y = y + bar_height + row_height;
  for (const Piece& piece : pieces) {
    auto column = [&](int64_t bytes) {  // thousandths first, so that no product leaves 64 bits
      return static_cast<int>(bytes / std::max<int64_t>(total / 100000, 1) * bar_width / 100000);
    };
    int left = std::min(column(before), bar_width), right = std::min(column(before + piece.bytes), bar_width);
    before += piece.bytes;
    std::string paint =
        fmt::format("fill=\"{}\" fill-opacity=\"{}\"", colour_of(piece), opacity_of(piece.kind));
    std::string label = name_of(plan, piece) + ", " + gib_text(piece.bytes);
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}><title>{}</title></rect>\n",
                       margin + left, y, right - left, bar_height, paint, escaped(label));
    legend += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" {}/>\n", margin, legend_y - 11,
                          paint);
    legend += text_at(margin + 20, legend_y, "normal", label);
    legend_y += row_height;
  }
  y = legend_y + row_height;
  return svg + legend;
}

}  // namespace

std::string explain_svg(const Plan& plan) {
  int y = title_height;
  std::string body;
  for (const NodePlan& node : plan.nodes) body += node_picture(plan, node, y);
  for (const TierPlan& tier : plan.tiers) {
    if (tier.state == TierState::Resident) continue;
    body += text_at(margin, y, "normal", tier.name + ": " + std::string(to_string(tier.state)));
    y += row_height;
  }
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
             "font-family=\"sans-serif\" font-size=\"13\" fill=\"#212529\">\n"
             "<title>{2}</title>\n"
             "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
             picture_width, y, plan.fits ? "memory plan: it fits" : "memory plan: it does not fit") +
         body + "</svg>\n";
}

}  // namespace strix::planner
