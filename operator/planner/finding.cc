#include "planner/finding.h"

namespace strix::planner {

std::string_view to_string(FindingCode code) {
  switch (code) {
    case FindingCode::ContextBeyondModel:
      return "ContextBeyondModel";
    case FindingCode::ContextUnknown:
      return "ContextUnknown";
    case FindingCode::RopeThetaUnknown:
      return "RopeThetaUnknown";
    case FindingCode::CacheTypeUnknown:
      return "CacheTypeUnknown";
    case FindingCode::CacheTypeUnfit:
      return "CacheTypeUnfit";
    case FindingCode::FractionMissing:
      return "FractionMissing";
    case FindingCode::FractionTooSmall:
      return "FractionTooSmall";
    case FindingCode::KvCacheTooSmall:
      return "KvCacheTooSmall";
    case FindingCode::TooBigForNode:
      return "TooBigForNode";
    case FindingCode::NodeUnknown:
      return "NodeUnknown";
    case FindingCode::StartAfterCycle:
      return "StartAfterCycle";
    case FindingCode::CombinationRefused:
      return "CombinationRefused";
    case FindingCode::CombinationUnverified:
      return "CombinationUnverified";
    case FindingCode::CombinationDegraded:
      return "CombinationDegraded";
    case FindingCode::NeedsEager:
      return "NeedsEager";
    case FindingCode::QuantizationUnknown:
      return "QuantizationUnknown";
    case FindingCode::Parked:
      return "Parked";
    case FindingCode::Refused:
      return "Refused";
    case FindingCode::ArchitectureUnknown:
      return "ArchitectureUnknown";
    case FindingCode::FactsMissing:
      return "FactsMissing";
    case FindingCode::NodeDiffers:
      return "NodeDiffers";
    case FindingCode::FactsDoubted:
      return "FactsDoubted";
  }
  return "Unknown";
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::Error:
      return "error";
    case Severity::Warning:
      return "warning";
    case Severity::Note:
      return "note";
  }
  return "unknown";
}

}  // namespace strix::planner
