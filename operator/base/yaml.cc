#include "base/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "base/yaml_scalar.h"

namespace strix::yaml {

namespace {

constexpr size_t no_node = SIZE_MAX;

// What yaml-cpp read, before aliases and merges are resolved.
struct Node {
  enum class Kind { Scalar, List, Map };
  Kind kind = Kind::Scalar;
  bool open = true;  // its end has not been read
  bool flow = false;
  Location at;
  ScalarKind scalar = ScalarKind::Null;
  std::string text;              // of a scalar: ready to be written, or the text itself
  std::vector<size_t> children;  // of a map: key, value, key, value
  std::vector<Location> places;  // of children: where an alias stands, not what it stands for
};

// Names and their nodes, in the order in which the names came first.
class Members {
 public:
  void set(const std::string& name, size_t node) {
    auto [found, added] = places_.emplace(name, members_.size());
    if (added) members_.emplace_back(name, node);
    members_[found->second].second = node;
  }
  auto begin() const { return members_.begin(); }
  auto end() const { return members_.end(); }

 private:
  std::map<std::string, size_t> places_;
  std::vector<std::pair<std::string, size_t>> members_;
};

std::string shown(std::string_view name) {
  std::string text(name.substr(0, 64));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

}  // namespace

struct Document::Tree {
  std::vector<Node> nodes;
};

// One reading of one text. yaml-cpp calls it as it parses; the first error is kept and the rest passed over.
class Reading final : public YAML::EventHandler {
 public:
  explicit Reading(Limits limits) : limits_(limits), tree_(std::make_shared<Document::Tree>()) {}

  Result<std::vector<Document>> read(std::string_view text);

  void OnDocumentStart(const YAML::Mark&) override {
    anchors_.clear();
    stack_.clear();
    root_ = no_node;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.open = false;
    node.text = "null";
    add(mark, anchor, std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, anchor, Node::Kind::List, true);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    start(mark, anchor, Node::Kind::Map, style == YAML::EmitterStyle::Flow);
  }
  void OnMapEnd() override { end(); }

 private:
  Location location(const YAML::Mark& mark) const { return {mark.line + 1, mark.column + 1}; }
  void fail(Location at, std::string_view what) {
    if (error_.empty()) error_ = fmt::format("line {}, column {}: {}", at.line, at.column, what);
  }
  size_t add(const YAML::Mark& mark, YAML::anchor_t anchor, Node node);
  void attach(size_t node, Location at);
  void start(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind, bool flow);
  void end();

  std::string key_of(size_t node, Location at);
  Members members_of(size_t node, int depth);
  void merge(size_t node, int depth, Members* members);
  void write(json::Writer& out, size_t node, int depth);
  Result<Document> finish();

  Limits limits_;
  std::shared_ptr<Document::Tree> tree_;
  std::map<YAML::anchor_t, size_t> anchors_;
  std::vector<size_t> stack_;  // containers that are open
  size_t root_ = no_node;
  size_t written_ = 0;
  std::string error_;
};

void Reading::attach(size_t node, Location at) {
  if (stack_.empty()) {
    root_ = node;
  } else {
    Node& parent = tree_->nodes[stack_.back()];
    parent.children.push_back(node);
    parent.places.push_back(at);
  }
}

size_t Reading::add(const YAML::Mark& mark, YAML::anchor_t anchor, Node node) {
  if (!error_.empty()) return no_node;
  node.at = location(mark);
  if (tree_->nodes.size() >= limits_.nodes_max) {
    fail(node.at, fmt::format("more than {} values", limits_.nodes_max));
    return no_node;
  }
  size_t index = tree_->nodes.size();
  Location at = node.at;
  tree_->nodes.push_back(std::move(node));
  attach(index, at);
  if (anchor != YAML::NullAnchor) anchors_[anchor] = index;
  return index;
}

void Reading::start(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind, bool flow) {
  if (static_cast<int>(stack_.size()) >= limits_.depth_max)
    fail(location(mark), fmt::format("nested deeper than {} levels", limits_.depth_max));
  Node node;
  node.kind = kind;
  node.flow = flow;
  size_t index = add(mark, anchor, std::move(node));
  if (index != no_node) stack_.push_back(index);
}

void Reading::end() {
  if (!error_.empty() || stack_.empty()) return;
  Node& node = tree_->nodes[stack_.back()];
  node.open = false;
  stack_.pop_back();
  // yaml-cpp takes a last word without a colon for a key, and puts its null where the key stands.
  if (node.kind != Node::Kind::Map || node.flow) return;
  for (size_t i = 0; i + 1 < node.places.size(); i += 2)
    if (node.places[i] == node.places[i + 1]) fail(node.places[i], "a key without a colon");
}

void Reading::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  if (!error_.empty()) return;
  auto found = anchors_.find(anchor);
  if (found == anchors_.end()) return fail(location(mark), "an alias to nothing");
  if (tree_->nodes[found->second].open) return fail(location(mark), "an alias to what it stands in");
  attach(found->second, location(mark));
}

void Reading::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       const std::string& value) {
  static constexpr std::string_view core = "tag:yaml.org,2002:";
  Node node;
  node.open = false;
  node.scalar = ScalarKind::Text;
  node.text = value;
  std::string_view type = tag;
  bool typed = type.starts_with(core);
  if (typed) type.remove_prefix(core.size());
  if (typed && type == "binary") return fail(location(mark), "!!binary is not supported");
  bool resolved = typed && (type == "int" || type == "float" || type == "bool" || type == "null");
  if (tag == "?" || tag.empty() || resolved) {
    Scalar scalar = resolve(value);
    if (scalar.kind == ScalarKind::NotANumber)
      return fail(location(mark), "a number that JSON does not have");
    bool fits =
        !resolved || (type == "bool" && scalar.kind == ScalarKind::Boolean) ||
        (type == "null" && scalar.kind == ScalarKind::Null) ||
        (type == "int" && scalar.kind == ScalarKind::Integer) ||
        (type == "float" && (scalar.kind == ScalarKind::Integer || scalar.kind == ScalarKind::Number));
    if (!fits) return fail(location(mark), fmt::format("not of its tag !!{}", type));
    node.scalar = scalar.kind;
    node.text = std::move(scalar.json);
  }
  add(mark, anchor, std::move(node));
}

