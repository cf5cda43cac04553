#include "planner/memory_map.h"

#include <algorithm>

#include "planner/checked.h"

namespace strix::planner {
namespace {

constexpr int letters = 26;

void add(std::vector<Piece>& pieces, PieceKind kind, int tier, int64_t bytes) {
  if (bytes > 0) pieces.push_back({kind, tier, bytes});
}

// A tier of which only the claim is known is all overhead.
void add_tier(std::vector<Piece>& pieces, const TierPlan& tier, int index) {
  int64_t all = tier.claim.known_bytes();
  if (!tier.facts_known) return add(pieces, PieceKind::Overhead, index, all);
  int64_t weights = std::min(
      all, tier.footprint.weight_bytes + tier.footprint.draft_weight_bytes + tier.footprint.repacked_bytes);
  int64_t cache = std::min(all - weights, tier.effective.kv_bytes.value_or(tier.footprint.kv_bytes));
  add(pieces, PieceKind::Weights, index, weights);
  add(pieces, PieceKind::Cache, index, cache);
  add(pieces, PieceKind::Overhead, index, all - weights - cache);
}

char cell_of(const Piece& piece) {
  char letter = tier_letter(piece.tier);
  switch (piece.kind) {
    case PieceKind::Weights:
      return letter;
    case PieceKind::Cache:
      return static_cast<char>(letter - 'A' + 'a');
    case PieceKind::Overhead:
      return '+';
    case PieceKind::Free:
      return '.';
    case PieceKind::Reserve:
      return '/';
  }
  return '?';
}

}  // namespace

char tier_letter(int tier) {
  return static_cast<char>('A' + std::max(tier, 0) % letters);
}

std::vector<Piece> memory_map(const Plan& plan, const NodePlan& node) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < plan.tiers.size(); ++i)
    if (plan.tiers[i].node == node.name && plan.tiers[i].state == TierState::Resident)
      add_tier(pieces, plan.tiers[i], static_cast<int>(i));
  const api::NodeProfile& profile = node.profile;
  int64_t used = 0;
  for (const Piece& piece : pieces) used = std::min(used + piece.bytes, bytes_most);
  add(pieces, PieceKind::Free, -1, profile.unified_memory_bytes - profile.system_reserve_bytes - used);
  add(pieces, PieceKind::Reserve, -1, profile.system_reserve_bytes);
  return pieces;
}

std::string memory_bar(const std::vector<Piece>& pieces, int cells) {
  Checked sum = 0;
  for (const Piece& piece : pieces) sum += piece.bytes;
  int64_t total = sum.value().value_or(0);
  std::string bar;
  if (total <= 0 || cells <= 0) return bar;
  // A cell is of the piece that its middle lies in: cells and not bytes are rounded, so the bar is full.
  int64_t cell = std::max<int64_t>(total / cells, 1), end = 0;
  size_t piece = 0;
  for (int i = 0; i < cells; ++i) {
    int64_t middle = cell * i + cell / 2;
    while (piece < pieces.size() && middle >= end + pieces[piece].bytes) end += pieces[piece++].bytes;
    if (piece == pieces.size()) break;
    bar += cell_of(pieces[piece]);
  }
  return bar;
}

}  // namespace strix::planner
