#include "offline/commands.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/bytes.h"
#include "base/json.h"
#include "base/yaml.h"
#include "catch.h"
#include "offline/manifest.h"
#include "planner/learned.h"
#include "planner/spec_plan.h"

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

namespace {

std::string vllm_text(const std::string& repository, const std::string& more = "") {
  return "apiVersion: inference.strix.dev/v1alpha1\n"
         "kind: InferenceStack\n"
         "metadata: {name: s, namespace: llm}\n"
         "spec:\n"
         "  nodes:\n"
         "  - name: halo\n"
         "    selector: {kubernetes.io/hostname: box}\n"
         "    modelStore: {hostPath: {path: /models}}\n"
         "    profile: {gfxTarget: gfx1151, unifiedMemory: 128Gi, gpuMemory: 124Gi, systemReserve: 6Gi}\n"
         "    devices: {strategy: ExtendedResource, resourceName: squat.ai/dri}\n"
         "  engines:\n"
         "    vllm: {image: example/vllm}\n"
         "    llamacpp: {image: example/llama}\n"
         "  tiers:\n"
         "  - name: one\n"
         "    engine: vllm\n"
         "    model: {repository: " +
         repository +
         "}\n"
         "    port: 8001\n"
         "    contextLength: 4096\n" +
         more;
}

}  // namespace

TEST_CASE("validate and plan refuse what is known to crash, in the same words, at its line") {
  std::string text = vllm_text("Qwen/Qwen2.5-7B-Instruct", "    quantization: fp8\n");
  Answer told = answer(validate, {"-"}, text);
  CHECK(told.code == exit_does_not);
  CHECK(told.out.empty());
  std::string words = "one: fp8 weights cannot be used with vllm on gfx1151: ";
  CHECK(told.err.find("-:20:5: spec.tiers[one].quantization: " + words) == 0);
  Answer planned = answer(plan, {"-"}, text, Format::Json);
  CHECK(planned.code == exit_does_not);
  std::string sentence = told.err.substr(told.err.find(words));
  sentence.pop_back();  // the end of its line
  CHECK(contains(planned.out, json::quote(sentence)));
  CHECK(contains(planned.out, "\"CombinationRefused\""));
  Answer rendered = answer(render, {"-"}, text);
  CHECK(rendered.code == exit_does_not);
  CHECK(contains(rendered.err, "tier one is error and has no pod"));
}

TEST_CASE("a stack that comes from a cluster is planned with what its engines said there") {
  // Of a version that fills its fraction by itself: what its cache holds is left to it.
  std::string text = vllm_text("Qwen/Qwen2.5-7B-Instruct",
                               "    image: docker.io/rocm/vllm:rocm6.4.1_vllm_0.10.1\n"
                               "    acceptUnverified: true\n    memory: {gpuFraction: 0.4}\n");
  Answer before = answer(plan, {"-"}, text, Format::Json);
  CAPTURE(before.out, before.err);
  REQUIRE(before.code == exit_fits);
  CHECK_FALSE(contains(before.out, "kvTokens"));
  std::istringstream in(text);
  const planner::TierPlan one =
      *planner::plan_of_spec(read_manifests({"-"}, in).stacks.at(0).stack.spec).tier("one");
  std::string learned = "status:\n  learned:\n  - tier: one\n    engine: {bytes: 5368709120, inputs: \"" +
                        one.engine_inputs + "\"}\n";
  Answer after = answer(plan, {"-"}, text + learned, Format::Json);
  CAPTURE(after.out, after.err);
  CHECK(after.code == exit_fits);
  auto tokens = planner::tokens_left(one.footprint, one.effective.context_tokens, one.share_bytes, 5 * gib);
  REQUIRE(tokens);
  CHECK(contains(after.out, fmt::format("\"kvTokens\":{}", *tokens)));
}

TEST_CASE("a model's own files say how its weights are quantised, to validate too") {
  Folder folder;
  std::filesystem::create_directories(folder.path / "me" / "mine");
  std::ofstream(folder.path / "me" / "mine" / "config.json")
      << R"({"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"num_hidden_layers":2,)"
      << R"("hidden_size":64,"num_attention_heads":4,)"
      << R"("num_key_value_heads":2,"quantization_config":{"quant_method":"awq"}})";
  std::string text = vllm_text("me/mine");
  CHECK(answer(validate, {"-"}, text).code == exit_fits);  // nobody says
  auto with_models = [&](const Request& request, Streams streams) {
    Request more = request;
    more.models = folder.path.string();
    return validate(more, streams);
  };
  Answer told = answer(with_models, {"-"}, text);
  CAPTURE(told.err);
  CHECK(told.code == exit_does_not);
  CHECK(contains(told.err, "spec.tiers[one].enforceEager: one: awq weights"));
  CHECK(answer(with_models, {"-"}, vllm_text("me/mine", "    enforceEager: true\n")).code == exit_fits);
}

TEST_CASE("rows of a file come before the built-in ones, and a file with an error is not read") {
  Folder folder;
  std::string rows =
      "combinations:\n- {where: {engine: vllm}, quantizations: [fp8], verdict: Works, reason: tried, source: "
      "me, "
      "date: \"2026-11\"}\n";
  std::string good = folder.write("good.yaml", rows);
  std::string bad = folder.write("bad.yaml", rows + "  where: {}\n");
  std::string text = vllm_text("Qwen/Qwen2.5-7B-Instruct", "    quantization: fp8\n");
  auto with = [&](auto command, const std::string& file) {
    return [command, file](const Request& request, Streams streams) {
      Request more = request;
      more.capabilities = file;
      return command(more, streams);
    };
  };
  CHECK(answer(with(validate, good), {"-"}, text).code == exit_fits);
  CHECK(answer(with(plan, good), {"-"}, text).code == exit_fits);
  for (Answer told : {answer(with(validate, bad), {"-"}, text), answer(with(plan, bad), {"-"}, text),
                      answer(with(render, bad), {"-"}, text), answer(with(plan, "/none"), {"-"}, text)}) {
    CHECK(told.code == exit_unreadable);
    CHECK((contains(told.err, bad) || contains(told.err, "/none")));
  }
}
