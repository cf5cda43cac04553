// Why: a model store is `<store>/<repository>` and `<store>/<file>.gguf`; facts come from what lies there.
// May not: list folders, write, or follow a name that a file gives out of its folder.
#pragma once

#include <string>

#include "models/byte_source.h"
#include "models/facts.h"

namespace strix::models {

// config.json and the safetensors beside it. Without weights the facts have none. Errors: NotFound (no such
// model, or a shard of it is missing), Invalid with file and field.
Result<ModelFacts> facts_of_repository(const std::string& repository, const OpenFile& open);

// A GGUF, with its parts. Errors: the same.
Result<ModelFacts> facts_of_file(const std::string& file, const OpenFile& open);

}  // namespace strix::models
