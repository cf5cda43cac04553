// The CRD is what people read and what the API server checks; codec and validate() have to say the same.
#include <functional>
#include <map>
#include <vector>

#include "api/validate.h"
#include "catch.h"
#include "manifest.h"

using namespace strix;

namespace {

const char* const crd_path = "crds/inference.strix.dev_inferencestacks.yaml";

YAML::Node version_of_crd() {
  return YAML::Load(test::read_source(crd_path))["spec"]["versions"][0];
}
YAML::Node schema_of(const std::string& part) {
  return version_of_crd()["schema"]["openAPIV3Schema"]["properties"][part];
}

// One step of a path; an empty name is the first element of a list.
using Path = std::vector<std::string>;

std::string text_of(const Path& path) {
  std::string text;
  for (const auto& step : path) text += step.empty() ? "[0]" : (text.empty() ? "" : ".") + step;
  return text;
}

// Calls visit for the schema of every field below, lists and objects included.
void walk(const YAML::Node& schema, Path& path,
          const std::function<void(const YAML::Node&, const Path&)>& visit) {
  visit(schema, path);
  if (schema["properties"]) {
    for (const auto& property : schema["properties"]) {
      path.push_back(property.first.Scalar());
      walk(property.second, path, visit);
      path.pop_back();
    }
  }
  if (schema["items"]) {
    path.push_back("");
    walk(schema["items"], path, visit);
    path.pop_back();
  }
}

void walk_spec(const std::function<void(const YAML::Node&, const Path&)>& visit) {
  Path path{"spec"};
  walk(schema_of("spec"), path, visit);
}

std::string type_of(const YAML::Node& schema) {
  if (schema["x-kubernetes-int-or-string"]) return "int-or-string";
  return schema["type"] ? schema["type"].Scalar() : "";
}

// YAML::Node is a reference: assigning to node[key] changes the tree that it was taken from.
void set(YAML::Node node, const Path& path, size_t step, const YAML::Node& value) {
  bool last = step + 1 == path.size();
  if (path[step].empty()) {
    if (last) {
      node[size_t{0}] = value;
    } else {
      set(node[size_t{0}], path, step + 1, value);
    }
  } else if (last) {
    node[path[step]] = value;
  } else {
    set(node[path[step]], path, step + 1, value);
  }
}

api::InferenceStack with(const Path& path, const std::string& yaml) {
  YAML::Node manifest = YAML::Load(test::minimal_stack);
  set(manifest, path, 0, YAML::Load(yaml));
  auto stack = api::decode_stack(test::parse(test::yaml_to_json(manifest)).root());
  REQUIRE(stack.ok());
  return std::move(stack).value();
}

api::Policy policy() {
  return api::Policy{.allow_privileged_tiers = true,
                     .model_roots = {"/"},
                     .allowed_images = {},
                     .owned_flag = {},
                     .owned_env = {}};
}

// The last steps of a path, as errors of validate() end: names of tiers stand where indexes were.
bool has_error_at(const std::vector<api::FieldError>& errors, const Path& path) {
  std::string suffix;
  for (const auto& step : path) {
    if (step.empty()) {
      suffix.clear();
    } else {
      suffix += "." + step;
    }
  }
  for (const auto& error : errors) {
    if (("." + error.path).ends_with(suffix)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every field of the CRD has a description") {
  for (const char* part : {"spec", "status"}) {
    Path path{part};
    walk(schema_of(part), path, [](const YAML::Node& schema, const Path& at) {
      if (at.back().empty() && !schema["properties"]) return;  // elements of a plain list: the list says it
      CAPTURE(text_of(at));
      CHECK(schema["description"]);
    });
  }
}

TEST_CASE("every list, map, text and number of the CRD has a bound, and every list says how it merges") {
  walk_spec([](const YAML::Node& schema, const Path& path) {
    CAPTURE(text_of(path));
    std::string type = type_of(schema);
    if (type == "array") {
      CHECK(schema["maxItems"]);
      CHECK(schema["x-kubernetes-list-type"]);
    } else if (type == "string" && !schema["enum"]) {
      CHECK(schema["maxLength"]);
    } else if (type == "integer" || type == "number") {
      CHECK(schema["minimum"]);
      CHECK(schema["maximum"]);
    } else if (schema["additionalProperties"]) {
      CHECK(schema["maxProperties"]);
      CHECK(schema["additionalProperties"]["maxLength"]);
    } else {
      CHECK((type == "object" || type == "boolean" || type == "int-or-string" || schema["enum"]));
    }
  });
}

TEST_CASE("the codec reads every field of the spec: a wrong shape is noted at its path") {
  const std::map<std::string, std::string> wrong = {
      {"string", "[1]"}, {"integer", "many"}, {"number", "much"},      {"boolean", "maybe"},
      {"array", "7"},    {"object", "7"},     {"int-or-string", "[1]"}};
  int fields = 0;
  walk_spec([&](const YAML::Node& schema, const Path& path) {
    ++fields;
    std::string at = text_of(path);
    auto stack = with(path, wrong.at(type_of(schema)));
    bool noted = false;
    for (const auto& error : stack.decode_errors) noted = noted || error.rfind(at + ": ", 0) == 0;
    CAPTURE(at, stack.decode_errors);
    CHECK(noted);
  });
  CHECK(fields > 100);
}

TEST_CASE("the codec knows every value of every enumeration") {
  walk_spec([](const YAML::Node& schema, const Path& path) {
    if (!schema["enum"]) return;
    for (const auto& value : schema["enum"]) {
      CAPTURE(text_of(path), value.Scalar());
      CHECK(with(path, "\"" + value.Scalar() + "\"").decode_errors.empty());
    }
    CHECK_FALSE(with(path, "neverheardof").decode_errors.empty());
  });
}

TEST_CASE("defaults are the same in CRD and codec") {
  auto stack = test::decode_yaml(R"(
metadata: {name: strix}
spec:
  nodes: [{devices: {}}]
  tiers: [{engine: vllm, model: {ropeScaling: {}}}])");
  REQUIRE(stack.ok());
  const api::StackSpec& spec = stack->spec;
  const api::Tier& tier = spec.tiers[0];
  auto boolean = [](bool value) { return std::string(value ? "true" : "false"); };
  CHECK(spec.nodes[0].profile.system_reserve_bytes == 6LL << 30);
  CHECK(spec.nodes[0].profile.max_gpu_fraction_milli == 950);
  const std::map<std::string, std::string> decoded = {
      {"spec.suspend", boolean(spec.suspend)},
      {"spec.nodes[0].profile.gfxTarget", spec.nodes[0].profile.gfx_target},
      {"spec.nodes[0].profile.systemReserve", "6Gi"},    // checked above
      {"spec.nodes[0].profile.maxGpuFraction", "0.95"},  // checked above
      {"spec.nodes[0].devices.strategy", std::string(to_string(spec.nodes[0].devices->strategy))},
      {"spec.engines.vllm.image", spec.vllm.image},
      {"spec.engines.llamacpp.image", spec.llamacpp.image},
      {"spec.tiers[0].model.ropeScaling.type", tier.model.rope_scaling->type},
      {"spec.tiers[0].memory.kvCacheType", tier.kv_cache_type},
      {"spec.tiers[0].maxSequences", std::to_string(tier.max_sequences)},
      {"spec.tiers[0].enforceEager", boolean(tier.enforce_eager)},
      {"spec.tiers[0].acceptUnverified", boolean(tier.accept_unverified)},
      {"spec.memoryPolicy.whenShort", spec.when_short == api::WhenShort::Park ? "Park" : "Refuse"},
      {"spec.tuning.mode", spec.tuning.mode == api::TuningMode::Observe ? "Observe" : "Off"},
      {"spec.tuning.windowSeconds", std::to_string(spec.tuning.window_seconds)},
      {"spec.tiers[0].activation", tier.activation == api::Activation::Always ? "Always" : "Off"},
      {"spec.tiers[0].priority", std::to_string(tier.priority)},
      {"spec.tiers[0].probe.startupDeadlineSeconds", std::to_string(tier.probe.startup_deadline_seconds)},
      {"spec.tiers[0].restart.backoffSeconds", std::to_string(tier.restart.backoff_seconds)},
      {"spec.tiers[0].restart.maxBackoffSeconds", std::to_string(tier.restart.max_backoff_seconds)},
      {"spec.tiers[0].drainTimeoutSeconds", std::to_string(tier.drain_timeout_seconds)},
      {"spec.tiers[0].service.type", tier.service.type},
  };
  std::map<std::string, std::string> declared;
  walk_spec([&](const YAML::Node& schema, const Path& path) {
    if (schema["default"]) declared[text_of(path)] = schema["default"].Scalar();
  });
  CHECK(decoded == declared);
}

TEST_CASE("validate refuses numbers just outside the CRD's range, and takes those just inside") {
  walk_spec([](const YAML::Node& schema, const Path& path) {
    std::string type = type_of(schema);
    if (type != "integer" && type != "number") return;
    double step = type == "integer" ? 1 : 0.006;
    auto written = [&](double value) {
      return type == "integer" ? std::to_string(static_cast<int64_t>(value)) : std::to_string(value);
    };
    double low = schema["minimum"].as<double>(), high = schema["maximum"].as<double>();
    for (double value : {low - step, high + step}) {
      CAPTURE(text_of(path), value);
      CHECK(has_error_at(api::validate(with(path, written(value)), policy()), path));
    }
    for (double value : {low, high}) {
      auto stack = with(path, written(value));
      // Elsewhere rules between fields apply, for which these alone are wrong.
      stack.spec.tiers[0].restart.max_backoff_seconds = std::max(
          stack.spec.tiers[0].restart.max_backoff_seconds, stack.spec.tiers[0].restart.backoff_seconds);
      CAPTURE(text_of(path), value);
      CHECK_FALSE(has_error_at(api::validate(stack, policy()), path));
    }
  });
}

TEST_CASE("validate refuses texts that are longer than the CRD allows") {
  walk_spec([](const YAML::Node& schema, const Path& path) {
    if (type_of(schema) != "string" || !schema["maxLength"]) return;
    std::string at = text_of(path);
    size_t length = schema["maxLength"].as<size_t>() + 1;
    std::string text(length, 'a');
    if (at.find("ath") != std::string::npos) text[0] = '/';
    CAPTURE(at);
    CHECK_FALSE(api::validate(with(path, "\"" + text + "\""), policy()).empty());
  });
}

TEST_CASE("the CRD leaves room for kubectl apply, and prints what the status offers") {
  CHECK(test::read_source(crd_path).size() < 98304);  // the annotation of kubectl apply may have 262144
  std::vector<std::string> names;
  YAML::Node summary = schema_of("status")["properties"]["summary"]["properties"];
  for (const auto& column : version_of_crd()["additionalPrinterColumns"]) {
    names.push_back(column["name"].Scalar());
    std::string path = column["jsonPath"].Scalar();
    const std::string prefix = ".status.summary.";
    if (path.rfind(prefix, 0) == 0) CHECK(summary[path.substr(prefix.size())]);
  }
  CHECK(names == std::vector<std::string>{"READY", "STATUS", "GPU", "POOL", "HEADROOM", "NODES", "AGE"});
}

TEST_CASE("the status that is written has only fields of the CRD") {
  api::StackStatus status;
  status.conditions.push_back(
      {.type = "Ready", .status = "True", .reason = "R", .message = "m", .last_transition = 1});
  status.summary = {.ready = "1/1", .status = "s", .gpu = "0", .pool = "p", .headroom = "h", .nodes = "n"};
  api::TierStatus tier;
  tier.name = tier.state = tier.reason = tier.message = tier.pod_name = tier.node = tier.endpoint = "x";
  tier.since = 1;
  tier.last_failure =
      api::Failure{.failure_class = "c", .message = "m", .time = 1, .subject = "s", .cleared = "t"};
  tier.context_length_tokens = tier.bytes = 1;
  tier.gpu_fraction_milli = 1;
  tier.kv = api::KvStatus{.bytes = 1, .tokens = 1, .concurrency_hundredths = 1, .peak_percent = 1};
  tier.recommended = api::Recommended{
      .context_length_tokens = 1, .gpu_fraction_milli = 1, .kv_cache_bytes = 1, .message = "m", .since = 1};
  tier.engine_version = "v";
  status.tiers.push_back(tier);
  status.memory.push_back({.node = "halo"});
  status.learned.push_back(
      {.tier = "x",
       .context =
           api::LearnedContext{.refused_tokens = 1, .refusals = 1, .estimate_tokens = 1, .inputs = "i"},
       .engine = api::LearnedEngine{.bytes = 1, .inputs = "i"},
       .gpu_memory = api::LearnedGpuMemory{.total_bytes = 1, .inputs = "i"}});
  auto document = test::parse(api::encode_status_apply(test::minimal(), status));
  // Every field is set above, so the two sets of names must be equal.
  Path path{"status"};
  walk(schema_of("status"), path, [&](const YAML::Node&, const Path& at) {
    json::Value value = document.root();
    for (const auto& step : at) value = step.empty() ? value.at(0) : value[step];
    CAPTURE(text_of(at));
    CHECK(value.exists());
  });
  std::function<void(json::Value, const YAML::Node&)> known = [&](json::Value value,
                                                                  const YAML::Node& schema) {
    value.for_each_member([&](std::string_view name, json::Value member) {
      CAPTURE(std::string(name));
      YAML::Node property = schema["properties"][std::string(name)];
      REQUIRE(property);
      known(member, property);
    });
    value.for_each([&](json::Value element) { known(element, schema["items"]); });
  };
  known(document.root()["status"], schema_of("status"));
}
