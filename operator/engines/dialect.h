// Why: what the pod needs to know of its engine, one set of functions per engine, and the places where the
// pod's volumes are mounted, which both sides of a command line have to agree on.
// May not: know how a pod is written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/inference_stack.h"
#include "planner/effective.h"

namespace strix::engines {

inline constexpr std::string_view store_mount = "/models";  // the model store, read-only
inline constexpr std::string_view cache_mount = "/cache";   // what engines compile and tune

namespace vllm {
std::vector<std::string> arguments(const api::Tier& tier, const planner::Effective& effective);
std::vector<api::EnvVar> environment(const api::Tier& tier);
}  // namespace vllm

namespace llama_cpp {
std::vector<std::string> arguments(const api::Tier& tier, const planner::Effective& effective);
std::vector<api::EnvVar> environment(const api::Tier& tier, bool has_cache);
}  // namespace llama_cpp

// What keeps an engine off the network, whatever else is set: a model that is not in the store is an error
// at once rather than a download of an hour in the load window.
std::vector<api::EnvVar> offline_environment(api::Engine engine);

// All of a tier's variables in their final order, each name once: the engine's by default, what the
// capability table has for it, the stack's for the engine, the tier's, and last what nobody may change.
std::vector<api::EnvVar> environment(const api::StackSpec& spec, const api::Tier& tier,
                                     const planner::Effective& effective);

// 4000 is "4.0": a factor as both engines read it.
std::string decimal(int64_t milli);

// Whether the value of chatTemplate is the path of a file rather than a template's name.
bool is_path(std::string_view text);

}  // namespace strix::engines
