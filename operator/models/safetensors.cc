#include "models/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "models/printable.h"

namespace strix::models {

namespace {

static_assert(std::endian::native == std::endian::little, "the length is copied as it is");

constexpr int64_t header_bytes_max = 16 * mib;  // a model of 20,000 tensors takes some 3 MiB
constexpr json::Limits header_limits{.bytes_max = header_bytes_max, .depth_max = 8};
constexpr size_t shards_max = 1000;

struct DataType {
  std::string_view name;
  int64_t bits;
};

// safetensors/src/tensor.rs, enum Dtype.
constexpr DataType data_types[] = {
    {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},        {"F32", 32},    {"I64", 64},    {"U64", 64},    {"F64", 64},
    {"C64", 64},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

int64_t bits_of(std::string_view name) {
  for (const DataType& type : data_types)
    if (type.name == name) return type.bits;
  return 0;
}

Error in_tensor(std::string_view name, std::string_view what) {
  return Error{ErrorKind::Invalid, fmt::format("{}: {}", printable(name), what)};
}

std::optional<int64_t> elements_of(json::Value shape) {
  std::optional<int64_t> elements = 1;
  shape.for_each([&](json::Value dimension) {
    auto number = dimension.integer();
    bool sane = elements && number && *number >= 0;
    elements = sane ? checked_multiply(*elements, *number) : std::nullopt;
  });
  return elements;
}

bool is_draft(std::string_view name, int64_t trunk_layers) {
  if (name.starts_with("mtp.") || name.starts_with("model.mtp.")) return true;
  for (std::string_view prefix :
       {"model.layers.", "model.language_model.layers.", "language_model.model.layers."}) {
    if (trunk_layers == 0 || !name.starts_with(prefix)) continue;
    int64_t layer = 0;
    for (char c : name.substr(prefix.size(), 6)) {
      if (c < '0' || c > '9') return layer >= trunk_layers;
      layer = layer * 10 + (c - '0');
    }
  }
  return false;
}

struct Extent {
  int64_t begin = 0, end = 0;
};

Status add_tensor(std::string_view name, json::Value tensor, int64_t trunk_layers,
                  SafetensorsWeights* weights, std::vector<Extent>* extents) {
  json::Value offsets = tensor["data_offsets"];
  std::string dtype = tensor["dtype"].string_or("");
  auto begin = offsets.at(0).integer(), end = offsets.at(1).integer();
  if (dtype.empty() || offsets.size() != 2 || !begin || !end || *begin < 0 || *end < *begin)
    return in_tensor(name, "no dtype, or no data_offsets");
  auto elements = elements_of(tensor["shape"]);
  if (!tensor["shape"].is_array() || !elements) return in_tensor(name, "no shape of a size within 63 bits");
  int64_t bytes = *end - *begin, bits = bits_of(dtype);
  if (bits == 0) return in_tensor(name, fmt::format("dtype \"{}\" is not known", printable(dtype)));
  auto expected = checked_multiply(*elements, bits);
  if (!expected || (*expected + 7) / 8 != bytes)
    return in_tensor(name, fmt::format("{} bytes for {} elements of {}", bytes, *elements, dtype));
  extents->push_back({*begin, *end});
  weights->tensors += 1;
  weights->elements += *elements;
  weights->bytes += bytes;
  weights->bytes_by_dtype[dtype] += bytes;
  if (name == "lm_head.weight" || name == "language_model.lm_head.weight") weights->output_bytes += bytes;
  if (is_draft(name, trunk_layers)) weights->draft_bytes += bytes;
  return success();
}

// Tensors lie one behind the other to the end of the file; what does not was listed twice or is not there.
Status check_extents(std::vector<Extent>& extents, int64_t data_bytes) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  int64_t at = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != at) {
      return Error{ErrorKind::Invalid, fmt::format("tensors with a gap or an overlap at data byte {}",
                                                   std::min(at, extent.begin))};
    }
    at = extent.end;
    if (at > data_bytes) {
      return Error{ErrorKind::Invalid,
                   fmt::format("cut short: a tensor ends at data byte {}, the file at {}", at, data_bytes)};
    }
  }
  return success();
}

