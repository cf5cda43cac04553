// Why: what the planner says is kept as files that read as a document; `git diff` is the review of a change.
// May not: rewrite them unless UPDATE_GOLDEN is set.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "catch.h"
#include "source_dir.h"

namespace strix::test {

inline void check_golden(const std::string& name, const std::string& text) {
  std::string path = fake::source_dir() + "/unit/golden/planner/" + name;
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream stored;
  stored << file.rdbuf();
  INFO(name << ": UPDATE_GOLDEN=1 rewrites it");
  CHECK(stored.str() == text);
}

}  // namespace strix::test
