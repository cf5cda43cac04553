// CapabilityTable::parse. Whoever adds a row sees at once which row and field is wrong, and why.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/yaml.h"
#include "planner/capability_table.h"
#include "planner/engine_settings.h"

namespace strix::planner {
namespace {

constexpr size_t list_max = 64, name_max = 128, sentence_max = 500;

// A day, or the month where nobody knows the day.
bool is_date(std::string_view text) {
  if (text.size() != 10 && text.size() != 7) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    bool separator = i == 4 || i == 7;
    if (separator ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  }
  return true;
}

bool is_variable(std::string_view text) {
  auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c != 0x7f; });
}

using Names = std::set<std::string_view>;

// Reads one row; of what is wrong the first is told, with its place.
class RowReader {
 public:
  RowReader(const yaml::Document& document, std::string path, json::Value row)
      : document_(document), path_(std::move(path)), row_(row) {}

  CapabilityRow combination();
  SettingRow setting();
  ImageRow image();
  const std::string& error() const { return error_; }

 private:
  void fail(const std::string& field, std::string_view what) {
    std::string path = field.empty() ? path_ : path_ + "." + field;
    yaml::Location at = document_.locate(path);
    if (error_.empty()) error_ = fmt::format("line {}, column {}: {}: {}", at.line, at.column, path, what);
  }
  void check_names(json::Value object, const std::string& field, const Names& known);
  std::string text(json::Value object, const std::string& field, std::string_view name, size_t most);
  std::string required(const std::string& name, size_t most);
  std::string sentence(const std::string& name, bool needed);
  std::vector<std::string> texts(json::Value object, const std::string& prefix, std::string_view name);
  std::vector<std::pair<std::string, std::string>> variables(json::Value object, const std::string& prefix,
                                                             std::string_view name);
  api::Engine engine(json::Value object, const std::string& prefix);
  Scope scope();
  Provenance provenance();
  void read_subject(CapabilityRow& row);
  void read_constants(SettingRow& row);

  const yaml::Document& document_;
  std::string path_;
  json::Value row_;
  std::string error_;
};

void RowReader::check_names(json::Value object, const std::string& field, const Names& known) {
  if (!object.is_object()) return fail(field, "not a map");
  object.for_each_member([&](std::string_view name, json::Value) {
    if (!known.contains(name))
      fail((field.empty() ? "" : field + ".") + std::string(name.substr(0, name_max)), "no such field");
  });
}

std::string RowReader::text(json::Value object, const std::string& field, std::string_view name,
                            size_t most) {
  json::Value value = object[name];
  if (!value.exists()) return {};
  std::string found = value.string_or("");
  if (found.empty()) fail(field, "no text");
  if (found.size() > most || !is_printable(found))
    fail(field, fmt::format("more than {} characters, or one that cannot be printed", most));
  return found;
}

std::string RowReader::required(const std::string& name, size_t most) {
  std::string found = text(row_, name, name, most);
  if (found.empty()) fail(name, "missing");
  return found;
}

// It becomes a part of one.
std::string RowReader::sentence(const std::string& name, bool needed) {
  std::string found = needed ? required(name, sentence_max) : text(row_, name, name, sentence_max);
  if (found.ends_with('.')) fail(name, "ends with a point, and becomes part of a sentence");
  return found;
}

std::vector<std::string> RowReader::texts(json::Value object, const std::string& prefix,
                                          std::string_view name) {
  json::Value list = object[name];
  std::string field = prefix + std::string(name);
  std::vector<std::string> all;
  if (!list.exists()) return all;
  if (!list.is_array() || list.size() == 0 || list.size() > list_max)
    fail(field, fmt::format("no list of 1 to {} texts", list_max));
  list.for_each([&](json::Value value) {
    std::string found = value.string_or("");
    if (found.empty() || found.size() > name_max || !is_printable(found))
      fail(field, fmt::format("an entry is no text of 1 to {} characters; numbers need quotes", name_max));
    else if (all.size() < list_max)
      all.push_back(found);
  });
  return all;
}

std::vector<std::pair<std::string, std::string>> RowReader::variables(json::Value object,
                                                                      const std::string& prefix,
                                                                      std::string_view name) {
  std::vector<std::pair<std::string, std::string>> all;
  json::Value map = object[name];
  std::string field = prefix + std::string(name);
  if (!map.exists()) return all;
  if (!map.is_object() || map.size() == 0 || map.size() > list_max)
    fail(field, fmt::format("no map of 1 to {} variables", list_max));
  map.for_each_member([&](std::string_view variable, json::Value value) {
    auto found = value.string();
    if (!is_variable(variable) || variable.size() > name_max)
      fail(field, "the name of a variable is letters, digits and _");
    else if (!found || found->size() > sentence_max || !is_printable(*found))
      fail(field + "." + std::string(variable), "no text; numbers need quotes");
    else if (all.size() < list_max)
      all.emplace_back(variable, *found);
  });
  return all;
}

