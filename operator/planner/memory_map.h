// Why: the pool of one node as a row of pieces: who holds what of it, what nobody may have, what is free. The
// bar in a terminal and the picture are both drawn from this.
// May not: draw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/plan.h"

namespace strix::planner {

enum class PieceKind { Weights, Cache, Overhead, Free, Reserve };

struct Piece {
  PieceKind kind = PieceKind::Free;
  int tier = -1;  // index in Plan::tiers; -1: nobody's
  int64_t bytes = 0;
  bool operator==(const Piece&) const = default;
};

// Pieces of tiers that should run, in start order, then what is free and what is reserved. They add up to
// the pool, unless more is promised than there is: then nothing is free.
std::vector<Piece> memory_map(const Plan& plan, const NodePlan& node);

// The same as text, one character per cell: A is weights of the first tier, a its cache, + its overhead, . is
// free, / is reserved. B and b are of the second tier.
std::string memory_bar(const std::vector<Piece>& pieces, int cells);

// 'A' for the first tier of the plan.
char tier_letter(int tier);

}  // namespace strix::planner
