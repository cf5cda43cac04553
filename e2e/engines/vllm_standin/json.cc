// Why this file exists: see json.h. Depth is bounded because request bodies come from outside.
#include "json.h"

#include <cstdlib>

namespace standin {
namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool Document(Json* out) {
    if (!Value(out, 0)) return false;
    Space();
    return at_ == text_.size();
  }

 private:
  void Space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  bool Eat(char c) {
    Space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool Value(Json* out, int depth) {
    if (depth > kMaxDepth) return false;
    Space();
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{': return Object(out, depth);
      case '[': return Array(out, depth);
      case '"': out->kind = Json::Kind::kString; return String(&out->text);
      case 't': out->kind = Json::Kind::kBool; out->boolean = true; return Word("true");
      case 'f': out->kind = Json::Kind::kBool; return Word("false");
      case 'n': return Word("null");
      default: return Number(out);
    }
  }

  bool Object(Json* out, int depth) {
    out->kind = Json::Kind::kObject;
    ++at_;
    if (Eat('}')) return true;
    do {
      Space();
      std::pair<std::string, Json> field;
      if (at_ >= text_.size() || text_[at_] != '"' || !String(&field.first) || !Eat(':') || !Value(&field.second, depth + 1)) return false;
      out->fields.push_back(std::move(field));
    } while (Eat(','));
    return Eat('}');
  }

  bool Array(Json* out, int depth) {
    out->kind = Json::Kind::kArray;
    ++at_;
    if (Eat(']')) return true;
    do {
      out->items.emplace_back();
      if (!Value(&out->items.back(), depth + 1)) return false;
    } while (Eat(','));
    return Eat(']');
  }

  bool Number(Json* out) {
    const size_t start = at_;
    while (at_ < text_.size() && std::string_view("+-.eE0123456789").find(text_[at_]) != std::string_view::npos) ++at_;
    if (at_ == start) return false;
    const std::string digits(text_.substr(start, at_ - start));
    char* end = nullptr;
    out->kind = Json::Kind::kNumber;
    out->number = std::strtod(digits.c_str(), &end);
    return *end == '\0';
  }

  bool String(std::string* out) {
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (c != '\\') {
        out->push_back(c);
        continue;
      }
      if (++at_ >= text_.size()) return false;
      switch (text_[at_]) {
        case 'n': out->push_back('\n'); break;
        case 't': out->push_back('\t'); break;
        case 'r': out->push_back('\r'); break;
        case 'b': out->push_back('\b'); break;
        case 'f': out->push_back('\f'); break;
        case 'u': {
          if (at_ + 4 >= text_.size()) return false;
          const std::string hex(text_.substr(at_ + 1, 4));
          char* end = nullptr;
          const unsigned long point = std::strtoul(hex.c_str(), &end, 16);
          if (*end != '\0') return false;
          at_ += 4;
          // Halves of a surrogate pair are kept apart: nothing here looks at the text, it is only counted.
          if (point < 0x80) {
            out->push_back(static_cast<char>(point));
          } else if (point < 0x800) {
            out->push_back(static_cast<char>(0xC0 | (point >> 6)));
            out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
          } else {
            out->push_back(static_cast<char>(0xE0 | (point >> 12)));
            out->push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
            out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
          }
          break;
        }
        default: out->push_back(text_[at_]);
      }
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

const Json* Json::Find(std::string_view key) const {
  for (const auto& [name, value] : fields)
    if (name == key) return &value;
  return nullptr;
}

double Json::Number(std::string_view key, double otherwise) const {
  const Json* found = Find(key);
  return found && found->kind == Kind::kNumber ? found->number : otherwise;
}

bool Json::Bool(std::string_view key, bool otherwise) const {
  const Json* found = Find(key);
  return found && found->kind == Kind::kBool ? found->boolean : otherwise;
}

std::string Json::Text(std::string_view key, std::string_view otherwise) const {
  const Json* found = Find(key);
  return found && found->kind == Kind::kString ? found->text : std::string(otherwise);
}

std::optional<Json> Json::Parse(std::string_view text) {
  Json out;
  if (!Parser(text).Document(&out)) return std::nullopt;
  return out;
}

std::string Quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace standin