api::Engine RowReader::engine(json::Value object, const std::string& prefix) {
  std::string found = object["engine"].string_or("");
  if (found != "vllm" && found != "llamacpp") fail(prefix + "engine", "none of vllm, llamacpp");
  return found == "llamacpp" ? api::Engine::LlamaCpp : api::Engine::Vllm;
}

Scope RowReader::scope() {
  json::Value where = row_["where"];
  Scope scope;
  if (!where.exists()) fail("where", "missing");
  check_names(where, "where",
              {"engine", "versions", "images", "gfxTargets", "accelerator", "architectures", "variables"});
  scope.engine = engine(where, "where.");
  if (std::string versions = text(where, "where.versions", "versions", name_max); !versions.empty()) {
    auto range = VersionRange::parse(versions);
    if (!range) fail("where.versions", "no bounds such as \">=0.11 <0.18\"");
    scope.versions = range.value_or(VersionRange{});
  }
  for (const std::string& image : texts(where, "where.", "images")) {
    auto pattern = ImagePattern::parse(image);
    if (!pattern) fail("where.images", "an entry is no pattern of an image's name");
    if (pattern) scope.images.push_back(*pattern);
  }
  scope.gfx_targets = texts(where, "where.", "gfxTargets");
  scope.architectures = texts(where, "where.", "architectures");
  std::string accelerator = text(where, "where.accelerator", "accelerator", name_max);
  if (!accelerator.empty() && accelerator != "GPU" && accelerator != "None")
    fail("where.accelerator", "none of GPU, None");
  if (!accelerator.empty())
    scope.accelerator = accelerator == "GPU" ? api::Accelerator::Gpu : api::Accelerator::None;
  if (accelerator == "None" && !scope.gfx_targets.empty())
    fail("where.accelerator", "None, and gfxTargets speaks of GPUs");
  for (const auto& [name, value] : variables(where, "where.", "variables")) scope.variables[name] = value;
  return scope;
}

Provenance RowReader::provenance() {
  Provenance found{.source = required("source", sentence_max), .date = required("date", name_max)};
  if (!is_date(found.date)) fail("date", "no day or month such as \"2026-02-09\" or \"2026-02\"");
  return found;
}

void RowReader::read_subject(CapabilityRow& row) {
  int subjects = 0;
  for (const auto& [subject, name] :
       {std::pair{CapabilitySubject::Weights, "quantizations"},
        std::pair{CapabilitySubject::KvCache, "kvCacheTypes"}, std::pair{CapabilitySubject::Flag, "flags"}}) {
    if (!row_[name].exists()) continue;
    row.subject = subject;
    row.names = texts(row_, "", name);
    ++subjects;
  }
  if (subjects > 1)
    fail("", "speaks of more than one of quantizations, kvCacheTypes and flags: make it several rows");
  if (row.subject == CapabilitySubject::Build && row.where.images.empty() && row.where.versions.any())
    fail("",
         "speaks of nothing: set one of quantizations, kvCacheTypes, flags, or where.images or "
         "where.versions");
  bool dashed = std::all_of(row.names.begin(), row.names.end(),
                            [](const std::string& name) { return name.starts_with('-'); });
  if (row.subject == CapabilitySubject::Flag && !dashed) fail("flags", "an entry does not begin with a dash");
}

CapabilityRow RowReader::combination() {
  CapabilityRow row;
  check_names(
      row_, "",
      {"where", "quantizations", "kvCacheTypes", "flags", "verdict", "reason", "instead", "source", "date"});
  row.where = scope();
  read_subject(row);
  std::string verdict = required("verdict", name_max);
  bool known = false;
  for (CapabilityVerdict each : {CapabilityVerdict::Works, CapabilityVerdict::NeedsEager,
                                 CapabilityVerdict::Degraded, CapabilityVerdict::Refused}) {
    if (to_string(each) != verdict) continue;
    row.verdict = each;
    known = true;
  }
  if (!known) fail("verdict", "none of Works, NeedsEager, Degraded, Refused");
  if (row.verdict == CapabilityVerdict::NeedsEager && row.where.engine != api::Engine::Vllm)
    fail("verdict", "NeedsEager is for engine vllm");
  row.reason = sentence("reason", true);
  row.instead = sentence("instead", row.verdict == CapabilityVerdict::Refused);
  row.found = provenance();
  return row;
}

