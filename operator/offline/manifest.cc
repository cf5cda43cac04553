#include "offline/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "api/codec.h"
#include "api/names.h"

namespace strix::offline {

namespace {

constexpr size_t files_max = 1000;
constexpr size_t bytes_max = 4u << 20;

Result<std::string> read_stream(std::istream& stream, const std::string& name, size_t most) {
  std::string text(most + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > most)
    return Error{ErrorKind::Invalid, fmt::format("{}: more than {} bytes", name, most), 0};
  return text;
}

bool is_manifest(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// The files that a path stands for.
Result<std::vector<std::string>> files_at(const std::string& path) {
  std::error_code failed;
  if (path == "-" || !std::filesystem::is_directory(path, failed)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator entry(path, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    if (!entry->is_regular_file(failed) || !is_manifest(entry->path())) continue;
    if (files.size() == files_max)
      return Error{ErrorKind::Invalid, fmt::format("{}: more than {} manifests", path, files_max), 0};
    files.push_back(entry->path().string());
  }
  if (failed) return Error{ErrorKind::Invalid, path + ": " + failed.message(), 0};
  if (files.empty()) return Error{ErrorKind::NotFound, path + ": no .yaml, .yml or .json file in it", 0};
  std::sort(files.begin(), files.end());
  return files;
}

std::string place(const std::string& file, yaml::Location location) {
  return location.line > 0 ? fmt::format("{}:{}:{}", file, location.line, location.column) : file;
}

bool is_stack(json::Value object) {
  return object["kind"].string_or("") == names::kind &&
         object["apiVersion"].string_or("").starts_with(std::string(names::group) + "/");
}

void add_object(const std::string& file, yaml::Document document, Manifests& into) {
  json::Value object = document.root();
  if (object.is_null() || !object.exists()) return;  // between two `---`
  if (!object.is_object() || !object["kind"].is_string() || !object["apiVersion"].is_string()) {
    into.errors.push_back(place(file, document.locate("")) + ": no Kubernetes object: it has no apiVersion " +
                          "and kind");
    return;
  }
  if (!is_stack(object)) {
    ++into.other_documents;
    return;
  }
  if (object["apiVersion"].string_or("") != names::api_version) {
    into.errors.push_back(fmt::format("{}: apiVersion: this program knows {}",
                                      place(file, document.locate("apiVersion")), names::api_version));
    return;
  }
  auto stack = api::decode_stack(object);
  if (!stack) {
    into.errors.push_back(place(file, document.locate("metadata")) + ": " + stack.error().text);
    return;
  }
  into.stacks.push_back({file, std::move(document), std::move(stack).value()});
}

}  // namespace

std::string Manifest::at(const std::string& path, const std::string& message) const {
  return fmt::format("{}: {}: {}", place(file, document.locate(path)), path, message);
}

Result<std::string> read_text(const std::string& path, size_t most) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return Error{ErrorKind::NotFound, path + ": no such file", 0};
  if (!std::filesystem::is_regular_file(path, failed))
    return Error{ErrorKind::Invalid, path + ": not a regular file", 0};
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error{ErrorKind::Invalid, path + ": cannot be read", 0};
  return read_stream(stream, path, most);
}

Manifests read_manifests(const std::vector<std::string>& paths, std::istream& input) {
  Manifests manifests;
  for (const std::string& path : paths) {
    auto files = files_at(path);
    if (!files) {
      manifests.errors.push_back(files.error().text);
      continue;
    }
    for (const std::string& file : *files) {
      auto text = file == "-" ? read_stream(input, "standard input", bytes_max) : read_text(file, bytes_max);
      if (!text) {
        manifests.errors.push_back(text.error().text);
        continue;
      }
      auto documents = yaml::parse_all(*text);
      if (!documents) {
        manifests.errors.push_back(file + ": " + documents.error().text);
        continue;
      }
      for (auto& document : documents.value()) add_object(file, std::move(document), manifests);
    }
  }
  return manifests;
}

}  // namespace strix::offline
