#include "models/gguf.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "base/bytes.h"
#include "models/cursor.h"
#include "models/printable.h"

namespace strix::models {

namespace {

// Far above what models have, far below what would hurt.
constexpr int64_t header_bytes_max = 256 * mib;  // the largest tokenizers take some 20 MiB
constexpr uint64_t values_max = 16384;
constexpr uint64_t tensors_max = 65536;
constexpr size_t key_bytes_max = 512;
constexpr size_t text_bytes_max = 512;  // longer ones (chat templates) are passed over
constexpr uint64_t integers_max = 1024;
constexpr int64_t kept_bytes_max = 16 * mib;
constexpr size_t tensor_name_bytes_max = 128;  // ggml: 63
constexpr uint32_t dimensions_max = 4;
constexpr int64_t parts_max = 1000;

// gguf_metadata_value_type
enum ValueType : uint32_t {
  uint8_type = 0,
  int8_type = 1,
  uint16_type = 2,
  int16_type = 3,
  uint32_type = 4,
  int32_type = 5,
  float32_type = 6,
  bool_type = 7,
  string_type = 8,
  array_type = 9,
  uint64_type = 10,
  int64_type = 11,
  float64_type = 12,
};

// Bytes of a value of fixed size; 0 for the others.
uint64_t size_of(uint32_t type) {
  switch (type) {
    case uint8_type:
    case int8_type:
    case bool_type:
      return 1;
    case uint16_type:
    case int16_type:
      return 2;
    case uint32_type:
    case int32_type:
    case float32_type:
      return 4;
    case uint64_type:
    case int64_type:
    case float64_type:
      return 8;
    default:
      return 0;
  }
}

void read_number(Cursor& cursor, uint32_t type, std::string_view key, GgufValue* value) {
  value->kind = GgufValue::Kind::Integer;
  switch (type) {
    case uint8_type:
      value->integer = cursor.number<uint8_t>(key);
      break;
    case int8_type:
      value->integer = cursor.number<int8_t>(key);
      break;
    case uint16_type:
      value->integer = cursor.number<uint16_t>(key);
      break;
    case int16_type:
      value->integer = cursor.number<int16_t>(key);
      break;
    case uint32_type:
      value->integer = cursor.number<uint32_t>(key);
      break;
    case int32_type:
      value->integer = cursor.number<int32_t>(key);
      break;
    case int64_type:
      value->integer = cursor.number<int64_t>(key);
      break;
    case uint64_type: {
      auto number = cursor.number<uint64_t>(key);
      value->integer = static_cast<int64_t>(number);
      if (value->integer < 0) {
        value->kind = GgufValue::Kind::Real;
        value->real = static_cast<double>(number);
      }
      break;
    }
    case bool_type: {
      auto flag = cursor.number<uint8_t>(key);
      if (flag > 1) cursor.fail(key, fmt::format("a boolean of {}", flag));
      value->kind = GgufValue::Kind::Boolean;
      value->integer = flag;
      break;
    }
    default:
      value->kind = GgufValue::Kind::Real;
      value->real = type == float32_type ? cursor.number<float>(key) : cursor.number<double>(key);
  }
}

bool is_whole(uint32_t type) {
  return size_of(type) != 0 && type != float32_type && type != float64_type;
}

void read_array(Cursor& cursor, std::string_view key, GgufValue* value) {
  auto type = cursor.number<uint32_t>(key);
  auto count = cursor.number<uint64_t>(key);
  if (cursor.failed()) return;
  uint64_t size = type == string_type ? sizeof(uint64_t) : size_of(type);
  if (size == 0) return cursor.fail(key, fmt::format("an array of type {}", type));
  if (count > static_cast<uint64_t>(cursor.left()) / size) {
    return cursor.fail(key, fmt::format("an array of {} elements, {} bytes are left", count, cursor.left()));
  }
  value->length = static_cast<int64_t>(count);
  if (type == string_type) {
    cursor.skip_texts(count, key);
  } else if (is_whole(type) && count <= integers_max) {
    value->kind = GgufValue::Kind::Integers;
    for (uint64_t i = 0; i < count && !cursor.failed(); ++i) {
      GgufValue element;
      read_number(cursor, type, key, &element);
      if (element.kind == GgufValue::Kind::Real) return cursor.fail(key, "a number beyond 63 bits");
      value->integers.push_back(element.integer);
    }
  } else {
    cursor.skip(count, size, key);
  }
}

void read_value(Cursor& cursor, std::string_view key, GgufValue* value) {
  auto type = cursor.number<uint32_t>(key);
  if (cursor.failed()) return;
  if (size_of(type) != 0) return read_number(cursor, type, key, value);
  if (type == array_type) return read_array(cursor, key, value);
  if (type != string_type) return cursor.fail(key, fmt::format("a value of type {}", type));
  auto text = cursor.text_if_short(text_bytes_max, key);
  if (!text) return;
  value->kind = GgufValue::Kind::Text;
  value->text = std::move(*text);
}

void read_values(Cursor& cursor, uint64_t count, Gguf* gguf) {
  int64_t kept_bytes = 0;
  for (uint64_t i = 0; i < count && !cursor.failed(); ++i) {
    std::string key = cursor.text(key_bytes_max, fmt::format("key {}", i));
    GgufValue value;
    read_value(cursor, key, &value);
    if (cursor.failed()) return;
    kept_bytes += static_cast<int64_t>(sizeof(GgufValue) + key.size() + value.text.size() +
                                       value.integers.size() * sizeof(int64_t));
    if (kept_bytes > kept_bytes_max) return cursor.fail(key, "the metadata is larger than metadata may be");
    auto added = gguf->values.emplace(std::move(key), std::move(value));
    if (!added.second) return cursor.fail(added.first->first, "is there twice");
  }
}

// The elements and bytes of one tensor; an empty tensor has none.
void weigh(Cursor& cursor, GgufTensor* tensor) {
  std::optional<int64_t> elements = 1;
  for (int64_t dimension : tensor->dimensions) {
    elements = dimension < 0 ? std::nullopt : checked_multiply(*elements, dimension);
    if (!elements) return cursor.fail(tensor->name, "dimensions beyond 63 bits");
  }
  const TensorType& type = *tensor->type;
  int64_t row = tensor->dimensions.empty() ? 1 : tensor->dimensions.front();
  if (row % type.block_elements != 0) {
    return cursor.fail(tensor->name, fmt::format("rows of {} elements, {} has blocks of {}", row, type.name,
                                                 type.block_elements));
  }
  auto bytes = checked_multiply(*elements / type.block_elements, type.block_bytes);
  if (!bytes) return cursor.fail(tensor->name, "a size beyond 63 bits");
  tensor->elements = *elements;
  tensor->bytes = *bytes;
}

// The end of the last tensor, from the beginning of the data on.
int64_t read_tensors(Cursor& cursor, uint64_t count, int64_t alignment, Gguf* gguf) {
  std::set<std::string, std::less<>> names;
  int64_t end = 0;
  for (uint64_t i = 0; i < count && !cursor.failed(); ++i) {
    GgufTensor tensor;
    tensor.name = cursor.text(tensor_name_bytes_max, fmt::format("tensor {}", i));
    auto dimensions = cursor.number<uint32_t>(tensor.name);
    if (dimensions > dimensions_max) cursor.fail(tensor.name, fmt::format("{} dimensions", dimensions));
    for (uint32_t d = 0; d < dimensions && !cursor.failed(); ++d)
      tensor.dimensions.push_back(static_cast<int64_t>(cursor.number<uint64_t>(tensor.name)));
    auto type = cursor.number<uint32_t>(tensor.name);
    auto offset = cursor.number<uint64_t>(tensor.name);
    if (cursor.failed()) break;
    tensor.type = tensor_type(type);
    if (tensor.type == nullptr) {
      cursor.fail(tensor.name, fmt::format("a tensor type {} that this reader does not know", type));
      break;
    }
    weigh(cursor, &tensor);
    auto tensor_end = checked_add(static_cast<int64_t>(offset), tensor.bytes);
    if (static_cast<int64_t>(offset) < 0 || !tensor_end) cursor.fail(tensor.name, "an offset beyond 63 bits");
    if (offset % static_cast<uint64_t>(alignment) != 0)
      cursor.fail(tensor.name, "an offset off the alignment");
    if (!names.insert(tensor.name).second) cursor.fail(tensor.name, "is there twice");
    if (cursor.failed()) break;
    end = std::max(end, *tensor_end);
    gguf->tensors.push_back(std::move(tensor));
  }
  return end;
}

void check_preamble(Cursor& cursor, Gguf* gguf) {
  if (cursor.number<uint32_t>("magic") != 0x46554747 && !cursor.failed())
    return cursor.fail("magic", "not a GGUF file");
  gguf->version = cursor.number<uint32_t>("version");
  if (cursor.failed() || gguf->version == 2 || gguf->version == 3) return;
  if (gguf->version == 0x03000000 || gguf->version == 0x02000000) {
    return cursor.fail("version",
                       "a big-endian file; convert it to little-endian, which is what engines load");
  }
  cursor.fail("version", fmt::format("version {}; this reader knows 2 and 3", gguf->version));
}

// "name-00002-of-00003.gguf" with another number.
std::optional<std::string> part_name(std::string_view name, int64_t part, int64_t parts) {
  std::string end = fmt::format("-of-{:05}.gguf", parts);
  if (!name.ends_with(end) || name.size() < end.size() + 6) return std::nullopt;
  std::string_view prefix = name.substr(0, name.size() - end.size() - 5);
  if (!prefix.ends_with('-')) return std::nullopt;
  return fmt::format("{}{:05}{}", prefix, part, end);
}

Result<Gguf> read_named(const std::string& name, const OpenFile& open) {
  auto source = open(name);
  if (!source.ok()) return source.error();
  auto gguf = read_gguf(**source);
  if (!gguf.ok()) return gguf.error().wrap(name);
  return gguf;
}

Error in_file(const std::string& name, std::string_view what) {
  return Error{ErrorKind::Invalid, fmt::format("{}: {}", name, what)};
}

}  // namespace

const GgufValue* Gguf::find(std::string_view key) const {
  auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

std::string Gguf::text(std::string_view key) const {
  const GgufValue* value = find(key);
  return value != nullptr && value->kind == GgufValue::Kind::Text ? value->text : "";
}

std::optional<int64_t> Gguf::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->kind != GgufValue::Kind::Integer) return std::nullopt;
  return value->integer;
}

