// Why: tests read manifests as people write them. YAML becomes JSON by the rules of kubectl's parser (YAML
// 1.1: an Off without quotes is false).
// May not: be used by the product, which reads files elsewhere.
#pragma once

#include <yaml-cpp/yaml.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "api/codec.h"
#include "base/json.h"
#include "source_dir.h"

namespace strix::test {

inline bool is_json_number(const std::string& text) {
  static const std::string digits = "0123456789";
  size_t begin = !text.empty() && text[0] == '-' ? 1 : 0;
  if (begin >= text.size() || digits.find(text[begin]) == std::string::npos) return false;
  if (text[begin] == '0' && text.size() > begin + 1 && text[begin + 1] != '.') return false;
  if (digits.find(text.back()) == std::string::npos) return false;
  bool has_exponent = text.find_first_of("eE") != std::string::npos;
  return text.find_first_not_of(has_exponent ? "0123456789.eE+-" : "0123456789.", begin) ==
             std::string::npos &&
         text.find('.') == text.rfind('.');
}

inline void write_scalar(json::Writer& out, const YAML::Node& node) {
  static const std::set<std::string> yes = {"true", "True", "TRUE", "yes", "Yes", "on", "On"};
  static const std::set<std::string> no = {"false", "False", "FALSE", "no", "No", "off", "Off"};
  const std::string& text = node.Scalar();
  bool plain = node.Tag() != "!";
  if (plain && yes.count(text)) {
    out.boolean(true);
  } else if (plain && no.count(text)) {
    out.boolean(false);
  } else if (plain && (text == "null" || text == "~")) {
    out.null();
  } else if (plain && is_json_number(text)) {
    out.raw(text);
  } else {
    out.string(text);
  }
}

inline void write_node(json::Writer& out, const YAML::Node& node) {
  if (node.IsMap()) {
    out.begin_object();
    for (const auto& member : node) {
      out.key(member.first.Scalar());
      write_node(out, member.second);
    }
    out.end_object();
  } else if (node.IsSequence()) {
    out.begin_array();
    for (const auto& element : node) write_node(out, element);
    out.end_array();
  } else if (node.IsScalar()) {
    write_scalar(out, node);
  } else {
    out.null();
  }
}

inline std::string yaml_to_json(const YAML::Node& node) {
  json::Writer out;
  write_node(out, node);
  return out.take();
}

inline json::Document parse(const std::string& text) {
  auto document = json::Document::parse(text);
  INVARIANT(document.ok());
  return std::move(document).value();
}

inline Result<api::InferenceStack> decode_yaml(const std::string& yaml) {
  return api::decode_stack(parse(yaml_to_json(YAML::Load(yaml))).root());
}

inline std::string read_source(const std::string& path) {
  std::ifstream file(fake::source_dir() + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  INVARIANT(!text.str().empty());
  return text.str();
}

// Two tiers, one of each engine, on one node: nothing that has a default.
inline const char* const minimal_stack = R"(
apiVersion: inference.strix.dev/v1alpha1
kind: InferenceStack
metadata: {name: strix, namespace: llm, resourceVersion: "7", generation: 3}
spec:
  nodes:
  - name: halo
    selector: {kubernetes.io/hostname: strix-halo}
    profile: {unifiedMemory: 128Gi, gpuMemory: 124Gi}
    devices: {resourceName: squat.ai/dri}
    modelStore: {hostPath: {path: /var/lib/models}}
  tiers:
  - name: coder
    engine: vllm
    model: {repository: Qwen/Qwen3-Coder-30B-A3B-Instruct}
    port: 8002
    contextLength: 49152
    memory: {gpuFraction: 0.55}
  - name: utility
    engine: llamacpp
    model: {file: Qwen2.5-3B-Instruct-Q4_K_M.gguf}
    port: 8012
    contextLength: 8192
)";

inline api::InferenceStack minimal() {
  auto stack = decode_yaml(minimal_stack);
  INVARIANT(stack.ok());
  return std::move(stack).value();
}

}  // namespace strix::test
