#include "offline/commands.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/yaml.h"
#include "catch.h"

using namespace strix;
using namespace strix::offline;

namespace {

// A folder that is gone with the test.
struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name =
        (std::filesystem::temp_directory_path() / fmt::format("strix-offline-{:X<6}", "")).string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

std::string stack_text(const std::string& name, const std::string& memory = "1Gi",
                       const std::string& more = "") {
  return "apiVersion: inference.strix.dev/v1alpha1\n"
         "kind: InferenceStack\n"
         "metadata:\n"
         "  name: " +
         name +
         "\n  namespace: llm\n"
         "spec:\n"
         "  nodes:\n"
         "  - name: halo\n"
         "    selector: {kubernetes.io/hostname: box}\n"
         "    modelStore: {hostPath: {path: /models}}\n"
         "    profile: {unifiedMemory: 16Gi, gpuMemory: 12Gi, systemReserve: 2Gi}\n"
         "  engines:\n"
         "    llamacpp: {image: example/llama}\n"
         "  tiers:\n"
         "  - name: one\n"
         "    engine: llamacpp\n"
         "    model: {file: one.gguf}\n"
         "    port: 8001\n"
         "    contextLength: 4096\n"
         "    resources: {requests: {memory: " +
         memory + "}}\n" + more;
}

struct Answer {
  int code = 0;
  std::string out, err;
};

template <class Command>
Answer answer(Command command, std::vector<std::string> files, const std::string& input = "",
              Format format = Format::Table) {
  Request request;
  request.files = std::move(files);
  request.format = format;
  request.policy.allow_privileged_tiers = true;
  request.policy.model_roots = {"/"};
  std::istringstream in(input);
  std::ostringstream out, err;
  Answer answer;
  answer.code = command(request, Streams{in, out, err});
  answer.out = out.str();
  answer.err = err.str();
  return answer;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a stack that fits is planned with exit code 0, one that does not with 1") {
  Answer fits = answer(plan, {"-"}, stack_text("s"));
  CAPTURE(fits.out, fits.err);
  CHECK(fits.code == exit_fits);
  CHECK(contains(fits.out, "It fits."));
  Answer large = answer(plan, {"-"}, stack_text("s", "15Gi"));
  CAPTURE(large.out, large.err);
  CHECK(large.code == exit_does_not);
  CHECK(!contains(large.out, "It fits."));
}

TEST_CASE("what cannot be read ends with exit code 2, and says which file and line") {
  Folder folder;
  CHECK(answer(plan, {(folder.path / "none.yaml").string()}).code == exit_unreadable);
  std::string file = folder.write("bad.yaml", "apiVersion: v1\nkind: [\n");
  for (Answer bad : {answer(plan, {file}), answer(render, {file}), answer(validate, {file})}) {
    CHECK(bad.code == exit_unreadable);
    CAPTURE(bad.err);
    CHECK(contains(bad.err, file + ":"));
    CHECK(bad.out.empty());
  }
  Answer scalar = answer(validate, {"-"}, "just a text\n");
  CAPTURE(scalar.err);
  CHECK(scalar.code == exit_unreadable);
  CHECK(contains(scalar.err, "no Kubernetes object"));
}

TEST_CASE("a folder without a manifest, and files without a stack, are told") {
  Folder folder;
  Answer empty = answer(validate, {folder.path.string()});
  CHECK(empty.code == exit_unreadable);
  CHECK(contains(empty.err, "no .yaml, .yml or .json file"));
  folder.write("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
  Answer other = answer(validate, {folder.path.string()});
  CHECK(other.code == exit_unreadable);
  CHECK(contains(other.err, "1 other documents"));
}

TEST_CASE("an invalid field is named with its file, line and column") {
  Folder folder;
  std::string file = folder.write("s.yaml", stack_text("s", "1Gi", "    startAfter: [nobody]\n"));
  Answer invalid = answer(validate, {file});
  CAPTURE(invalid.err);
  CHECK(invalid.code == exit_does_not);
  CHECK(contains(invalid.err, file + ":21:"));
  CHECK(contains(invalid.err, "startAfter"));
  CHECK(contains(invalid.err, "nobody"));
  Answer planned = answer(plan, {file});
  CHECK(planned.code == exit_unreadable);
  CHECK(planned.err == invalid.err);
}

TEST_CASE(
    "every stack of a folder and of a file with several documents is looked at, in order of the names") {
  Folder folder;
  folder.write("b.yaml", stack_text("third"));
  folder.write("a.yaml", stack_text("first") + "---\n---\napiVersion: v1\nkind: Namespace\n---\n" +
                             stack_text("second"));
  folder.write("notes.txt", "nothing of ours");
  Answer valid = answer(validate, {folder.path.string()});
  CAPTURE(valid.out, valid.err);
  CHECK(valid.code == exit_fits);
  size_t first = valid.out.find("llm/first"), second = valid.out.find("llm/second"),
         third = valid.out.find("llm/third");
  CHECK(first < second);
  CHECK(second < third);
  CHECK(third != std::string::npos);
}

TEST_CASE("one stack of several that does not fit decides the exit code, and the others are still planned") {
  Answer both = answer(plan, {"-"}, stack_text("large", "15Gi") + "---\n" + stack_text("small"));
  CHECK(both.code == exit_does_not);
  CHECK(contains(both.out, "llm/large"));
  CHECK(contains(both.out, "llm/small"));
  CHECK(contains(both.out, "It fits."));
}

TEST_CASE("a plan is written as JSON a line, as YAML documents, and as one picture") {
  std::string two = stack_text("a") + "---\n" + stack_text("b");
  Answer lines = answer(plan, {"-"}, two, Format::Json);
  std::istringstream stream(lines.out);
  int count = 0;
  for (std::string line; std::getline(stream, line); ++count) {
    auto document = json::Document::parse(line);
    REQUIRE(document);
    CHECK(document->root()["fits"].is_bool());
  }
  CHECK(count == 2);
  auto documents = yaml::parse_all(answer(plan, {"-"}, two, Format::Yaml).out);
  REQUIRE(documents);
  CHECK(documents->size() == 2);
  Answer picture = answer(plan, {"-"}, stack_text("a"), Format::Svg);
  CHECK(picture.code == exit_fits);
  CHECK(picture.out.rfind("<svg", 0) == 0);
  Answer pictures = answer(plan, {"-"}, two, Format::Svg);
  CHECK(pictures.code == exit_unreadable);
  CHECK(pictures.out.empty());
}

TEST_CASE("the pods and Services of the tiers that run are rendered, and can be read back") {
  Answer rendered = answer(render, {"-"}, stack_text("s"));
  CAPTURE(rendered.out, rendered.err);
  CHECK(rendered.code == exit_fits);
  auto documents = yaml::parse_all(rendered.out);
  REQUIRE(documents);
  REQUIRE(documents->size() == 2);
  auto& all = documents.value();
  CHECK(all[0].root()["kind"].string_or("") == "Pod");
  CHECK(all[0].root()["metadata"]["name"].string_or("") == "s-one");
  CHECK(all[0].root()["metadata"]["namespace"].string_or("") == "llm");
  CHECK(all[0].root()["spec"]["nodeSelector"]["kubernetes.io/hostname"].string_or("") == "box");
  CHECK(all[1].root()["kind"].string_or("") == "Service");
  Answer parked = answer(render, {"-"}, stack_text("s", "15Gi"));
  CHECK(parked.code == exit_does_not);
  CHECK(parked.out.empty());
  CHECK(contains(parked.err, "tier one is"));
}

TEST_CASE("what was measured of a node stands above what its profile says") {
  Folder folder;
  Request request;
  request.files = {folder.write("s.yaml", stack_text("s", "8Gi"))};
  request.policy.model_roots = {"/"};
  std::istringstream in;
  std::ostringstream out, err;
  Streams streams{in, out, err};
  CHECK(plan(request, streams) == exit_fits);
  request.node_facts = folder.write("nodes.yaml", "name: halo\nunifiedMemory: 8Gi\ngpuMemory: 6Gi\n");
  CHECK(plan(request, streams) == exit_does_not);
  for (const char* wrong : {"name: halo\nunifiedMemory: much\n", "unifiedMemory: 8Gi\n",
                            "name: halo\nmemory: 8Gi\n", "name: halo\nunifiedMemory: -1\n"}) {
    request.node_facts = folder.write("nodes.yaml", wrong);
    err.str("");
    CHECK(plan(request, streams) == exit_unreadable);
    CAPTURE(err.str());
    CHECK(contains(err.str(), "nodes.yaml:"));
  }
}

TEST_CASE("a model that is in the folder and cannot be read is an error; one that is not there is not") {
  Folder folder;
  Request request;
  request.files = {folder.write("s.yaml", stack_text("s"))};
  request.policy.model_roots = {"/"};
  request.models = folder.path.string();
  std::istringstream in;
  std::ostringstream out, err;
  Streams streams{in, out, err};
  CHECK(plan(request, streams) == exit_fits);
  folder.write("one.gguf", "GGUF, but not really");
  CHECK(plan(request, streams) == exit_unreadable);
  CAPTURE(err.str());
  CHECK(contains(err.str(), "tier one"));
  CHECK(contains(err.str(), "one.gguf"));
}
