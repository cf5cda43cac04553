#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

// RapidJSON asserts on misuse of its own API; turned into an exception it cannot pass this file silently.
#define RAPIDJSON_ASSERT(x) \
  if (!(x)) ::strix::invariant_failed("rapidjson: " #x, __FILE__, __LINE__)
#define RAPIDJSON_HAS_STDSTRING 0
#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace strix::json {

namespace {

using Raw = rapidjson::Value;
using RawWriter = rapidjson::Writer<rapidjson::StringBuffer>;

const Raw& as_raw(const void* pointer) {
  return *static_cast<const Raw*>(pointer);
}

std::string_view text_of(const Raw& raw) {
  return {raw.GetString(), raw.GetStringLength()};
}

// The nesting of brackets outside strings. RapidJSON's iterative parser does not recurse, but writing,
// comparing and destroying do, so depth is bounded before it parses.
bool depth_within(std::string_view text, int depth_max) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > depth_max) return false;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return true;
}

// RapidJSON 1.1 reads beyond its tables for tiny numbers (CVE-2024-38517, and 0.00...01 with 350 zeros), and
// shifts by an undefined count for 0e42 and for zeros of thirty places. It rounds a significand after 20
// digits, and 2^64 - 1 rounded up is a zero that it then counts the leading zeros of. Nobody writes such
// numbers: a double needs 17 digits and an exponent of -324 at most.
bool takes_sane_number(std::string_view text, size_t* at) {
  size_t digits[3] = {};  // whole, fraction, exponent
  size_t exponent = 0;
  std::string significand;  // its first 21 digits
  int part = 0;
  for (; *at < text.size(); ++*at) {
    char c = text[*at];
    if (c >= '0' && c <= '9') {
      ++digits[part];
      bool counts = part != 2 && (c != '0' || !significand.empty());
      if (counts && significand.size() < 21) significand += c;
      if (part == 2) exponent = std::min<size_t>(exponent * 10 + static_cast<size_t>(c - '0'), 9999);
    } else if (c == '.' && part == 0) {
      part = 1;
    } else if ((c == 'e' || c == 'E') && part < 2) {
      part = 2;
    } else if ((c != '+' && c != '-') || part != 2 || digits[2] > 0) {
      break;
    }
  }
  size_t places = digits[0] + digits[1];
  if (significand.empty()) return exponent < 10 && places <= 20;
  if (significand.starts_with("18446744073709551615") && significand.back() >= '5' && significand.size() > 20)
    return false;
  return digits[2] <= 4 && places <= 64 && digits[1] + exponent <= 345;
}

bool numbers_are_sane(std::string_view text) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c >= '0' && c <= '9') {
      if (!takes_sane_number(text, &i)) return false;
      --i;
    }
  }
  return true;
}

bool members_are_unique(const Raw& root) {
  std::vector<const Raw*> pending{&root};
  while (!pending.empty()) {
    const Raw* raw = pending.back();
    pending.pop_back();
    if (raw->IsArray()) {
      for (const auto& element : raw->GetArray()) pending.push_back(&element);
    } else if (raw->IsObject()) {
      std::vector<std::string_view> names;
      for (const auto& member : raw->GetObject()) {
        if (names.size() < 1024) names.push_back(text_of(member.name));
        pending.push_back(&member.value);
      }
      std::sort(names.begin(), names.end());
      if (std::adjacent_find(names.begin(), names.end()) != names.end()) return false;
    }
  }
  return true;
}

void write_number(const Raw& raw, RawWriter& out) {
  if (raw.IsInt64()) {
    out.Int64(raw.GetInt64());
  } else if (raw.IsUint64()) {
    out.Uint64(raw.GetUint64());
  } else {
    double number = raw.GetDouble();
    bool whole = std::floor(number) == number && std::abs(number) < 9e15;
    if (whole) {
      out.Int64(static_cast<int64_t>(number));
    } else {
      out.Double(number);
    }
  }
}

