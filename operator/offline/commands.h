// Why: what the operator would do with a stack, said on a laptop or in the CI of a Git repository: its plan,
// its pods, and whether its spec is valid.
// May not: reach a cluster, or answer by other arithmetic than the operator's own.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "api/validate.h"
#include "planner/explain.h"

namespace strix::offline {

enum class Format { Table, Json, Yaml, Svg };

// Exit codes of all three commands.
inline constexpr int exit_fits = 0;        // or valid, or rendered
inline constexpr int exit_does_not = 1;    // does not fit, or is not valid
inline constexpr int exit_unreadable = 2;  // input that cannot be read, or is wrong

struct Request {
  std::vector<std::string> files;  // see read_manifests
  std::string node_facts;          // file of measured nodes; empty: what the profiles say
  std::string models;              // folder to read facts from; empty: the catalogue alone
  std::string capabilities;        // file of rows before the built-in ones; empty: none
  Format format = Format::Table;
  planner::Style style;
  api::Policy policy;
};

// Standard streams, for tests to replace.
struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

// An invalid spec is not planned: its errors are told as validate() does, and the exit code is
// exit_unreadable. Json: one line per stack. Svg: exactly one stack.
int plan(const Request& request, Streams streams);

// The pods and Services of every tier that should run, as Yaml or Json (one line each).
int render(const Request& request, Streams streams);

// Also what is known to crash, hang or end at once, which the other two show as errors of the plan.
int validate(const Request& request, Streams streams);

}  // namespace strix::offline
