// Why: pod and Service of a tier are found by the same labels and belong to the same stack.
// May not: differ between the two.
#pragma once

#include <map>
#include <string>

#include "api/inference_stack.h"
#include "base/json.h"

namespace strix::engines {

inline constexpr const char* container_name = "engine";
inline constexpr const char* port_name = "http";

std::string object_name(const api::InferenceStack& stack, const api::Tier& tier);  // <stack>-<tier>
std::map<std::string, std::string> labels_of(const api::InferenceStack& stack, const api::Tier& tier);
// What selects the pods of one tier within its namespace.
std::map<std::string, std::string> selector_of(const api::InferenceStack& stack, const api::Tier& tier);

// Of the canonical form of a body, so that the order in which it is written may change without every pod of
// every stack being made anew by an upgrade of the operator.
std::string canonical_hash(const std::string& body);

void write_map(json::Writer& writer, std::string_view key, const std::map<std::string, std::string>& map);
void write_owner(json::Writer& writer, const api::InferenceStack& stack);

}  // namespace strix::engines
