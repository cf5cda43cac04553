// Why: what a repository's weights weigh is what the headers of its files list, not what its index claims.
// May not: read a tensor, or trust an offset.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "models/byte_source.h"

namespace strix::models {

struct SafetensorsWeights {
  int64_t tensors = 0, elements = 0, bytes = 0;
  std::map<std::string, int64_t> bytes_by_dtype;  // "BF16"
  int64_t output_bytes = 0;                       // of lm_head.weight
  int64_t draft_bytes = 0;                        // of multi-token prediction
  std::optional<int64_t> announced_bytes;         // what the index says
};

// One file. Layers from `trunk_layers` on are of multi-token prediction; 0: not known.
// Errors: Invalid with the tensor, also for a file that was cut short.
Result<SafetensorsWeights> read_safetensors(const ByteSource& source, int64_t trunk_layers);

// All shards of a model.safetensors.index.json, which lie beside it. Errors: the same after the shard's name,
// and what `open` reports for a shard that is missing.
Result<SafetensorsWeights> read_safetensors_index(const std::string& index, const OpenFile& open,
                                                  int64_t trunk_layers);

}  // namespace strix::models
