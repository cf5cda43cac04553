#include <map>
#include <set>

#include "catch.h"
#include "source_dir.h"
#include "tidy/source.h"

using namespace strix::tidy;

namespace {

const std::filesystem::path root = strix::fake::source_dir();

constexpr size_t columns_max = 110;
constexpr size_t file_lines_max = 400;
constexpr size_t function_lines_max = 70;
constexpr size_t test_file_lines_max = 700;  // a table is as long as its cases, and so is its function
constexpr size_t test_function_lines_max = 120;

// What a folder of operator/ may include of ours: itself, and these.
const std::map<std::string, std::set<std::string>> may_include = {
    {"base", {}},
    {"http", {"base"}},
    {"api", {"base"}},
    {"models", {"base"}},
    {"planner", {"models", "api", "base"}},
    {"engines", {"planner", "models", "api", "base"}},
    {"kube", {"base", "http"}},
    {"tuning", {"engines", "planner", "models", "api", "base"}},
    {"reconcile", {"tuning", "engines", "planner", "models", "api", "base"}},
    {"probe", {"tuning", "engines", "http", "api", "base", "reconcile/ports.h"}},
    {"serve", {"base", "api"}},
    {"offline", {"engines", "planner", "models", "api", "base"}},
    {"app", {"base", "http", "api", "planner", "engines", "kube", "reconcile", "probe", "serve", "offline"}},
    {"",
     {"base", "http", "api", "planner", "engines", "kube", "reconcile", "probe", "serve", "offline", "app"}},
};

// Who may include a library: files, or folders that end in a slash.
const std::map<std::string, std::set<std::string>> library_users = {
    {"rapidjson/", {"operator/base/json.cc"}},
    {"curl/", {"operator/http/", "operator/main.cc"}},  // main: curl_global_init
    {"cpprest/", {"operator/serve/listener.cc"}},
    {"pplx/", {"operator/serve/listener.cc"}},
    {"boost/", {}},
    {"openssl/", {"operator/serve/x509.cc", "operator/serve/identity.cc", "operator/serve/channel.cc"}},
    {"yaml-cpp/", {"operator/base/yaml.cc"}},
    {"CLI/", {"operator/app/"}},
};

// Pure: the same inputs give the same outputs. In reconcile/ and probe/ all but the shells are.
const std::set<std::string> pure_folders = {"api",    "models",    "planner", "engines",
                                            "tuning", "reconcile", "probe"};
const std::set<std::string> shells = {"operator/reconcile/stack_reconciler",
                                      "operator/reconcile/node_reconciler",
                                      "operator/reconcile/board",
                                      "operator/reconcile/expectations",
                                      "operator/probe/prober",
                                      "operator/models/file_source"};
const std::set<std::string> impure_headers = {
    "<thread>",    "<mutex>",       "<shared_mutex>", "<chrono>",  "<atomic>",   "<condition_variable>",
    "<future>",    "<stop_token>",  "<random>",       "<fstream>", "<iostream>", "<ctime>",
    "<csignal>",   "<unistd.h>",    "<filesystem>",   "<cstdio>",  "<time.h>",   "<signal.h>",
    "<pthread.h>", "\"base/log.h\""};
const std::set<std::string> impure_calls = {"wall_now",      "boot_now",  "getenv",
                                            "secure_getenv", "sleep_for", "rand"};

const std::set<std::string> top_level = {
    ".ci",       ".clang-format", ".git", ".gitignore", "CMakeLists.txt", "CMakePresets.json", "LICENSE",
    "README.md", "charts",        "crds", "e2e",        "manifests",      "operator",          "unit",
    ".build",    ".cache"};  // the last two are in .gitignore

const std::vector<Source>& ours() {
  static const std::vector<Source> sources = read_tree(root, "operator");
  return sources;
}
const std::vector<Source>& tests() {
  static const std::vector<Source> sources = read_tree(root, "unit");
  return sources;
}
std::vector<Source> everything() {
  std::vector<Source> all = ours();
  all.insert(all.end(), tests().begin(), tests().end());
  return all;
}

using Violations = std::vector<std::string>;

void require_none(const Violations& violations) {
  std::string report;
  for (const auto& violation : violations) report += "\n  " + violation;
  INFO(violations.size() << " violations:" << report);
  REQUIRE(violations.empty());
}

// "base/json.h" of `#include "base/json.h"`, with its quotes or brackets; empty for other lines.
std::string included(const Line& line) {
  size_t open = line.text.starts_with("#include ") ? line.text.find_first_of("\"<") : std::string::npos;
  if (open == std::string::npos) return "";
  return line.text.substr(open, line.text.find_first_of("\">", open + 1) - open + 1);
}

bool may(const std::set<std::string>& users, const std::string& path) {
  return std::any_of(users.begin(), users.end(), [&](const std::string& user) {
    return user.ends_with('/') ? path.starts_with(user) : path == user;
  });
}

bool is_pure(const Source& source) {
  if (source.stem().ends_with("_machine") || source.stem() == "machine") return true;
  std::string path = source.path.substr(0, source.path.rfind('.'));
  return pure_folders.contains(source.folder()) && !shells.contains(path);
}

Source from_text(std::string_view text) {
  return {"operator/base/sample.cc", Scanner(text).lines()};
}

}  // namespace

