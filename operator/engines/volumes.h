// Why: what a tier sees of the host: models, caches, shared memory and, for GPU tiers, device files.
// May not: decide whether a host path is allowed; validate() has done that.
#pragma once

#include "api/inference_stack.h"
#include "base/json.h"

namespace strix::engines {

struct Sight {
  const api::StackSpec& spec;
  const api::Tier& tier;
  const api::StackNode& node;
};

bool uses_gpu(const api::Tier& tier);
// Host paths that are mounted into a GPU tier of a node with strategy Privileged; otherwise none.
std::vector<std::string> device_paths(const Sight& sight);

void write_volumes(json::Writer& writer, const Sight& sight);
void write_mounts(json::Writer& writer, const Sight& sight);

}  // namespace strix::engines
