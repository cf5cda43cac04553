// Why: what programs make is JSON; people read it as YAML.
// May not: know a schema, or write what kubectl would read back as something else.
#pragma once

#include <string>

#include "base/json.h"

namespace strix::yaml {

// Block style, members as they came, texts in JSON's quotes, which YAML reads alike. Ends in a line break.
std::string write(json::Value value);

}  // namespace strix::yaml
