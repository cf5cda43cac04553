// Why: what an engine said of itself is worth a measurement for as long as it is started as it was then.
// Which parts of a spec and a plan that is about stands here, in one place.
// May not: remember anything; status.learned does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "planner/effective.h"
#include "planner/engine_settings.h"
#include "planner/footprint.h"

namespace strix::planner {

// Hash of all that decides which context an engine takes, as the plan has it before anything that was
// learned: image, model, arguments, environment, its memory, and the context asked for.
// `device_bytes`: what its fraction is a share of.
std::string context_inputs(const api::StackSpec& spec, const api::Tier& tier, const EngineSettings& settings,
                           const Effective& effective, int64_t device_bytes);

// Hash of what decides how much an engine takes beside weights and cache: the same without its memory and its
// context.
std::string engine_inputs(const api::StackSpec& spec, const api::Tier& tier, const EngineSettings& settings);

// Hash of what the total that an engine measures depends on: the machine with what is declared of it, and the
// image: ROCm's versions do not agree on what there is.
std::string gpu_inputs(const api::StackSpec& spec, const api::Tier& tier, const api::StackNode& node);
// What an engine of that hash measured; the least where several did. Absent: none has said.
std::optional<int64_t> measured_gpu_bytes(const std::vector<api::Learned>& learned,
                                          const std::string& inputs);

// How many tokens the cache of an engine that fills its share by itself holds, in requests of full length,
// when it takes so many bytes beside weights and cache; and the other way round. `share_bytes`: what its
// fraction comes to. Absent: no sane number comes of it.
std::optional<int64_t> tokens_left(const Footprint& parts, int64_t context_tokens, int64_t share_bytes,
                                   int64_t engine_bytes);
std::optional<int64_t> engine_bytes_of(const Footprint& parts, int64_t context_tokens, int64_t share_bytes,
                                       int64_t kv_tokens);

// What a tier that may choose is planned with instead of `planned_tokens`: the engine's own estimate, on the
// grid, and never more than was refused last, so that it only ever goes down. Absent: that is no less.
std::optional<int64_t> smaller_context_tokens(const api::Tier& tier, const api::LearnedContext& learned,
                                              int64_t planned_tokens);

}  // namespace strix::planner
