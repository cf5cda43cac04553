// Why: a plan for people (table, picture) and for programs (JSON, YAML). What `strix-operator plan` prints.
// May not: know a terminal; width and colour are told.
#pragma once

#include <string>

#include "planner/plan.h"

namespace strix::planner {

struct Style {
  int width = 100;  // columns, at least 60
  bool colour = false;
};

// Per node the bar of the memory map, its tiers and its three bounds; then start order and findings.
std::string explain_table(const Plan& plan, const Style& style);
std::string explain_json(const Plan& plan);  // one line, bytes as integers, fractions as decimals
std::string explain_yaml(const Plan& plan);  // the same document
std::string explain_svg(const Plan& plan);

}  // namespace strix::planner