Result<Gguf> read_gguf(const ByteSource& source) {
  Cursor cursor(source, header_bytes_max);
  Gguf gguf;
  check_preamble(cursor, &gguf);
  auto tensors = cursor.number<uint64_t>("tensor count");
  if (tensors > tensors_max) cursor.fail("tensor count", fmt::format("{}, at most {}", tensors, tensors_max));
  auto values = cursor.number<uint64_t>("metadata count");
  if (values > values_max) cursor.fail("metadata count", fmt::format("{}, at most {}", values, values_max));
  read_values(cursor, values, &gguf);
  int64_t alignment = gguf.integer("general.alignment").value_or(32);
  bool sane = alignment > 0 && alignment <= mib && (alignment & (alignment - 1)) == 0;
  if (!sane) cursor.fail("general.alignment", fmt::format("{} is no power of two up to 2^20", alignment));
  int64_t data_bytes = sane ? read_tensors(cursor, tensors, alignment, &gguf) : 0;
  if (cursor.failed()) return cursor.error();
  gguf.header_bytes = cursor.at();
  int64_t data_at = (cursor.at() + alignment - 1) / alignment * alignment;
  auto end = checked_add(data_at, data_bytes);
  if (!gguf.tensors.empty() && (!end || *end > source.size())) {
    return Error{ErrorKind::Invalid, fmt::format("cut short: its tensors end at byte {}, the file at {}",
                                                 end.value_or(INT64_MAX), source.size())};
  }
  return gguf;
}

