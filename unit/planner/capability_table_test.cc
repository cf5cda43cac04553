#include "planner/capability_table.h"

#include "catch.h"
#include "planner/engine_settings.h"

using namespace strix;
using namespace strix::planner;

namespace {

std::string refusal(const std::string& text) {
  auto table = CapabilityTable::parse(text);
  REQUIRE_FALSE(table.ok());
  REQUIRE(table.error().kind == ErrorKind::Invalid);
  return table.error().text;
}

const std::string found = ", source: s, date: \"2026-02-09\"}\n";

std::string combination(const std::string& where, const std::string& more) {
  return "combinations:\n- {where: {" + where + "}, " + more + found;
}

std::string setting(const std::string& more) {
  return "settings:\n- {where: {engine: vllm}, topic: t, " + more + found;
}

CapabilityTable table_of(const std::string& text) {
  auto table = CapabilityTable::parse(text);
  INFO((table.ok() ? "" : table.error().text));
  REQUIRE(table.ok());
  return std::move(table).value();
}

EngineSetup on_halo() {
  EngineSetup setup;
  setup.on_gpu = true;
  setup.gfx_target = "gfx1151";
  return setup;
}

}  // namespace

TEST_CASE("what is wrong with a table is told with line, row and field") {
  const std::string refused = "verdict: Refused, reason: r, instead: i";
  const std::pair<std::string, const char*> table[] = {
      {"other: []", "line 1: no such list; there are combinations, settings, images"},
      {"- a", "no map of combinations, settings and images"},
      {"combinations: {}", "combinations: no list of at most 2000 rows"},
      {"combinations:\n- x: 1\n", "line 2, column 3: combinations[0].x: no such field"},
      {"combinations:\n- {verdict: Works" + found, "combinations[0].where: missing"},
      {combination("engine: sglang", refused), "combinations[0].where.engine: none of vllm, llamacpp"},
      {combination("engine: vllm, gpu: a", refused), "combinations[0].where.gpu: no such field"},
      {combination("engine: vllm, versions: new", refused),
       "combinations[0].where.versions: no bounds such as"},
      {combination("engine: vllm, versions: 1", refused), "combinations[0].where.versions: no text"},
      {combination("engine: vllm, images: [\"{x}\"]", refused),
       "combinations[0].where.images: an entry is no pattern"},
      {combination("engine: vllm, accelerator: Gpu", refused),
       "combinations[0].where.accelerator: none of GPU, None"},
      {combination("engine: vllm, accelerator: None, gfxTargets: [a]", refused),
       "combinations[0].where.accelerator: None, and gfxTargets speaks of GPUs"},
      {combination("engine: vllm, gfxTargets: []", refused),
       "combinations[0].where.gfxTargets: no list of 1 to 64 texts"},
      {combination("engine: vllm, variables: {A B: c}", refused),
       "combinations[0].where.variables: the name of a variable"},
      {combination("engine: vllm, variables: {A: 1}", refused),
       "combinations[0].where.variables.A: no text; numbers need quotes"},
      {combination("engine: vllm", refused), "combinations[0]: speaks of nothing"},
      {combination("engine: vllm", "quantizations: [a], flags: [-b], " + refused),
       "combinations[0]: speaks of more than one"},
      {combination("engine: vllm", "quantizations: [1], " + refused),
       "combinations[0].quantizations: an entry is no text"},
      {combination("engine: vllm", "flags: [swap], " + refused),
       "combinations[0].flags: an entry does not begin with a dash"},
      {combination("engine: vllm", "quantizations: [a], verdict: Broken, reason: r"),
       "combinations[0].verdict: none of Works, NeedsEager, Degraded, Refused"},
      {combination("engine: vllm", "quantizations: [a], verdict: Refused, reason: r"),
       "combinations[0].instead: missing"},
      {combination("engine: vllm", "quantizations: [a], verdict: Works"), "combinations[0].reason: missing"},
      {combination("engine: vllm", "quantizations: [a], verdict: Works, reason: It does."),
       "combinations[0].reason: ends with a point"},
      {combination("engine: llamacpp", "quantizations: [a], verdict: NeedsEager, reason: r"),
       "combinations[0].verdict: NeedsEager is for engine vllm"},
      {"combinations:\n- {where: {engine: vllm}, quantizations: [a], verdict: Works, reason: r, source: s}\n",
       "combinations[0].date: missing"},
      {"combinations:\n- {where: {engine: vllm}, quantizations: [a], verdict: Works, reason: r, source: s, "
       "date: today}\n",
       "combinations[0].date: no day or month"},
      {setting("constants: {speed: 1}"), "settings[0].constants.speed: no such constant"},
      {setting("constants: {hostBytes: -1}"),
       "settings[0].constants.hostBytes: no boolean, number or quantity"},
      {setting("constants: {hostBytes: 2Ti}"),
       "settings[0].constants.hostBytes: no boolean, number or quantity"},
      {setting("arguments: [none]"), "settings[0].arguments: does not begin with a flag"},
      {setting("environment: {A: true}"), "settings[0].environment.A: no text; numbers need quotes"},
      {"images:\n- {engine: vllm, image: a" + found,
       "images[0].version: needed where image has no {version}"},
      {"images:\n- {engine: vllm, image: \"a:{version}\", version: \"1\"" + found,
       "images[0].version: needed"},
      {"images:\n- {engine: vllm, image: a, version: new" + found, "images[0].version: no version"},
  };
  for (const auto& [text, says] : table) {
    CAPTURE(text);
    std::string told = refusal(text);
    CAPTURE(told);
    CHECK(told.find(says) != std::string::npos);
  }
}

