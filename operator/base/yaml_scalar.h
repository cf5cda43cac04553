// Why: what a scalar without quotes means is a list of cases of its own, and kubectl's is not yaml-cpp's.
// May not: include yaml-cpp.
#pragma once

#include <string>
#include <string_view>

namespace strix::yaml {

enum class ScalarKind { Null, Boolean, Integer, Number, Text, NotANumber };  // the last: .nan, .inf

struct Scalar {
  ScalarKind kind = ScalarKind::Text;
  std::string json;  // ready to be written; of Text the text itself
};

// A plain scalar as sigs.k8s.io/yaml (its goyaml.v2, resolve.go) reads it.
Scalar resolve(std::string_view text);

}  // namespace strix::yaml
