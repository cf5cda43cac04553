// Why: JSON from the wire is untrusted; this is the only place that parses or writes it. A Document is
// short-lived: parse, read into a typed struct, destroy.
// May not: throw, recurse on input while parsing, or keep parsed text beyond the Document.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strix::json {

struct Limits {
  size_t bytes_max = 16u << 20;  // larger than an API server's page of 500 objects
  int depth_max = 64;            // Kubernetes objects stay below 20
};

class Document;

// A view of one value of a Document, valid as long as the Document lives. A missing member is a Value
// too, so that paths can be read without a check at each step: v["status"]["podIP"].string_or("").
class Value {
 public:
  Value() = default;

  bool exists() const { return raw_ != nullptr; }  // false for missing members
  bool is_null() const;
  bool is_object() const;
  bool is_array() const;
  bool is_string() const;
  bool is_number() const;
  bool is_bool() const;

  Value operator[](std::string_view member) const;  // missing when not an object or no such member
  Value at(size_t index) const;                     // missing when not an array or out of range
  size_t size() const;                              // of an array or object; otherwise 0

  std::optional<std::string_view> string() const;
  std::optional<int64_t> integer() const;  // whole numbers in range only; 3.0 counts, 3.5 does not
  std::optional<double> number() const;
  std::optional<bool> boolean() const;

  std::string string_or(std::string_view fallback) const;
  int64_t integer_or(int64_t fallback) const;
  bool boolean_or(bool fallback) const;

  void for_each(const std::function<void(Value)>& visit) const;                           // array
  void for_each_member(const std::function<void(std::string_view, Value)>& visit) const;  // object

  std::string dump() const;  // compact, members as they came
  // Compact with members sorted by name and whole numbers written one way: equal values, equal text.
  std::string canonical() const;

 private:
  friend class Document;
  friend class Writer;
  explicit Value(const void* raw) : raw_(raw) {}
  const void* raw_ = nullptr;
};

class Document {
 public:
  // Errors: Invalid, with the offset, for anything that is not one JSON value within the limits,
  // including bytes that are not UTF-8 and members named twice at one level of the first 1024 members.
  static Result<Document> parse(std::string_view text, Limits limits = {});

  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();
  Value root() const;

 private:
  struct Storage;
  explicit Document(std::unique_ptr<Storage> storage);
  std::unique_ptr<Storage> storage_;
};

// Writes one value, member by member, in the order called. Misuse (a key outside an object) is a
// broken invariant. Doubles are written so that they read back the same.
class Writer {
 public:
  Writer();
  ~Writer();
  Writer(Writer&&) noexcept;

  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);
  Writer& string(std::string_view text);
  Writer& integer(int64_t number);
  Writer& number(double number);
  Writer& boolean(bool value);
  Writer& null();
  Writer& value(Value value);          // copies a parsed value
  Writer& raw(std::string_view json);  // a whole value that is JSON already

  // Shorthands for one member of the object that is open.
  Writer& member(std::string_view name, std::string_view text) { return key(name).string(text); }
  Writer& member(std::string_view name, const char* text) { return key(name).string(text); }
  Writer& member(std::string_view name, const std::string& text) { return key(name).string(text); }
  Writer& member(std::string_view name, int64_t number) { return key(name).integer(number); }
  Writer& member(std::string_view name, int number) { return key(name).integer(number); }
  Writer& member(std::string_view name, bool value) { return key(name).boolean(value); }

  std::string take();  // the text; the Writer is empty afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// canonical() of a text; Invalid when it is not JSON.
Result<std::string> canonicalize(std::string_view text);

// A text as a JSON string, quotes included.
std::string quote(std::string_view text);

}  // namespace strix::json