TEST_CASE("a table that is huge is refused before it is read") {
  std::string rows = "images:\n";
  for (size_t i = 0; i <= CapabilityTable::rows_max; ++i) rows += "- {}\n";
  CHECK(refusal(rows) == "images: no list of at most 2000 rows");
  CHECK(refusal(std::string(CapabilityTable::bytes_max + 1, '#')).find("bytes") != std::string::npos);
}

TEST_CASE("an empty table says nothing") {
  CapabilityTable table = table_of("");
  CHECK(table.find(CapabilitySubject::Weights, "fp8", on_halo()) == nullptr);
  CHECK(table.settings(on_halo()).empty());
}

TEST_CASE("the first row that covers a tier counts, and rows that are put in front come first") {
  auto row = [](const std::string& where, const std::string& reason) {
    return "- {where: {" + where + "}, quantizations: [fp8], verdict: Works, reason: " + reason + found;
  };
  CapabilityTable table =
      table_of("combinations:\n" + row("engine: vllm, gfxTargets: [gfx1100]", "other") +
               row("engine: vllm, gfxTargets: [\"gfx115*\"]", "target") + row("engine: vllm", "all"));
  CHECK(table.find(CapabilitySubject::Weights, "fp8", on_halo())->reason == "target");
  EngineSetup cpu;
  CHECK(table.find(CapabilitySubject::Weights, "fp8", cpu)->reason == "all");
  CHECK(table.find(CapabilitySubject::KvCache, "fp8", cpu) == nullptr);
  CHECK(table.find(CapabilitySubject::Weights, "fp8x", cpu) == nullptr);
  CapabilityTable over = table_of("combinations:\n" + row("engine: vllm", "mine"));
  CHECK(CapabilityTable::layered(over, table).find(CapabilitySubject::Weights, "fp8", on_halo())->reason ==
        "mine");
}

TEST_CASE("every part of where must match, and an architecture that nobody knows matches none") {
  CapabilityTable table = table_of(combination(
      "engine: vllm, accelerator: GPU, gfxTargets: [gfx1151], architectures: [\"*Moe*\"], images: "
      "[\"*/vllm:*\"], versions: \"<0.17\", variables: {A: b}",
      "quantizations: [gptq], verdict: Works, reason: r"));
  EngineSetup setup = on_halo();
  setup.architecture = "Qwen3MoeForCausalLM";
  setup.image = ImageName("example/vllm:1");
  setup.version = EngineVersion::parse("0.16");
  setup.variables = {{"A", "b"}, {"C", "d"}};
  auto covered = [&](EngineSetup other) {
    return table.find(CapabilitySubject::Weights, "gptq", other) != nullptr;
  };
  CHECK(covered(setup));
  auto without = [&](auto change) {
    EngineSetup other = setup;
    change(other);
    return covered(other);
  };
  CHECK_FALSE(without([](EngineSetup& s) { s.engine = api::Engine::LlamaCpp; }));
  CHECK_FALSE(without([](EngineSetup& s) { s.on_gpu = false; }));
  CHECK_FALSE(without([](EngineSetup& s) { s.gfx_target = "gfx1100"; }));
  CHECK_FALSE(without([](EngineSetup& s) { s.architecture = "LlamaForCausalLM"; }));
  CHECK_FALSE(without([](EngineSetup& s) { s.architecture.clear(); }));
  CHECK_FALSE(without([](EngineSetup& s) { s.image = ImageName("example/other:1"); }));
  CHECK_FALSE(without([](EngineSetup& s) { s.version = EngineVersion::parse("0.17"); }));
  CHECK_FALSE(without([](EngineSetup& s) { s.version.reset(); }));
  CHECK_FALSE(without([](EngineSetup& s) { s.variables["A"] = "c"; }));
  CHECK_FALSE(without([](EngineSetup& s) { s.variables.clear(); }));
}

