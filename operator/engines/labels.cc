#include "engines/labels.h"

#include <functional>
#include <utility>

#include "api/names.h"
#include "base/hash.h"

namespace strix::engines {
namespace {
constexpr std::string_view component = "inference-tier";
}

std::string object_name(const api::InferenceStack& stack, const api::Tier& tier) {
  return stack.metadata.name + "-" + tier.name;
}

std::map<std::string, std::string> selector_of(const api::InferenceStack& stack, const api::Tier& tier) {
  return {{std::string(names::label_stack), stack.metadata.name},
          {std::string(names::label_tier), tier.name},
          {std::string(names::label_component), std::string(component)}};
}

std::map<std::string, std::string> labels_of(const api::InferenceStack& stack, const api::Tier& tier) {
  auto labels = selector_of(stack, tier);
  labels[std::string(names::label_engine)] = api::to_string(tier.engine);
  labels[std::string(names::label_managed_by)] = names::manager;
  labels[std::string(names::label_instance)] = stack.metadata.name;
  return labels;
}

// Each pass over a stack that has settled asks for the same ones again, and to parse and sort them anew is
// most of what such a pass costs: they are remembered, by length and hash of the body.
std::string canonical_hash(const std::string& body) {
  constexpr size_t known_most = 256;
  thread_local std::map<std::pair<size_t, size_t>, std::string> known;
  std::pair key{body.size(), std::hash<std::string>{}(body)};
  if (auto found = known.find(key); found != known.end()) return found->second;
  auto canonical = json::canonicalize(body);
  INVARIANT(canonical.ok());  // we wrote it
  if (known.size() >= known_most) known.clear();
  return known[key] = stable_hash_hex(*canonical);
}

void write_map(json::Writer& writer, std::string_view key, const std::map<std::string, std::string>& map) {
  writer.key(key).begin_object();
  for (const auto& [name, value] : map) writer.member(name, value);
  writer.end_object();
}

void write_owner(json::Writer& writer, const api::InferenceStack& stack) {
  writer.key("ownerReferences").begin_array().begin_object();
  writer.member("apiVersion", names::api_version);
  writer.member("kind", names::kind);
  writer.member("name", stack.metadata.name);
  writer.member("uid", stack.metadata.uid);
  writer.member("controller", true);
  writer.member("blockOwnerDeletion", true);  // a foreground delete of the stack waits for its tiers
  writer.end_object().end_array();
}

}  // namespace strix::engines