// Recursion is bounded by Limits::depth_max.
void write_canonical(const Raw& raw, RawWriter& out) {
  if (raw.IsObject()) {
    std::vector<const Raw::Member*> members;
    for (const auto& member : raw.GetObject()) members.push_back(&member);
    std::sort(members.begin(), members.end(),
              [](const auto* a, const auto* b) { return text_of(a->name) < text_of(b->name); });
    out.StartObject();
    for (const auto* member : members) {
      out.Key(member->name.GetString(), member->name.GetStringLength());
      write_canonical(member->value, out);
    }
    out.EndObject();
  } else if (raw.IsArray()) {
    out.StartArray();
    for (const auto& element : raw.GetArray()) write_canonical(element, out);
    out.EndArray();
  } else if (raw.IsNumber()) {
    write_number(raw, out);
  } else {
    raw.Accept(out);
  }
}

rapidjson::SizeType length_of(std::string_view text) {
  return static_cast<rapidjson::SizeType>(text.size());
}

}  // namespace

struct Document::Storage {
  rapidjson::Document document;
};

Document::Document(std::unique_ptr<Storage> storage) : storage_(std::move(storage)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Result<Document> Document::parse(std::string_view text, Limits limits) {
  if (text.size() > limits.bytes_max)
    return Error{ErrorKind::Invalid,
                 fmt::format("JSON of {} bytes is over the limit of {}", text.size(), limits.bytes_max)};
  if (!depth_within(text, limits.depth_max))
    return Error{ErrorKind::Invalid, fmt::format("JSON nested deeper than {} levels", limits.depth_max)};
  if (!numbers_are_sane(text))
    return Error{ErrorKind::Invalid,
                 "JSON number with more digits, or a larger exponent, than a number here can need"};
  auto storage = std::make_unique<Storage>();
  constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag |
                             rapidjson::kParseFullPrecisionFlag;
  storage->document.Parse<flags>(text.data(), text.size());
  if (storage->document.HasParseError()) {
    return Error{ErrorKind::Invalid,
                 fmt::format("not JSON at byte {}: {}", storage->document.GetErrorOffset(),
                             rapidjson::GetParseError_En(storage->document.GetParseError()))};
  }
  if (!members_are_unique(storage->document))
    return Error{ErrorKind::Invalid, "JSON object names a member twice"};
  return Document(std::move(storage));
}

Value Document::root() const {
  return Value(static_cast<const Raw*>(&storage_->document));
}

bool Value::is_null() const {
  return raw_ && as_raw(raw_).IsNull();
}
bool Value::is_object() const {
  return raw_ && as_raw(raw_).IsObject();
}
bool Value::is_array() const {
  return raw_ && as_raw(raw_).IsArray();
}
bool Value::is_string() const {
  return raw_ && as_raw(raw_).IsString();
}
bool Value::is_number() const {
  return raw_ && as_raw(raw_).IsNumber();
}
bool Value::is_bool() const {
  return raw_ && as_raw(raw_).IsBool();
}

Value Value::operator[](std::string_view member) const {
  if (!is_object()) return Value();
  Raw name(rapidjson::StringRef(member.data() ? member.data() : "", length_of(member)));
  auto found = as_raw(raw_).FindMember(name);
  return found == as_raw(raw_).MemberEnd() ? Value() : Value(&found->value);
}

Value Value::at(size_t index) const {
  if (!is_array() || index >= as_raw(raw_).Size()) return Value();
  return Value(&as_raw(raw_)[static_cast<rapidjson::SizeType>(index)]);
}

size_t Value::size() const {
  if (is_array()) return as_raw(raw_).Size();
  return is_object() ? as_raw(raw_).MemberCount() : 0;
}

std::optional<std::string_view> Value::string() const {
  if (!is_string()) return std::nullopt;
  return text_of(as_raw(raw_));
}

std::optional<int64_t> Value::integer() const {
  if (!is_number()) return std::nullopt;
  const Raw& raw = as_raw(raw_);
  if (raw.IsInt64()) return raw.GetInt64();
  if (raw.IsUint64()) return std::nullopt;
  double number = raw.GetDouble();
  if (std::floor(number) != number || std::abs(number) > 9e15) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<double> Value::number() const {
  if (!is_number()) return std::nullopt;
  return as_raw(raw_).GetDouble();
}

std::optional<bool> Value::boolean() const {
  if (!is_bool()) return std::nullopt;
  return as_raw(raw_).GetBool();
}

std::string Value::string_or(std::string_view fallback) const {
  return std::string(string().value_or(fallback));
}
int64_t Value::integer_or(int64_t fallback) const {
  return integer().value_or(fallback);
}
bool Value::boolean_or(bool fallback) const {
  return boolean().value_or(fallback);
}

void Value::for_each(const std::function<void(Value)>& visit) const {
  if (!is_array()) return;
  for (const auto& element : as_raw(raw_).GetArray()) visit(Value(&element));
}

void Value::for_each_member(const std::function<void(std::string_view, Value)>& visit) const {
  if (!is_object()) return;
  for (const auto& member : as_raw(raw_).GetObject()) visit(text_of(member.name), Value(&member.value));
}

std::string Value::dump() const {
  if (!raw_) return "null";
  rapidjson::StringBuffer buffer;
  RawWriter out(buffer);
  as_raw(raw_).Accept(out);
  return {buffer.GetString(), buffer.GetSize()};
}

std::string Value::canonical() const {
  if (!raw_) return "null";
  rapidjson::StringBuffer buffer;
  RawWriter out(buffer);
  write_canonical(as_raw(raw_), out);
  return {buffer.GetString(), buffer.GetSize()};
}

struct Writer::State {
  rapidjson::StringBuffer buffer;
  RawWriter out{buffer};
};

Writer::Writer() : state_(std::make_unique<State>()) {}
Writer::~Writer() = default;
Writer::Writer(Writer&&) noexcept = default;

Writer& Writer::begin_object() {
  state_->out.StartObject();
  return *this;
}
Writer& Writer::end_object() {
  state_->out.EndObject();
  return *this;
}
Writer& Writer::begin_array() {
  state_->out.StartArray();
  return *this;
}
Writer& Writer::end_array() {
  state_->out.EndArray();
  return *this;
}
Writer& Writer::key(std::string_view name) {
  state_->out.Key(name.data(), length_of(name));
  return *this;
}
Writer& Writer::string(std::string_view text) {
  state_->out.String(text.data() ? text.data() : "", length_of(text));
  return *this;
}
Writer& Writer::integer(int64_t number) {
  state_->out.Int64(number);
  return *this;
}
Writer& Writer::number(double number) {
  state_->out.Double(number);
  return *this;
}
Writer& Writer::boolean(bool value) {
  state_->out.Bool(value);
  return *this;
}
Writer& Writer::null() {
  state_->out.Null();
  return *this;
}
Writer& Writer::value(Value value) {
  if (!value.exists()) return null();
  as_raw(value.raw_).Accept(state_->out);
  return *this;
}
Writer& Writer::raw(std::string_view json) {
  state_->out.RawValue(json.data(), json.size(), rapidjson::kObjectType);
  return *this;
}

std::string Writer::take() {
  INVARIANT(state_->out.IsComplete());
  std::string text(state_->buffer.GetString(), state_->buffer.GetSize());
  state_->buffer.Clear();
  state_->out.Reset(state_->buffer);
  return text;
}

Result<std::string> canonicalize(std::string_view text) {
  auto document = Document::parse(text);
  if (!document) return document.error();
  return document->root().canonical();
}

std::string quote(std::string_view text) {
  rapidjson::StringBuffer buffer;
  RawWriter out(buffer);
  out.String(text.data() ? text.data() : "", length_of(text));
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace strix::json
