// Why: every "no" of the planner is a sentence with numbers and a way out, with a code for programs.
// May not: be parsed; the code is for that.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace strix::planner {

enum class FindingCode {
  // A tier cannot run by its own numbers.
  ContextBeyondModel,
  ContextUnknown,  // contextLength: auto without facts
  RopeThetaUnknown,
  CacheTypeUnknown,
  CacheTypeUnfit,  // rows of the model's cache are not whole blocks of the type
  FractionMissing,
  FractionTooSmall,
  KvCacheTooSmall,
  TooBigForNode,
  NodeUnknown,
  StartAfterCycle,
  // What engine, image, target and what is asked of them do together; see combination.h.
  CombinationRefused,
  CombinationUnverified,
  CombinationDegraded,
  NeedsEager,
  QuantizationUnknown,
  // All do not fit together.
  Parked,
  Refused,
  // What the plan does not rest on firm ground with.
  ArchitectureUnknown,
  FactsMissing,
  NodeDiffers,  // what was measured is not what the profile says
  FactsDoubted,
};
std::string_view to_string(FindingCode code);

enum class Severity { Error, Warning, Note };
std::string_view to_string(Severity severity);

struct Finding {
  FindingCode code = FindingCode::FactsMissing;
  Severity severity = Severity::Error;
  std::string tier;  // or empty: of the node
  std::string node;  // entry of spec.nodes
  std::string message;
  bool operator==(const Finding&) const = default;
};

}  // namespace strix::planner
