// Why: the checks behind validate(), one function per subject, so that the table in validate.cc reads as the
// list of what is checked.
// May not: be used outside validate*.cc and their tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/validate.h"

namespace strix::api::checks {

class Findings {
 public:
  static constexpr size_t errors_max = 32;
  void add(std::string path, std::string message) {
    if (errors_.size() < errors_max) errors_.push_back({std::move(path), std::move(message)});
  }
  std::vector<FieldError> take() { return std::move(errors_); }

 private:
  std::vector<FieldError> errors_;
};

using StackCheck = void (*)(const InferenceStack& stack, const Policy& policy, Findings& findings);
using NodeCheck = void (*)(const StackNode& node, const std::string& path, Findings& findings);

// One tier, its path ("spec.tiers[coder]") and the node that it sits on (null when the spec does not say).
struct TierSubject {
  const InferenceStack& stack;
  const Tier& tier;
  const StackNode* node;
  std::string path;
};
using TierCheck = void (*)(const TierSubject& subject, Findings& findings);

// "spec.tiers[coder]"; by index where the name is not fit to be printed.
std::string tier_path(const InferenceStack& stack, size_t index);
std::string node_path(const InferenceStack& stack, size_t index);
const StackNode* node_of(const StackSpec& spec, const Tier& tier);

// Stack.
void stack_name(const InferenceStack& stack, const Policy& policy, Findings& findings);
void counts(const InferenceStack& stack, const Policy& policy, Findings& findings);
void tuning(const InferenceStack& stack, const Policy& policy, Findings& findings);
void unique_names(const InferenceStack& stack, const Policy& policy, Findings& findings);
void engine_defaults(const InferenceStack& stack, const Policy& policy, Findings& findings);
void unique_ports(const InferenceStack& stack, const Policy& policy, Findings& findings);
void start_after_cycles(const InferenceStack& stack, const Policy& policy, Findings& findings);
// Policy.
void privileged_tiers(const InferenceStack& stack, const Policy& policy, Findings& findings);
void host_paths(const InferenceStack& stack, const Policy& policy, Findings& findings);
void images(const InferenceStack& stack, const Policy& policy, Findings& findings);
void owned_arguments(const InferenceStack& stack, const Policy& policy, Findings& findings);
void owned_environment(const InferenceStack& stack, const Policy& policy, Findings& findings);
// Node.
void node_name(const StackNode& node, const std::string& path, Findings& findings);
void node_selector(const StackNode& node, const std::string& path, Findings& findings);
void node_profile(const StackNode& node, const std::string& path, Findings& findings);
void node_devices(const StackNode& node, const std::string& path, Findings& findings);
void node_model_store(const StackNode& node, const std::string& path, Findings& findings);
// Tier.
void tier_name(const TierSubject& subject, Findings& findings);
void tier_node(const TierSubject& subject, Findings& findings);
void tier_model(const TierSubject& subject, Findings& findings);
void tier_facts(const TierSubject& subject, Findings& findings);
void tier_speculative(const TierSubject& subject, Findings& findings);
void tier_context(const TierSubject& subject, Findings& findings);
void tier_memory(const TierSubject& subject, Findings& findings);
void tier_devices(const TierSubject& subject, Findings& findings);
void tier_numbers(const TierSubject& subject, Findings& findings);
void tier_texts(const TierSubject& subject, Findings& findings);
void tier_engine_only(const TierSubject& subject, Findings& findings);
void tier_start_after(const TierSubject& subject, Findings& findings);
void tier_arguments(const TierSubject& subject, Findings& findings);
void tier_resources(const TierSubject& subject, Findings& findings);
void tier_service(const TierSubject& subject, Findings& findings);

// Shared by engines and tiers.
void environment(const std::vector<EnvVar>& env, const std::string& path, Findings& findings);
void volume(const VolumeChoice& volume, const std::string& path, Findings& findings);
void range(const std::string& path, int64_t value, int64_t low, int64_t high, Findings& findings);

// --- texts: the CRD's patterns, without std::regex, which recurses on its input -------------------------

bool is_tier_name(std::string_view text);       // [a-z][a-z0-9]*, at most 30
bool is_label(std::string_view text);           // [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63
bool is_subdomain(std::string_view text);       // the same with dots, at most 253
bool is_qualified_name(std::string_view text);  // name or prefix/name, as in labels and annotations
bool is_label_value(std::string_view text);
bool is_absolute_path(std::string_view text);  // without .. and characters that need quoting
bool is_image(std::string_view text);
// Letters, digits and `extra`; the first one a letter, a digit or of `first_extra`.
bool is_word(std::string_view text, std::string_view extra, std::string_view first_extra = "");
size_t characters(std::string_view text);  // not bytes: as the API server counts maxLength

}  // namespace strix::api::checks