Result<Gguf> read_gguf_parts(const std::string& name, const OpenFile& open) {
  auto first = read_named(name, open);
  if (!first.ok()) return first;
  Gguf& whole = first.value();
  int64_t parts = whole.integer("split.count").value_or(1);
  if (parts <= 1) return first;
  if (parts > parts_max) return in_file(name, fmt::format("split.count: {} parts", parts));
  auto first_name = part_name(name, 1, parts);
  if (!first_name) return in_file(name, fmt::format("one of {} parts, but its name does not say so", parts));
  if (whole.integer("split.no").value_or(-1) != 0 || *first_name != name)
    return in_file(name, fmt::format("not the first of {} parts: name {}", parts, *first_name));
  for (int64_t part = 1; part < parts; ++part) {
    std::string sibling = *part_name(name, part + 1, parts);
    auto next = read_named(sibling, open);
    if (!next.ok()) return next.error().wrap(name);
    if (next->integer("split.no").value_or(-1) != part || next->integer("split.count").value_or(0) != parts)
      return in_file(sibling, fmt::format("its metadata does not say part {} of {}", part + 1, parts));
    whole.header_bytes += next->header_bytes;
    for (GgufTensor& tensor : next.value().tensors) whole.tensors.push_back(std::move(tensor));
    if (whole.tensors.size() > tensors_max) return in_file(sibling, "too many tensors");
  }
  auto announced = whole.integer("split.tensors.count");
  if (announced && *announced != static_cast<int64_t>(whole.tensors.size()))
    return in_file(name, fmt::format("split.tensors.count says {} tensors, its {} parts have {}", *announced,
                                     parts, whole.tensors.size()));
  return first;
}

}  // namespace strix::models
