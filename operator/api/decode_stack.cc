#include "api/codec.h"
#include "api/decode_status.h"
#include "api/reader.h"
#include "base/bytes.h"

namespace strix::api {

namespace {

// What the CRD defaults; a unit test compares.
constexpr std::string_view default_gfx_target = "gfx1151";
constexpr int64_t default_system_reserve_bytes = 6 * gib;
constexpr std::string_view default_vllm_image = "docker.io/kyuz0/vllm-therock-gfx1151:latest";
constexpr std::string_view default_llamacpp_image = "ghcr.io/ggml-org/llama.cpp:server";

NodeProfile decode_profile(const Reader& reader) {
  NodeProfile profile;
  reader.is_object();
  profile.gfx_target = reader.member("gfxTarget").text(default_gfx_target);
  profile.unified_memory_bytes = reader.member("unifiedMemory").quantity_bytes(0);
  profile.gpu_memory_bytes = reader.member("gpuMemory").quantity_bytes(0);
  profile.system_reserve_bytes = reader.member("systemReserve").quantity_bytes(default_system_reserve_bytes);
  profile.max_gpu_fraction_milli =
      reader.member("maxGpuFraction").milli().value_or(profile.max_gpu_fraction_milli);
  return profile;
}

std::optional<Devices> decode_devices(const Reader& reader) {
  if (!reader.is_object()) return std::nullopt;
  Devices devices;
  devices.strategy = reader.member("strategy")
                         .choice<DeviceStrategy>({{"ExtendedResource", DeviceStrategy::ExtendedResource},
                                                  {"Privileged", DeviceStrategy::Privileged}},
                                                 devices.strategy);
  devices.resource_name = reader.member("resourceName").text();
  devices.paths = reader.member("paths").texts();
  devices.supplemental_groups = reader.member("supplementalGroups").integers();
  return devices;
}

VolumeChoice decode_volume(const Reader& reader) {
  VolumeChoice volume;
  reader.is_object();
  Reader host_path = reader.member("hostPath");
  if (host_path.is_object()) {
    volume.host_path = host_path.member("path").text();
    if (volume.host_path.empty()) host_path.member("path").note("is required");
  }
  Reader claim = reader.member("persistentVolumeClaim");
  if (claim.is_object()) {
    volume.persistent_volume_claim = claim.member("claimName").text();
    if (volume.persistent_volume_claim.empty()) claim.member("claimName").note("is required");
  }
  return volume;
}

StackNode decode_node_entry(const Reader& reader) {
  StackNode node;
  reader.is_object();
  node.name = reader.member("name").text();
  node.selector = reader.member("selector").text_map();
  node.profile = decode_profile(reader.member("profile"));
  node.devices = decode_devices(reader.member("devices"));
  node.model_store = decode_volume(reader.member("modelStore"));
  return node;
}

// Both parts of a reference to a key of a Secret, or none.
void decode_secret(const Reader& reader, std::string* name, std::string* key) {
  if (!reader.is_object()) return;
  *name = reader.member("name").text();
  *key = reader.member("key").text();
  if (name->empty() || key->empty()) reader.note("needs the name of a Secret and a key in it");
}

std::vector<EnvVar> decode_env(const Reader& reader) {
  std::vector<EnvVar> all;
  reader.each([&](const Reader& element) {
    EnvVar variable;
    element.is_object();
    variable.name = element.member("name").text();
    variable.value = element.member("value").text();
    Reader from = element.member("valueFrom");
    if (from.is_object()) {
      Reader secret = from.member("secretKeyRef");
      if (!secret.exists()) from.note("needs secretKeyRef");
      decode_secret(secret, &variable.secret_name, &variable.secret_key);
    }
    if (from.exists() && element.member("value").exists())
      element.note("has both value and valueFrom; remove one");
    all.push_back(std::move(variable));
  });
  return all;
}

EngineDefaults decode_engine(const Reader& reader, std::string_view default_image) {
  EngineDefaults defaults;
  reader.is_object();
  defaults.image = reader.member("image").text(default_image);
  defaults.env = decode_env(reader.member("env"));
  defaults.cache = decode_volume(reader.member("cache"));
  if (reader.member("cache").exists() && !defaults.cache.set())
    reader.member("cache").note("needs hostPath or persistentVolumeClaim; set one, or remove cache");
  return defaults;
}

Model decode_model(const Reader& reader) {
  Model model;
  reader.is_object();
  model.repository = reader.member("repository").text();
  model.file = reader.member("file").text();
  Reader scaling = reader.member("ropeScaling");
  if (scaling.is_object()) {
    RopeScaling rope;
    rope.type = scaling.member("type").choice<std::string>({{"yarn", "yarn"}, {"linear", "linear"}}, "yarn");
    rope.factor_milli = scaling.member("factor").milli().value_or(0);
    rope.original_context_length = scaling.member("originalContextLength").integer(0);
    rope.theta = scaling.member("theta").optional_integer();
    model.rope_scaling = rope;
  }
  Reader facts = reader.member("facts");
  if (facts.is_object()) {
    model.facts = DeclaredFacts{.layers = facts.member("layers").optional_integer(),
                                .kv_heads = facts.member("kvHeads").optional_integer(),
                                .head_dim = facts.member("headDim").optional_integer(),
                                .sliding_layers = facts.member("slidingLayers").optional_integer(),
                                .sliding_window_tokens = facts.member("slidingWindow").optional_integer(),
                                .weight_bytes = facts.member("weightBytes").optional_integer(),
                                .context_length_tokens = facts.member("contextLength").optional_integer()};
  }
  return model;
}

Quantities decode_quantities(const Reader& reader) {
  reader.is_object();
  return Quantities{.cpu = reader.member("cpu").text_or_integer(),
                    .memory = reader.member("memory").text_or_integer()};
}

// How the engine is run: everything that ends up on its command line.
void decode_engine_settings(const Reader& reader, Tier* tier) {
  Reader context = reader.member("contextLength");
  tier->context_length_auto = context.is_text("auto");
  if (!tier->context_length_auto) tier->context_length_tokens = context.integer(0);
  Reader memory = reader.member("memory");
  memory.is_object();
  tier->gpu_fraction_milli = memory.member("gpuFraction").milli();
  if (Reader cache = memory.member("kvCache"); cache.exists()) tier->kv_cache_bytes = cache.quantity_bytes(0);
  tier->kv_cache_type = memory.member("kvCacheType").text("auto");
  tier->max_sequences = reader.member("maxSequences").small_integer(tier->max_sequences);
  tier->prefix_caching = reader.member("prefixCaching").boolean();
  tier->tool_call_parser = reader.member("toolCallParser").text();
  tier->reasoning_parser = reader.member("reasoningParser").text();
  tier->chat_template = reader.member("chatTemplate").text();
  tier->served_model_name = reader.member("servedModelName").text();
  tier->quantization = reader.member("quantization").text();
  tier->enforce_eager = reader.member("enforceEager").boolean().value_or(false);
  Reader speculative = reader.member("speculative");
  if (speculative.is_object())
    tier->speculative = Speculative{.model = speculative.member("model").text(),
                                    .tokens = speculative.member("tokens").small_integer(0)};
  tier->accept_unverified = reader.member("acceptUnverified").boolean().value_or(false);
  tier->threads = reader.member("threads").small_integer(0);
  if (reader.member("threads").exists() && tier->threads == 0)
    reader.member("threads").note("must be 1 to 1024");
  tier->extra_args = reader.member("extraArgs").texts();
  tier->env = decode_env(reader.member("env"));
}

// What the operator does with the tier.
void decode_life(const Reader& reader, Tier* tier) {
  tier->start_after = reader.member("startAfter").texts();
  tier->activation =
      reader.member("activation")
          .choice<Activation>({{"Always", Activation::Always}, {"Off", Activation::Off}}, Activation::Always);
  tier->priority = reader.member("priority").small_integer(tier->priority);
  Reader probe = reader.member("probe");
  probe.is_object();
  tier->probe.path = probe.member("path").text();
  tier->probe.startup_deadline_seconds =
      probe.member("startupDeadlineSeconds").small_integer(tier->probe.startup_deadline_seconds);
  Reader restart = reader.member("restart");
  restart.is_object();
  tier->restart.backoff_seconds =
      restart.member("backoffSeconds").small_integer(tier->restart.backoff_seconds);
  tier->restart.max_backoff_seconds =
      restart.member("maxBackoffSeconds").small_integer(tier->restart.max_backoff_seconds);
  tier->drain_timeout_seconds =
      reader.member("drainTimeoutSeconds").small_integer(tier->drain_timeout_seconds);
}

// The pod and the Service around the engine.
void decode_surroundings(const Reader& reader, Tier* tier) {
  tier->image = reader.member("image").text();
  tier->image_pull_policy =
      reader.member("imagePullPolicy")
          .choice<std::string>({{"Always", "Always"}, {"IfNotPresent", "IfNotPresent"}, {"Never", "Never"}},
                               "");
  tier->port = reader.member("port").small_integer(0);
  tier->host_port = reader.member("hostPort").small_integer(0);
  if (reader.member("hostPort").exists() && tier->host_port == 0)
    reader.member("hostPort").note("must be 1 to 65535, or left out");
  decode_secret(reader.member("apiKeySecretRef"), &tier->api_key_secret_name, &tier->api_key_secret_key);
  Reader resources = reader.member("resources");
  resources.is_object();
  tier->requests = decode_quantities(resources.member("requests"));
  tier->limits = decode_quantities(resources.member("limits"));
  Reader service = reader.member("service");
  service.is_object();
  tier->service.type = service.member("type").choice<std::string>(
      {{"ClusterIP", "ClusterIP"}, {"NodePort", "NodePort"}, {"LoadBalancer", "LoadBalancer"}},
      tier->service.type);
  tier->service.annotations = service.member("annotations").text_map();
}

Tier decode_tier(const Reader& reader) {
  Tier tier;
  reader.is_object();
  tier.name = reader.member("name").text();
  tier.node = reader.member("node").text();
  Reader engine = reader.member("engine");
  tier.engine = engine.choice<Engine>({{"vllm", Engine::Vllm}, {"llamacpp", Engine::LlamaCpp}}, Engine::Vllm);
  if (!engine.exists()) engine.note("is required; write vllm or llamacpp");
  if (Reader accelerator = reader.member("accelerator"); accelerator.exists()) {
    Accelerator fallback = tier.effective_accelerator();
    tier.accelerator =
        accelerator.choice<Accelerator>({{"GPU", Accelerator::Gpu}, {"None", Accelerator::None}}, fallback);
  }
  tier.model = decode_model(reader.member("model"));
  decode_engine_settings(reader, &tier);
  decode_life(reader, &tier);
  decode_surroundings(reader, &tier);
  return tier;
}

StackSpec decode_spec(const Reader& reader) {
  StackSpec spec;
  if (!reader.exists()) reader.note("is required");
  reader.is_object();
  spec.suspend = reader.member("suspend").boolean().value_or(false);
  reader.member("nodes").each([&](const Reader& node) { spec.nodes.push_back(decode_node_entry(node)); });
  Reader engines = reader.member("engines");
  engines.is_object();
  spec.vllm = decode_engine(engines.member("vllm"), default_vllm_image);
  spec.llamacpp = decode_engine(engines.member("llamacpp"), default_llamacpp_image);
  reader.member("tiers").each([&](const Reader& tier) { spec.tiers.push_back(decode_tier(tier)); });
  Reader policy = reader.member("memoryPolicy");
  policy.is_object();
  spec.when_short =
      policy.member("whenShort")
          .choice<WhenShort>({{"Park", WhenShort::Park}, {"Refuse", WhenShort::Refuse}}, spec.when_short);
  Reader tuning = reader.member("tuning");
  tuning.is_object();
  spec.tuning.mode = tuning.member("mode").choice<TuningMode>(
      {{"Off", TuningMode::Off}, {"Observe", TuningMode::Observe}}, spec.tuning.mode);
  spec.tuning.window_seconds = tuning.member("windowSeconds").integer(spec.tuning.window_seconds);
  return spec;
}

}  // namespace

Result<InferenceStack> decode_stack(json::Value object) {
  auto meta = decode_meta(object);
  if (!meta) return meta.error();
  InferenceStack stack;
  stack.metadata = std::move(meta).value();
  stack.spec = decode_spec(Reader(object["spec"], "spec", &stack.decode_errors));
  stack.status = decode_status(object["status"]);
  return stack;
}

}  // namespace strix::api
