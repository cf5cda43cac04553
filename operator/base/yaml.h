// Why: people write YAML (manifests, kubeconfigs, data tables), and it must mean here what it means to
// kubectl. This is the only place that parses it, into the JSON values that everything else reads.
// May not: throw, expand aliases without bound, or quote in an error what it read, but for names of members:
// tokens and keys are in kubeconfigs.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace strix::yaml {

struct Limits {
  size_t bytes_max = 4u << 20;
  int depth_max = 60;
  size_t nodes_max = 200'000;  // of all documents, with each alias counted as what it stands for
  size_t documents_max = 1000;
};

struct Location {
  int line = 0, column = 0;  // from 1; 0 when there is none
  bool operator==(const Location&) const = default;
};

// One document as JSON, and where in the text its members stand. Immutable; any thread.
class Document {
 public:
  json::Value root() const { return json_.root(); }
  // Of the member or element that a path leads to ("spec.tiers[2].port", `metadata.labels["a.b/c"]`), or of
  // the last one on the way that is there.
  Location locate(std::string_view path) const;

 private:
  friend class Reading;
  struct Tree;
  Document(std::shared_ptr<const Tree> tree, json::Document json)
      : tree_(std::move(tree)), json_(std::move(json)) {}

  std::shared_ptr<const Tree> tree_;  // of all documents of the text
  json::Document json_;
  size_t root_node_ = 0;
};

// By the rules of sigs.k8s.io/yaml: YAML 1.1, so that an Off without quotes is false and 010 is 8; but a
// member that is named twice is an error. Errors: Invalid, with line and column.
Result<std::vector<Document>> parse_all(std::string_view text, Limits limits = {});

// The one document of a text; an empty text is null.
Result<Document> parse(std::string_view text, Limits limits = {});

}  // namespace strix::yaml
