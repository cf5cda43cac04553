// Why: `plan`, `render` and `validate` read the files that people keep in Git, and say in which file, line
// and field something is wrong.
// May not: talk to a cluster, or leave out a document in silence: what is no InferenceStack is counted.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "api/inference_stack.h"
#include "base/yaml.h"

namespace strix::offline {

struct Manifest {
  std::string file;  // as it was named; "-" for standard input
  yaml::Document document;
  api::InferenceStack stack;

  // "stack.yaml:12:5: spec.tiers[2].port: ..."; the line is that of the field, or of what holds it.
  std::string at(const std::string& path, const std::string& message) const;
};

struct Manifests {
  std::vector<Manifest> stacks;     // in the order of the paths, files of a folder by name
  std::vector<std::string> errors;  // one sentence each, with file and line
  int other_documents = 0;          // of other kinds
};

// `paths`: files, folders (their .yaml, .yml and .json files, not deeper), or "-" for `input`. At most 1000
// files of at most 4 MiB. A file that was named and cannot be read is an error, and so is a document that is
// no Kubernetes object.
Manifests read_manifests(const std::vector<std::string>& paths, std::istream& input);

// At most `bytes_max` of a file. Errors: NotFound, Invalid.
Result<std::string> read_text(const std::string& path, size_t bytes_max);

}  // namespace strix::offline
