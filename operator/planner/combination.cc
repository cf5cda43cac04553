#include "planner/combination.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "models/catalogue.h"
#include "planner/spec_plan.h"
#include "planner/start_order.h"

namespace strix::planner {
namespace {

// One thing that a tier asks of its engine.
struct Request {
  CapabilitySubject subject;
  std::string name;   // "fp8"; of a build: the image
  std::string words;  // "fp8 weights"
  std::string field;  // below the tier's path, or a path of the spec
};

class Check {
 public:
  Check(const api::StackSpec& spec, const api::Tier& tier, const KnownModel& model,
        const CapabilityTable& table, const EngineSetup& setup)
      : spec_(spec), tier_(tier), model_(model), table_(table), setup_(setup) {}

  std::vector<CombinationFinding> run();

 private:
  std::vector<Request> requests() const;
  void add_flags(std::vector<Request>& all) const;
  void judge(const Request& request);
  void unverified(const Request& request, const CapabilityRow* row);
  void unknown_quantization();
  void add(FindingCode code, Severity severity, const std::string& field, std::string message);
  std::string with_text() const;
  bool is_vllm() const { return tier_.engine == api::Engine::Vllm; }

  const api::StackSpec& spec_;
  const api::Tier& tier_;
  const KnownModel& model_;
  const CapabilityTable& table_;
  const EngineSetup& setup_;
  std::vector<CombinationFinding> findings_;
};

// "--flag_name=7" is --flag-name, as for both engines' parsers.
std::string flag_name(std::string_view argument) {
  std::string name(argument.substr(0, argument.find_first_of("= ")));
  if (name.starts_with("--")) std::replace(name.begin() + 2, name.end(), '_', '-');
  return name;
}

void Check::add_flags(std::vector<Request>& all) const {
  std::set<std::string> seen;
  for (const std::string& argument : tier_.extra_args) {
    std::string name = argument.starts_with('-') ? flag_name(argument) : std::string();
    if (!name.empty() && seen.insert(name).second)
      all.push_back({CapabilitySubject::Flag, name, "the flag " + name, "extraArgs"});
  }
}

std::vector<Request> Check::requests() const {
  const std::string& image = spec_.image_of(tier_);
  std::vector<Request> all{{CapabilitySubject::Build, image, "the image " + image, "image"}};
  std::string quantization = quantization_of(tier_, model_).value_or("");
  if (!quantization.empty())
    all.push_back({CapabilitySubject::Weights, quantization, quantization + " weights",
                   tier_.quantization.empty() ? "model" : "quantization"});
  if (model_.draft && !model_.draft->quantization.empty())
    all.push_back({CapabilitySubject::Weights, model_.draft->quantization,
                   model_.draft->quantization + " weights of the draft model", "speculative.model"});
  if (!tier_.kv_cache_type.empty() && tier_.kv_cache_type != "auto")
    all.push_back({CapabilitySubject::KvCache, tier_.kv_cache_type,
                   "a KV cache of type " + tier_.kv_cache_type, "memory.kvCacheType"});
  add_flags(all);
  return all;
}

std::string Check::with_text() const {
  std::string text(api::to_string(tier_.engine));
  if (setup_.version) text += " " + setup_.version->text();
  if (!setup_.on_gpu) return text + " on the CPU";
  return text + " on " + (setup_.gfx_target.empty() ? "this GPU" : setup_.gfx_target);
}

void Check::add(FindingCode code, Severity severity, const std::string& field, std::string message) {
  bool default_image = field == "image" && tier_.image.empty();
  std::string path = default_image ? fmt::format("spec.engines.{}.image", api::to_string(tier_.engine))
                                   : fmt::format("spec.tiers[{}].{}", tier_.name, field);
  findings_.push_back({code, severity, std::move(path), tier_.name + ": " + std::move(message)});
}

// `row`: one that would refuse it, if the image held a version of its range, which nobody knows.
void Check::unverified(const Request& request, const CapabilityRow* row) {
  std::string known =
      row ? fmt::format("{} cannot be used with {} {}: {} ({}, {}); which version {} holds is not known",
                        request.words, api::to_string(tier_.engine), row->where.versions.text(), row->reason,
                        row->found.source, row->found.date, spec_.image_of(tier_))
          : fmt::format("nobody has verified {} with {}", request.words, with_text());
  if (tier_.accept_unverified)
    return add(FindingCode::CombinationUnverified, Severity::Note, request.field,
               known + "; it is tried, as acceptUnverified is set.");
  std::string instead = row ? row->instead
                        : request.subject == CapabilitySubject::KvCache
                            ? "leave memory.kvCacheType out"
                            : "use weights that are not quantised";
  add(FindingCode::CombinationUnverified, Severity::Error, request.field,
      fmt::format("{}. Set acceptUnverified: true to try it, or {}.", known, instead));
}

void Check::judge(const Request& request) {
  const CapabilityRow* row = table_.find(request.subject, request.name, setup_);
  // llama.cpp reads every GGUF that it has a kernel for, and says so at once where it has none.
  bool speaks_for_itself =
      request.subject == CapabilitySubject::Flag || request.subject == CapabilitySubject::Build || !is_vllm();
  if (!row && !speaks_for_itself) unverified(request, nullptr);
  if (!row) return;
  bool eager_is_missing = row->verdict == CapabilityVerdict::NeedsEager && !tier_.enforce_eager;
  bool fails = row->verdict == CapabilityVerdict::Refused || eager_is_missing;
  if (fails && !setup_.version && !row->where.versions.any()) return unverified(request, row);
  std::string because = fmt::format("{} ({}, {})", row->reason, row->found.source, row->found.date);
  std::string instead = row->instead.empty() ? "" : fmt::format(" It is better to {}.", row->instead);
  if (row->verdict == CapabilityVerdict::Refused)
    add(FindingCode::CombinationRefused, Severity::Error, request.field,
        fmt::format("{} cannot be used with {}: {}. The way out is to {}.", request.words, with_text(),
                    because, row->instead));
  else if (eager_is_missing)
    add(FindingCode::NeedsEager, Severity::Error, "enforceEager",
        fmt::format("{} can be used with {} without HIP graphs only: {}. Set enforceEager: true.",
                    request.words, with_text(), because));
  else if (row->verdict == CapabilityVerdict::Degraded)
    add(FindingCode::CombinationDegraded, Severity::Warning, request.field,
        fmt::format("{} can be used with {}, at a price: {}.{}", request.words, with_text(), because,
                    instead));
}

// A note: whoever left it unsaid mostly has weights that are not quantised.
void Check::unknown_quantization() {
  if (!is_vllm() || !setup_.on_gpu || quantization_of(tier_, model_)) return;
  add(FindingCode::QuantizationUnknown, Severity::Note, "model",
      fmt::format(
          "nothing says whether the weights of {} are quantised, and several kinds hang or crash with "
          "{}. Set quantization if they are.",
          tier_.model.repository, with_text()));
}

std::vector<CombinationFinding> Check::run() {
  for (const Request& request : requests()) judge(request);
  unknown_quantization();
  return std::move(findings_);
}

}  // namespace

EngineSetup setup_of(const api::StackSpec& spec, const api::Tier& tier, const KnownModel& model,
                     const CapabilityTable& table) {
  EngineSetup setup;
  setup.engine = tier.engine;
  setup.image = ImageName(spec.image_of(tier));
  setup.version = table.version_of(tier.engine, setup.image);
  setup.on_gpu = tier.effective_accelerator() == api::Accelerator::Gpu;
  const api::StackNode* node = find_node(spec, node_of(spec, tier));
  if (node) setup.gfx_target = node->profile.gfx_target;
  if (model.facts) setup.architecture = model.facts->architecture;
  for (const auto* variables : {&spec.defaults_of(tier.engine).env, &tier.env})
    for (const api::EnvVar& variable : *variables) setup.variables[variable.name] = variable.value;
  return setup;
}

std::optional<std::string> quantization_of(const api::Tier& tier, const KnownModel& model) {
  std::optional<std::string> read = model.facts ? std::optional(model.facts->quantization) : std::nullopt;
  if (tier.quantization.empty()) return read;
  // The files say more of the same: "compressed-tensors/pack-quantized".
  bool finer = read && read->starts_with(tier.quantization + "/");
  return finer ? read : tier.quantization;
}

std::vector<CombinationFinding> combination_findings(const api::StackSpec& spec, const api::Tier& tier,
                                                     const KnownModel& model, const CapabilityTable& table,
                                                     const EngineSetup& setup) {
  return Check(spec, tier, model, table, setup).run();
}

std::vector<api::FieldError> combination_errors(const api::StackSpec& spec,
                                                const std::map<std::string, KnownModel>& models,
                                                const CapabilityTable& table) {
  std::vector<api::FieldError> errors;
  for (const api::Tier& tier : spec.tiers) {
    if (tier.activation == api::Activation::Off) continue;
    auto known = models.find(tier.name);
    const KnownModel model = known == models.end() ? KnownModel{} : known->second;
    EngineSetup setup = setup_of(spec, tier, model, table);
    for (CombinationFinding& finding : combination_findings(spec, tier, model, table, setup))
      if (finding.severity == Severity::Error)
        errors.push_back({std::move(finding.path), std::move(finding.message)});
  }
  return errors;
}

std::vector<api::FieldError> combination_errors(const api::StackSpec& spec, const CapabilityTable& table) {
  return combination_errors(spec, known_models(spec, models::built_in_catalogue()), table);
}

}  // namespace strix::planner