void RowReader::read_constants(SettingRow& row) {
  json::Value map = row_["constants"];
  if (!map.exists()) return;
  if (!map.is_object() || map.size() == 0) fail("constants", "no map");
  map.for_each_member([&](std::string_view name, json::Value value) {
    std::string field = "constants." + std::string(name.substr(0, name_max));
    auto amount = value.boolean() ? std::optional<int64_t>(*value.boolean()) : value.integer();
    if (value.is_string()) amount = parse_quantity(value.string_or(""));
    constexpr int64_t most = int64_t{1} << 40;
    if (!is_constant(name)) fail(field, "no such constant");
    if (!amount || *amount < 0 || *amount > most)
      fail(field, "no boolean, number or quantity such as 6Gi, of at most 1Ti");
    else
      row.constants[std::string(name.substr(0, name_max))] = *amount;
  });
}

SettingRow RowReader::setting() {
  SettingRow row;
  check_names(row_, "", {"where", "topic", "environment", "arguments", "constants", "source", "date"});
  row.where = scope();
  row.topic = required("topic", name_max);
  row.environment = variables(row_, "", "environment");
  row.arguments = texts(row_, "", "arguments");
  read_constants(row);
  if (!row.arguments.empty() && !row.arguments.front().starts_with('-'))
    fail("arguments", "does not begin with a flag");
  row.found = provenance();
  return row;
}

ImageRow RowReader::image() {
  ImageRow row;
  check_names(row_, "", {"engine", "image", "version", "source", "date"});
  row.engine = engine(row_, "");
  auto pattern = ImagePattern::parse(required("image", 2 * name_max));
  if (!pattern) fail("image", "no pattern of an image's name");
  if (pattern) row.image = *pattern;
  row.version = text(row_, "version", "version", name_max);
  bool named = row.image.text().find("{version}") != std::string::npos;
  if (named != row.version.empty()) fail("version", "needed where image has no {version}, and only there");
  if (!row.version.empty() && !EngineVersion::parse(row.version)) fail("version", "no version");
  provenance();
  return row;
}

// Every element of a list, or the first error.
template <class Row>
Result<std::vector<Row>> read_list(const yaml::Document& document, const char* name,
                                   Row (RowReader::*read)()) {
  std::vector<Row> rows;
  json::Value list = document.root()[name];
  if (!list.exists()) return rows;
  if (!list.is_array() || list.size() > CapabilityTable::rows_max)
    return Error{ErrorKind::Invalid,
                 fmt::format("{}: no list of at most {} rows", name, CapabilityTable::rows_max)};
  for (size_t i = 0; i < list.size(); ++i) {
    RowReader reader(document, fmt::format("{}[{}]", name, i), list.at(i));
    rows.push_back((reader.*read)());
    if (!reader.error().empty()) return Error{ErrorKind::Invalid, reader.error()};
  }
  return rows;
}

}  // namespace

Result<CapabilityTable> CapabilityTable::parse(std::string_view text) {
  auto document = yaml::parse(text, {.bytes_max = bytes_max, .depth_max = 16, .nodes_max = 100'000});
  if (!document.ok()) return document.error();
  CapabilityTable table;
  if (document->root().is_null()) return table;
  std::optional<Error> unknown;
  if (!document->root().is_object())
    return Error{ErrorKind::Invalid, "no map of combinations, settings and images"};
  document->root().for_each_member([&](std::string_view name, json::Value) {
    if (name != "combinations" && name != "settings" && name != "images" && !unknown)
      unknown = Error{ErrorKind::Invalid,
                      fmt::format("line {}: no such list; there are combinations, settings, images",
                                  document->locate(name).line)};
  });
  if (unknown) return *unknown;
  auto combinations = read_list(*document, "combinations", &RowReader::combination);
  if (!combinations.ok()) return combinations.error();
  auto settings = read_list(*document, "settings", &RowReader::setting);
  if (!settings.ok()) return settings.error();
  auto images = read_list(*document, "images", &RowReader::image);
  if (!images.ok()) return images.error();
  table.combinations_ = std::move(combinations).value();
  table.settings_ = std::move(settings).value();
  table.images_ = std::move(images).value();
  return table;
}

}  // namespace strix::planner