TEST_CASE("the scanner tells code, comments and literals apart") {
  Source sample = from_text(
      "int a = 1'000;  // a \"comment\"\nauto b = \"// no comment \\\" \";\nauto c = R\"(x\n// y)\";\nchar d "
      "= '\"';\n");
  REQUIRE(sample.lines.size() == 5);
  REQUIRE(sample.lines[0].code == "int a = 1'000;  ");
  REQUIRE(sample.lines[0].comment == "// a \"comment\"");
  REQUIRE(sample.lines[1].code == "auto b = \"\";");
  REQUIRE(sample.lines[1].comment.empty());
  REQUIRE(sample.lines[2].literals == "x");
  REQUIRE(sample.lines[3].literals == "// y");
  REQUIRE(sample.lines[3].comment.empty());
  REQUIRE(sample.lines[4].code == "char d = '';");
}

TEST_CASE("the scanner finds functions and their lengths, and knows data and classes from them") {
  Source sample = from_text(
      "namespace a {\nint f();\nint one() { return 1; }\nint two(int x,\n        int y) {\n  return x;\n}\n"
      "struct S {\n  int g() {\n    return 1;\n  }\n};\nconst int x[] = {\n    1,\n};\nvoid three() "
      "{\n}\n"
      "const T t = {\n    1,\n};\ntemplate <class T>\nclass C {\n  int g();\n};\n"
      "template <class T>\nint four() {\n  return 4;\n}\n}\n");
  auto found = functions_of(sample);
  REQUIRE(found.size() == 3);
  REQUIRE(found[0].first == 3);
  REQUIRE(found[0].last == 6);
  REQUIRE(found[1].first == 15);
  REQUIRE(found[2].first == 25);
}

TEST_CASE("folders include only what lies below them") {
  Violations violations;
  for (const auto& source : ours()) {
    auto rule = may_include.find(source.folder());
    if (rule == may_include.end()) {
      violations.push_back(source.path + ": no rule for this folder in unit/tidy/tidy_test.cc");
      continue;
    }
    for (size_t i = 0; i < source.lines.size(); ++i) {
      std::string header = included(source.lines[i]);
      if (header.empty() || header[0] != '"') continue;
      std::string path = header.substr(1, header.size() - 2), folder = path.substr(0, path.find('/'));
      if (path == folder) violations.push_back(source.at(i) + ": " + path + " without its folder");
      bool allowed =
          folder == source.folder() || rule->second.contains(folder) || rule->second.contains(path);
      if (!allowed) violations.push_back(source.at(i) + ": " + source.folder() + " may not include " + path);
    }
  }
  require_none(violations);
}

TEST_CASE("each library has its one place") {
  Violations violations;
  for (const auto& source : ours()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      std::string header = included(source.lines[i]);
      for (const auto& [library, users] : library_users)
        if (header.starts_with("<" + library) && !may(users, source.path))
          violations.push_back(source.at(i) + ": " + header + " does not belong here");
    }
  }
  require_none(violations);
}

TEST_CASE("what decides has no clock, thread, environment or log") {
  Violations violations;
  for (const auto& source : ours()) {
    if (!is_pure(source)) continue;
    for (size_t i = 0; i < source.lines.size(); ++i) {
      const std::string& code = source.lines[i].code;
      std::string header = included(source.lines[i]);
      if (impure_headers.contains(header))
        violations.push_back(source.at(i) + ": a pure file includes " + header);
      for (auto word : words_of(code))
        if (impure_calls.contains(std::string(word)))
          violations.push_back(source.at(i) + ": a pure file calls " + std::string(word));
      if (code.find("log::") != std::string::npos) violations.push_back(source.at(i) + ": a pure file logs");
      size_t call = code.find("now()");
      bool ours_of_base = call != std::string::npos &&
                          (call == 0 || std::string(" =({,").find(code[call - 1]) != std::string::npos);
      if (ours_of_base && source.folder() != "base")
        violations.push_back(source.at(i) + ": a pure file calls now()");
    }
  }
  require_none(violations);
}