std::string Reading::key_of(size_t index, Location at) {
  const Node& node = tree_->nodes[index];
  if (node.kind != Node::Kind::Scalar || node.scalar == ScalarKind::Null) fail(at, "a key that is no text");
  return node.text;
}

// What `<<` stands for: the members of a map, or of maps of which the first wins.
void Reading::merge(size_t index, int depth, Members* members) {
  const Node& node = tree_->nodes[index];
  if (depth > limits_.depth_max) return fail(node.at, "merged too deep");
  if (node.kind == Node::Kind::List) {
    for (auto child = node.children.rbegin(); child != node.children.rend(); ++child) {
      if (tree_->nodes[*child].kind != Node::Kind::Map) return fail(node.at, "a merge of what is no map");
      merge(*child, depth + 1, members);
    }
    return;
  }
  if (node.kind != Node::Kind::Map) return fail(node.at, "a merge of what is no map");
  for (const auto& [name, value] : members_of(index, depth + 1)) members->set(name, value);
}

// As goyaml.v2 does it: what comes later wins, a merge over the names before it and a name over the merges.
Members Reading::members_of(size_t index, int depth) {
  const Node& node = tree_->nodes[index];
  Members members;
  std::set<std::string> names;
  for (size_t i = 0; i + 1 < node.children.size() && error_.empty(); i += 2) {
    if (++written_ > limits_.nodes_max) fail(node.at, fmt::format("more than {} values", limits_.nodes_max));
    std::string key = key_of(node.children[i], node.places[i]);
    if (key == "<<") {
      merge(node.children[i + 1], depth + 1, &members);
    } else if (!names.insert(key).second) {
      fail(node.places[i], fmt::format("\"{}\" is there twice", shown(key)));
    } else {
      members.set(key, node.children[i + 1]);
    }
  }
  return members;
}

void Reading::write(json::Writer& out, size_t index, int depth) {
  const Node& node = tree_->nodes[index];
  if (++written_ > limits_.nodes_max) fail(node.at, fmt::format("more than {} values", limits_.nodes_max));
  if (depth > limits_.depth_max)
    fail(node.at, fmt::format("nested deeper than {} levels", limits_.depth_max));
  if (!error_.empty()) {
    out.null();
  } else if (node.kind == Node::Kind::Map) {
    out.begin_object();
    for (const auto& [name, value] : members_of(index, 0)) {
      out.key(name);
      write(out, value, depth + 1);
    }
    out.end_object();
  } else if (node.kind == Node::Kind::List) {
    out.begin_array();
    for (size_t child : node.children) write(out, child, depth + 1);
    out.end_array();
  } else if (node.scalar == ScalarKind::Text) {
    out.string(node.text);
  } else {
    out.raw(node.text);
  }
}

Result<Document> Reading::finish() {
  json::Writer out;
  if (root_ == no_node) {
    out.null();
  } else {
    write(out, root_, 0);
  }
  if (!error_.empty()) return Error{ErrorKind::Invalid, error_};
  auto json = json::Document::parse(out.take());
  if (!json.ok()) return Error{ErrorKind::Invalid, "not UTF-8, or too large"};
  Document document(tree_, std::move(json).value());
  document.root_node_ = root_;
  return document;
}

