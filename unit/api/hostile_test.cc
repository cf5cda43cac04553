// unit/api/hostile/ holds manifests that must not get through. The first line says in what words each is
// refused, the second by whom: schema and cel (the API server), strict (kubectl's field validation),
// operator. Whoever is named first, validate() has to refuse all but unknown fields, since the API server's
// checks can be passed: a stored object may be older than a rule.
#include <algorithm>
#include <filesystem>
#include <vector>

#include "api/validate.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;

namespace {

struct Hostile {
  std::string name, refused, by, text;
  bool needs_allowed_images = false;
};

std::string line_after(const std::string& text, const std::string& prefix) {
  size_t begin = text.rfind(prefix, 0) == 0 ? 0 : text.find("\n" + prefix);
  if (begin == std::string::npos) return "";
  begin = text.find(prefix, begin) + prefix.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

std::vector<Hostile> all_hostile() {
  std::vector<Hostile> all;
  std::string folder = "unit/api/hostile";
  for (const auto& entry : std::filesystem::directory_iterator(fake::source_dir() + "/" + folder)) {
    Hostile hostile;
    hostile.name = entry.path().filename();
    hostile.text = test::read_source(folder + "/" + hostile.name);
    hostile.refused = line_after(hostile.text, "# refused: ");
    hostile.by = line_after(hostile.text, "# by: ");
    hostile.needs_allowed_images = line_after(hostile.text, "# needs: ") == "--allowed-images";
    all.push_back(hostile);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

api::Policy strict_policy(const Hostile& hostile) {
  api::Policy policy;
  policy.model_roots = {"/var/lib/models"};
  if (hostile.needs_allowed_images) policy.allowed_images = {"docker.io/kyuz0", "ghcr.io/ggml-org"};
  // In the operator the engines say which; here a few are enough.
  policy.owned_flag = [](api::Engine, const std::vector<std::string>& arguments) {
    for (const auto& argument : arguments)
      for (const char* flag : {"--port", "--host", "--max-model-len"})
        if (argument.substr(0, argument.find('=')) == flag) return std::string(flag);
    return std::string();
  };
  policy.owned_env = {"HF_HUB_OFFLINE"};
  return policy;
}

bool contains(const std::vector<api::FieldError>& errors, const std::string& text) {
  return std::any_of(errors.begin(), errors.end(), [&](const api::FieldError& error) {
    return error.text().find(text) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("no hostile manifest passes, and each is refused in the words that it names") {
  auto all = all_hostile();
  CHECK(all.size() >= 40);
  for (const auto& hostile : all) {
    CAPTURE(hostile.name, hostile.refused, hostile.by);
    REQUIRE_FALSE(hostile.refused.empty());
    auto stack = test::decode_yaml(hostile.text);
    REQUIRE(stack.ok());
    auto errors = api::validate(*stack, strict_policy(hostile));
    if (hostile.by == "strict") {
      CHECK(errors.empty());  // a newer CRD may know the field
      continue;
    }
    REQUIRE((hostile.by == "schema" || hostile.by == "cel" || hostile.by == "operator"));
    CHECK_FALSE(errors.empty());
    if (hostile.by == "operator") {
      CHECK(stack->decode_errors.empty());
      CHECK(errors.size() == 1);  // one fault, one sentence
      CHECK(contains(errors, hostile.refused));
    }
  }
}

TEST_CASE("whatever a manifest holds, errors are few, printable sentences that name a field") {
  for (const auto& hostile : all_hostile()) {
    auto stack = test::decode_yaml(hostile.text);
    auto errors = api::validate(*stack, strict_policy(hostile));
    CHECK(errors.size() <= 32);
    for (const auto& error : errors) {
      std::string text = error.text();
      CAPTURE(hostile.name, text);
      CHECK((error.path.rfind("spec", 0) == 0 || error.path == "metadata.name"));
      CHECK(text.size() < 800);
      CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; }));
      CHECK(error.message.back() != '.');
    }
  }
}

TEST_CASE("what the hostile manifests are made from is valid without their one fault") {
  CHECK(api::validate(test::minimal(), strict_policy({})).empty());
}
