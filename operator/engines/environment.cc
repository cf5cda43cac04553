#include <algorithm>

#include "base/bytes.h"
#include "engines/dialect.h"
#include "engines/engine.h"

namespace strix::engines {
namespace {

// The last value of a name wins, in the place of the first: an env list with a name twice is refused or
// misread by half of what handles pods.
void merge(std::vector<api::EnvVar>& variables, const std::vector<api::EnvVar>& more) {
  for (const api::EnvVar& variable : more) {
    auto same = [&](const api::EnvVar& other) { return other.name == variable.name; };
    auto found = std::find_if(variables.begin(), variables.end(), same);
    if (found == variables.end())
      variables.push_back(variable);
    else
      *found = variable;
  }
}

// By the environment and not by a flag: a command line can be read in the pod, in `ps` and in logs.
std::vector<api::EnvVar> key_environment(const api::Tier& tier) {
  if (tier.api_key_secret_name.empty()) return {};
  return {{.name = tier.engine == api::Engine::Vllm ? "VLLM_API_KEY" : "LLAMA_API_KEY",
           .value = {},
           .secret_name = tier.api_key_secret_name,
           .secret_key = tier.api_key_secret_key}};
}

}  // namespace

std::vector<api::EnvVar> offline_environment(api::Engine engine) {
  auto on = [](std::string name) {
    return api::EnvVar{.name = std::move(name), .value = "1", .secret_name = {}, .secret_key = {}};
  };
  std::vector<api::EnvVar> variables{on("HF_HUB_OFFLINE"), on("DO_NOT_TRACK")};
  if (engine == api::Engine::Vllm) {
    variables.push_back(on("TRANSFORMERS_OFFLINE"));
    variables.push_back(on("VLLM_NO_USAGE_STATS"));
  }
  return variables;
}

std::vector<api::EnvVar> environment(const api::StackSpec& spec, const api::Tier& tier,
                                     const planner::Effective& effective) {
  const api::EngineDefaults& defaults = spec.defaults_of(tier.engine);
  std::vector<api::EnvVar> variables = tier.engine == api::Engine::Vllm
                                           ? vllm::environment(tier)
                                           : llama_cpp::environment(tier, defaults.cache.set());
  merge(variables, effective.environment);
  merge(variables, defaults.env);
  merge(variables, tier.env);
  merge(variables, offline_environment(tier.engine));
  merge(variables, key_environment(tier));
  return variables;
}

std::string decimal(int64_t milli) {
  std::string text = format_fraction(milli);  // two or three decimals
  if (text.back() == '0') text.pop_back();
  return text;
}

bool is_path(std::string_view text) {
  return text.find('/') != std::string_view::npos;
}

std::string served_model_name(const api::Tier& tier) {
  return tier.served_model_name.empty() ? tier.name : tier.served_model_name;
}

std::vector<std::string> command_line(const api::InferenceStack&, const api::Tier& tier,
                                      const api::StackNode&, const planner::Effective& effective) {
  return tier.engine == api::Engine::Vllm ? vllm::arguments(tier, effective)
                                          : llama_cpp::arguments(tier, effective);
}

}  // namespace strix::engines