namespace {

// yaml-cpp takes byte 4 for the end, and passes the others on.
std::string control_character(std::string_view text) {
  int line = 1;
  for (char c : text) {
    if (c == '\n') ++line;
    bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f;
    if (control) return fmt::format("line {}: a control character", line);
  }
  return "";
}

// yaml-cpp lets the end of a text close a quote, but not the end of a document.
std::string with_end(std::string_view text) {
  constexpr std::string_view end = "...\n";
  bool quoted = text.find_first_of("\"'") != std::string_view::npos;
  bool ended = !text.ends_with('\n') || text.ends_with(end);
  return std::string(text) + std::string(quoted && !ended ? end : "");
}

}  // namespace

Result<std::vector<Document>> Reading::read(std::string_view text) {
  std::vector<Document> documents;
  std::istringstream stream(with_end(text));
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(*this)) {
      if (!error_.empty()) return Error{ErrorKind::Invalid, error_};
      if (documents.size() >= limits_.documents_max)
        return Error{ErrorKind::Invalid, fmt::format("more than {} documents", limits_.documents_max)};
      auto document = finish();
      if (!document.ok()) return document.error();
      documents.push_back(std::move(document).value());
    }
  } catch (const YAML::Exception& problem) {
    // What stands behind a colon in its text may be the file's.
    if (problem.mark.is_null()) return Error{ErrorKind::Invalid, "not readable as YAML"};
    std::string what = problem.msg.substr(0, problem.msg.find(':'));
    fail(location(problem.mark), fmt::format("not readable as YAML: {}", shown(what)));
  } catch (const std::exception&) {
    return Error{ErrorKind::Invalid, "not readable as YAML"};
  }
  if (!error_.empty()) return Error{ErrorKind::Invalid, error_};
  return documents;
}

namespace {

// What a path may call child i: a member by its name, an element by its place or by the `name` in it.
std::vector<std::string> names_of(const std::vector<Node>& nodes, const Node& node, size_t i) {
  const Node& child = nodes[node.children[i]];
  if (node.kind == Node::Kind::Map) return {child.text, "[" + json::quote(child.text) + "]"};
  std::vector<std::string> names = {fmt::format("[{}]", i)};
  for (size_t m = 0; child.kind == Node::Kind::Map && m + 1 < child.children.size(); m += 2)
    if (nodes[child.children[m]].text == "name")
      names.push_back("[" + nodes[child.children[m + 1]].text + "]");
  return names;
}

// Takes the longest of these names off the front of a path.
std::optional<size_t> step(const std::vector<Node>& nodes, const Node& node, std::string_view* path) {
  std::string_view rest = *path;
  if (rest.starts_with('.')) rest.remove_prefix(1);
  std::optional<size_t> found;
  size_t longest = 0;
  for (size_t i = 0; i < node.children.size(); i += node.kind == Node::Kind::Map ? 2 : 1) {
    for (const std::string& name : names_of(nodes, node, i)) {
      bool leads = rest.starts_with(name) && name.size() > longest &&
                   (rest.size() == name.size() || rest[name.size()] == '.' || rest[name.size()] == '[');
      if (!leads) continue;
      longest = name.size();
      found = i;
    }
  }
  if (found) *path = rest.substr(longest);
  return found;
}

}  // namespace

Location Document::locate(std::string_view path) const {
  if (root_node_ == no_node) return {};
  const std::vector<Node>& nodes = tree_->nodes;
  const Node* node = &nodes[root_node_];
  Location at = node->at;
  while (!path.empty()) {
    auto child = step(nodes, *node, &path);
    if (!child) break;
    at = node->places[*child];
    size_t value = *child + (node->kind == Node::Kind::Map ? 1 : 0);
    if (value >= node->children.size()) break;
    node = &nodes[node->children[value]];
  }
  return at;
}

Result<std::vector<Document>> parse_all(std::string_view text, Limits limits) {
  if (text.size() > limits.bytes_max)
    return Error{ErrorKind::Invalid, fmt::format("{} bytes, at most {}", text.size(), limits.bytes_max)};
  if (std::string control = control_character(text); !control.empty())
    return Error{ErrorKind::Invalid, control};
  return Reading(limits).read(text);
}

Result<Document> parse(std::string_view text, Limits limits) {
  auto documents = parse_all(text, limits);
  if (!documents.ok()) return documents.error();
  if (documents->size() > 1)
    return Error{ErrorKind::Invalid, fmt::format("{} documents, one is expected", documents->size())};
  if (documents->empty()) return parse("null", limits);
  return std::move(documents.value().front());
}

}  // namespace strix::yaml