TEST_CASE("headers say why they exist and what they may not do") {
  Violations violations;
  for (const auto& source : everything()) {
    if (!source.header() || source.path == "unit/catch.h") continue;
    size_t i = 0;
    bool may_not = false;
    for (; i < source.lines.size() && !source.lines[i].comment.empty(); ++i)
      may_not = may_not || source.lines[i].text.starts_with("// May not:");
    bool why = i > 0 && source.lines[0].text.starts_with("// Why:");
    if (!why) violations.push_back(source.at(0) + ": does not open with // Why:");
    if (!may_not) violations.push_back(source.at(0) + ": has no // May not: in its opening comment");
    bool once = i < source.lines.size() && source.lines[i].text == "#pragma once";
    if (!once) violations.push_back(source.at(i) + ": no #pragma once after the opening comment");
  }
  require_none(violations);
}

TEST_CASE("lines, functions and files are short enough to read") {
  Violations violations;
  for (const auto& source : everything()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      const std::string& text = source.lines[i].text;
      size_t width = columns(text);
      if (width > columns_max) violations.push_back(source.at(i) + ": " + std::to_string(width) + " columns");
      if (text.find('\t') != std::string::npos) violations.push_back(source.at(i) + ": a tab");
      if (text.ends_with(' ')) violations.push_back(source.at(i) + ": ends in a space");
    }
    bool test = source.path.ends_with("_test.cc");
    size_t lines_max = test ? test_file_lines_max : file_lines_max;
    if (source.lines.size() > lines_max)
      violations.push_back(source.at(source.lines.size() - 1) + ": a file of over " +
                           std::to_string(lines_max));
    for (const auto& function : functions_of(source)) {
      size_t length = function.last - function.first + 1;
      if (length > (test ? test_function_lines_max : function_lines_max))
        violations.push_back(source.at(function.first) + ": a function of " + std::to_string(length) +
                             " lines");
    }
  }
  require_none(violations);
}

TEST_CASE("names say what things are") {
  static const std::set<std::string> banned = {"helper", "helpers", "util", "utils", "misc", "common"};
  Violations violations;
  for (const auto& source : everything()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      for (auto word : words_of(source.lines[i].code)) {
        std::string name(word);
        bool bad = banned.contains(name);
        for (const char* part : {"Manager", "Helper", "Util"})
          bad = bad || name.find(part) != std::string::npos;
        for (const char* part : {"_helper", "helper_", "_util", "util_"})
          bad = bad || name.find(part) != std::string::npos;
        if (bad) violations.push_back(source.at(i) + ": the name " + name);
      }
    }
    std::string stem = source.stem();
    for (const char* part : {"manager", "helper", "util"})
      if (stem.find(part) != std::string::npos) violations.push_back(source.path + ": the file's name");
  }
  require_none(violations);
}

// Tests may spell them: a test that writes a name as it goes over the wire holds names.h to the CRD.
TEST_CASE("names that others match on stand in api/names.h alone") {
  Violations violations;
  for (const auto& source : ours()) {
    if (source.path == "operator/api/names.h") continue;
    for (size_t i = 0; i < source.lines.size(); ++i)
      if (source.lines[i].literals.find("inference.strix.dev") != std::string::npos)
        violations.push_back(source.at(i) + ": \"" + source.lines[i].literals + "\"");
  }
  require_none(violations);
}

TEST_CASE("nothing is left to do, and no code sleeps in comments") {
  static const std::string to_do =
      "TO"
      "DO";
  Violations violations;
  for (const auto& source : everything()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      const std::string& comment = source.lines[i].comment;
      for (const auto& word : {to_do,
                               std::string("FIX"
                                           "ME"),
                               std::string("XX"
                                           "X")})
        if (source.lines[i].text.find(word) != std::string::npos)
          violations.push_back(source.at(i) + ": " + word);
      // Prose may have a semicolon at the end of a line; a call, an assignment or a return is code.
      bool ends_so =
          comment.ends_with(';') && source.lines[i].code.find_first_not_of(' ') == std::string::npos;
      bool code = comment.ends_with(");") || comment.ends_with("};") ||
                  comment.find(" = ") != std::string::npos || comment.starts_with("// return ");
      if (ends_so && code) violations.push_back(source.at(i) + ": commented-out code");
    }
  }
  require_none(violations);
}

TEST_CASE("the top level holds only what the README explains") {
  Violations violations;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    std::string name = entry.path().filename().string();
    if (!top_level.contains(name)) violations.push_back(name + ": not an entry of the top level");
  }
  require_none(violations);
}
