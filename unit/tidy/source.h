// Why: rules about the sources are checked on their lines, with comments and the texts of string literals
// told apart from code.
// May not: understand C++; it knows just enough for a tree that clang-format has laid out.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace strix::tidy {

struct Line {
  std::string text;
  std::string code;      // without comments; string literals are ""
  std::string comment;   // of a // comment, with its slashes
  std::string literals;  // what stands in string literals
};

struct Source {
  std::string path;  // from the repository's root
  std::vector<Line> lines;

  bool header() const { return path.ends_with(".h"); }
  std::string at(size_t index) const { return path + ":" + std::to_string(index + 1); }
  // "reconcile" of operator/reconcile/decide.cc, empty for operator/main.cc.
  std::string folder() const {
    size_t first = path.find('/'), second = path.find('/', first + 1);
    return second == std::string::npos ? "" : path.substr(first + 1, second - first - 1);
  }
  std::string stem() const { return std::filesystem::path(path).stem().string(); }
};

// Takes one file apart. Owner thread: any, one at a time.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<Line> lines() {
    while (at_ < text_.size()) step();
    if (!line_.text.empty()) finish_line();
    return std::move(lines_);
  }

 private:
  enum class Inside { Code, Comment, BlockComment, String, Character, RawString };

  void finish_line() {
    lines_.push_back(std::move(line_));
    line_ = Line{};
    if (inside_ == Inside::Comment) inside_ = Inside::Code;
  }
  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  void take(std::string* into, size_t count = 1) {
    line_.text += text_.substr(at_, count);
    if (into) *into += text_.substr(at_, count);
    at_ += count;
  }

  void step() {
    if (text_[at_] == '\n') {
      ++at_;
      return finish_line();
    }
    switch (inside_) {
      case Inside::Code:
        return step_code();
      case Inside::Comment:
        return take(&line_.comment);
      case Inside::BlockComment:
        if (starts("*/")) inside_ = Inside::Code;
        return take(nullptr, inside_ == Inside::Code ? 2 : 1);
      case Inside::String:
      case Inside::Character:
        return step_literal(inside_ == Inside::String ? '"' : '\'');
      case Inside::RawString:
        if (!starts(raw_end_)) return take(&line_.literals);
        line_.code += '"';
        inside_ = Inside::Code;
        return take(nullptr, raw_end_.size());
    }
  }
  void step_code() {
    char before = line_.code.empty() ? ' ' : line_.code.back();
    if (starts("//")) {
      inside_ = Inside::Comment;
      return take(&line_.comment, 2);
    }
    if (starts("/*")) {
      inside_ = Inside::BlockComment;
      return take(nullptr, 2);
    }
    if (starts("R\"")) {
      size_t open = text_.find('(', at_);
      raw_end_ = ")" + std::string(text_.substr(at_ + 2, open - at_ - 2)) + "\"";
      inside_ = Inside::RawString;
      line_.code += '"';
      return take(nullptr, open - at_ + 1);
    }
    if (text_[at_] == '"') inside_ = Inside::String;
    bool digit_separator = std::isalnum(static_cast<unsigned char>(before)) != 0;
    if (text_[at_] == '\'' && !digit_separator) inside_ = Inside::Character;
    take(&line_.code);
  }
  void step_literal(char end) {
    if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n')
      return take(&line_.literals, 2);
    if (text_[at_] != end) return take(&line_.literals);
    inside_ = Inside::Code;
    take(&line_.code);
  }

  std::string_view text_;
  size_t at_ = 0;
  Inside inside_ = Inside::Code;
  std::string raw_end_;
  Line line_;
  std::vector<Line> lines_;
};

inline Source read_source(const std::filesystem::path& root, const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return {std::filesystem::relative(file, root).string(), Scanner(text.str()).lines()};
}

// Every .h and .cc below root/folder, in a stable order.
inline std::vector<Source> read_tree(const std::filesystem::path& root, const std::string& folder) {
  std::vector<Source> sources;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
    auto extension = entry.path().extension();
    if (extension == ".h" || extension == ".cc") sources.push_back(read_source(root, entry.path()));
  }
  std::sort(sources.begin(), sources.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return sources;
}

struct Function {
  size_t first = 0, last = 0;  // lines
};

// What a template is of: `class Queue {` of `template <class T> class Queue {`; empty when the next line says
// that.
inline std::string_view without_template(std::string_view code) {
  if (!code.starts_with("template")) return code;
  size_t depth = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i] == '<') ++depth;
    if (code[i] == '>' && --depth == 0) return code.substr(std::min(code.size(), i + 2));
  }
  return "";
}

// Functions outside classes: from a line at column 0 to the closing brace there.
inline std::vector<Function> functions_of(const Source& source) {
  static constexpr std::string_view no_function[] = {
      "namespace", "class ", "struct ", "enum ", "union ", "#", "using ", "public", "extern \"\" {"};
  std::vector<Function> functions;
  bool open = false, counts = false;
  size_t first = 0;
  for (size_t i = 0; i < source.lines.size(); ++i) {
    const std::string& code = source.lines[i].code;
    if (code.empty() || code[0] == ' ') continue;
    if (code[0] == '}') {
      if (open && counts) functions.push_back({first, i});
      open = false;
      continue;
    }
    std::string_view head = without_template(code);
    if (head.empty()) continue;
    if (!open) {
      first = i;
      bool data = head.ends_with("= {");
      counts = !data && std::none_of(std::begin(no_function), std::end(no_function),
                                     [&](std::string_view word) { return head.starts_with(word); });
    }
    size_t end = code.find_last_not_of(' ');
    bool ended = code[0] == '#' || code[end] == ';' ||
                 (code[end] == '}' && code.find('{') != std::string::npos) || code.starts_with("namespace");
    open = !ended;
  }
  return functions;
}

inline size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

inline bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// The identifiers of a line of code.
inline std::vector<std::string_view> words_of(std::string_view code) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < code.size();) {
    size_t end = at;
    while (end < code.size() && is_word_character(code[end])) ++end;
    if (end > at) words.push_back(code.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace strix::tidy