Result<json::Document> read_header(const ByteSource& source, int64_t* header_bytes) {
  uint64_t length = 0;
  char prefix[sizeof length];
  if (source.size() < static_cast<int64_t>(sizeof length))
    return Error{ErrorKind::Invalid, fmt::format("not a safetensors file: {} bytes", source.size())};
  if (Status read = source.read(0, prefix); !read.ok()) return read.error();
  std::memcpy(&length, prefix, sizeof length);
  if (length > static_cast<uint64_t>(header_bytes_max))
    return Error{ErrorKind::Invalid,
                 fmt::format("a header of {} bytes, at most {}", length, header_bytes_max)};
  *header_bytes = static_cast<int64_t>(sizeof length + length);
  if (*header_bytes > source.size())
    return Error{ErrorKind::Invalid,
                 fmt::format("cut short: a header of {} bytes in a file of {}", length, source.size())};
  std::string text(length, '\0');
  if (Status read = source.read(sizeof length, {text.data(), text.size()}); !read.ok()) return read.error();
  auto document = json::Document::parse(text, header_limits);
  if (document.ok() && !document->root().is_object())
    return Error{ErrorKind::Invalid, "header: not a JSON object"};
  if (!document.ok()) return document.error().wrap("header");
  return document;
}

Status add(const SafetensorsWeights& shard, SafetensorsWeights* all) {
  auto bytes = checked_add(all->bytes, shard.bytes), elements = checked_add(all->elements, shard.elements);
  if (!bytes || !elements) return Error{ErrorKind::Invalid, "weights of more than 63 bits of bytes"};
  all->bytes = *bytes;
  all->elements = *elements;
  all->tensors += shard.tensors;
  all->output_bytes += shard.output_bytes;
  all->draft_bytes += shard.draft_bytes;
  for (const auto& [dtype, size] : shard.bytes_by_dtype) all->bytes_by_dtype[dtype] += size;
  return success();
}

}  // namespace

Result<SafetensorsWeights> read_safetensors(const ByteSource& source, int64_t trunk_layers) {
  int64_t header_bytes = 0;
  auto document = read_header(source, &header_bytes);
  if (!document.ok()) return document.error();
  SafetensorsWeights weights;
  std::vector<Extent> extents;
  Status status = success();
  int64_t data_bytes = source.size() - header_bytes;
  document->root().for_each_member([&](std::string_view name, json::Value tensor) {
    if (!status.ok() || name == "__metadata__") return;
    status = add_tensor(name, tensor, trunk_layers, &weights, &extents);
    // Beyond the file the sums would have no bound.
    if (status.ok() && extents.back().end > data_bytes)
      status = in_tensor(name, fmt::format("cut short: ends at data byte {}, the file at {}",
                                           extents.back().end, data_bytes));
    if (status.ok() && weights.bytes > data_bytes) status = in_tensor(name, "more bytes than the file has");
  });
  if (!status.ok()) return status.error();
  if (Status checked = check_extents(extents, data_bytes); !checked.ok()) return checked.error();
  return weights;
}

Result<SafetensorsWeights> read_safetensors_index(const std::string& index, const OpenFile& open,
                                                  int64_t trunk_layers) {
  auto document = json::Document::parse(index, header_limits);
  if (!document.ok()) return document.error();
  json::Value map = document->root()["weight_map"];
  if (!map.is_object()) return Error{ErrorKind::Invalid, "weight_map: missing"};
  std::set<std::string> shards;
  bool sane = true;
  map.for_each_member([&](std::string_view, json::Value shard) {
    std::string name = shard.string_or("");
    sane = sane && name.ends_with(".safetensors") && name.find('/') == std::string::npos;
    if (sane && shards.size() <= shards_max) shards.insert(std::move(name));
  });
  if (!sane || shards.size() > shards_max)
    return Error{ErrorKind::Invalid, "weight_map: names that are no .safetensors files beside it"};
  SafetensorsWeights all;
  all.announced_bytes = document->root()["metadata"]["total_size"].integer();
  for (const std::string& name : shards) {
    auto source = open(name);
    if (!source.ok()) return source.error();
    auto shard = read_safetensors(**source, trunk_layers);
    if (!shard.ok()) return shard.error().wrap(printable(name));
    if (Status added = add(*shard, &all); !added.ok()) return added.error();
  }
  return all;
}

}  // namespace strix::models