TEST_CASE("settings are given by topic, and a topic alone takes away what a row below has") {
  const std::string below =
      "settings:\n- {where: {engine: vllm}, topic: a, environment: {X: \"1\"}, constants: {pinsKvCache: "
      "false, "
      "hostBytes: 2Gi}" +
      found + "- {where: {engine: vllm}, topic: b, arguments: [--fast, \"2\"]" + found;
  CapabilityTable table = table_of(below);
  EngineSettings settings = settings_of(table, on_halo(), {});
  CHECK_FALSE(settings.constants.vllm_pins_kv_cache);
  CHECK(settings.constants.vllm_host_bytes == 2 * gib);
  REQUIRE(settings.environment.size() == 1);
  CHECK(settings.environment[0].name == "X");
  CHECK(settings.arguments == std::vector<std::string>{"--fast", "2"});
  CapabilityTable over = table_of("settings:\n- {where: {engine: vllm}, topic: b" + found);
  settings = settings_of(CapabilityTable::layered(over, table), on_halo(), {});
  CHECK(settings.arguments.empty());
  CHECK(settings.environment.size() == 1);
  EngineSetup llama;
  llama.engine = api::Engine::LlamaCpp;
  CHECK(settings_of(table, llama, {}).environment.empty());
}

TEST_CASE("every constant that a row may set is there") {
  for (const char* name :
       {"pinsKvCache", "gpuEngineBytes", "cpuEngineBytes", "spareBlocks", "blockTokens", "largeDeviceBytes",
        "largeBatchTokens", "smallBatchTokens", "hostBytes", "graphBytes"}) {
    CAPTURE(name);
    CHECK(is_constant(name));
    CapabilityTable table = table_of(setting("constants: {" + std::string(name) + ": 0}"));
    EngineConstants set = settings_of(table, on_halo(), {}).constants;
    EngineConstants all = {};
    int64_t before = all.vllm_gpu_engine_bytes + all.vllm_cpu_engine_bytes + all.vllm_spare_blocks +
                     all.vllm_block_tokens + all.vllm_large_device_bytes + all.vllm_large_batch_tokens +
                     all.vllm_small_batch_tokens + all.vllm_host_bytes + all.vllm_graph_bytes +
                     all.vllm_pins_kv_cache;
    int64_t after = set.vllm_gpu_engine_bytes + set.vllm_cpu_engine_bytes + set.vllm_spare_blocks +
                    set.vllm_block_tokens + set.vllm_large_device_bytes + set.vllm_large_batch_tokens +
                    set.vllm_small_batch_tokens + set.vllm_host_bytes + set.vllm_graph_bytes +
                    set.vllm_pins_kv_cache;
    CHECK(after < before);
  }
}

TEST_CASE("an image's version is known from its name, and otherwise not") {
  const CapabilityTable& table = built_in_capabilities();
  auto version = [&](api::Engine engine, const char* image) {
    auto found_version = table.version_of(engine, ImageName(image));
    return found_version ? found_version->text() : std::string("(unknown)");
  };
  using enum api::Engine;
  CHECK(version(Vllm, "docker.io/kyuz0/vllm-therock-gfx1151:rocm7.14.0-torch2.11.0-vllm0.27.1") == "0.27.1");
  CHECK(version(Vllm, "kyuz0/vllm-therock-gfx1151:latest") == "(unknown)");
  CHECK(version(Vllm, "vllm/vllm-openai-rocm:v0.19.1") == "0.19.1");
  CHECK(version(Vllm, "rocm/vllm:rocm7.0.0_vllm_0.11.2_20251210") == "0.11.2");
  CHECK(version(Vllm, "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.17.0") == "0.17.0");
  CHECK(version(LlamaCpp, "ghcr.io/ggml-org/llama.cpp:server-vulkan-b10114") == "10114");
  CHECK(version(LlamaCpp, "ghcr.io/ggml-org/llama.cpp:server-rocm-v0.7.0") == "11669");
  CHECK(version(LlamaCpp, "ghcr.io/ggml-org/llama.cpp:server-vulkan") == "(unknown)");
  CHECK(version(LlamaCpp, "vllm/vllm-openai-rocm:v0.19.1") == "(unknown)");
}
