#include "offline/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <ostream>

#include "base/yaml_writer.h"
#include "engines/engine.h"
#include "models/catalogue.h"
#include "offline/facts.h"
#include "offline/manifest.h"
#include "planner/combination.h"
#include "planner/spec_plan.h"

namespace strix::offline {

namespace {

void complain(Streams streams, const std::string& what) {
  streams.err << what << "\n";
}

// Every error of every file, not just the first. Absent: told, and there is nothing to go on with.
std::optional<Manifests> read_all(const Request& request, Streams streams) {
  Manifests manifests = read_manifests(request.files, streams.in);
  for (const std::string& error : manifests.errors) complain(streams, error);
  if (!manifests.errors.empty()) return std::nullopt;
  if (manifests.stacks.empty()) {
    complain(streams, fmt::format("no InferenceStack in {} ({} other documents)",
                                  fmt::join(request.files, ", "), manifests.other_documents));
    return std::nullopt;
  }
  return manifests;
}

// True: there is none.
bool tell_errors(const Request& request, const Manifest& manifest, Streams streams) {
  auto errors = api::validate(manifest.stack, request.policy);
  for (const auto& error : errors) complain(streams, manifest.at(error.path, error.message));
  return errors.empty();
}

std::optional<std::map<std::string, planner::Measured>> measured_nodes(const Request& request,
                                                                       Streams streams) {
  if (request.node_facts.empty()) return std::map<std::string, planner::Measured>();
  auto measured = read_node_facts(request.node_facts);
  if (measured) return *measured;
  complain(streams, measured.error().text);
  return std::nullopt;
}

using Models = std::map<std::string, planner::KnownModel>;

std::optional<Models> models_of(const Request& request, const Manifest& manifest, Streams streams) {
  Models known = planner::known_models(manifest.stack.spec, models::built_in_catalogue());
  if (request.models.empty()) return known;
  Status read = read_models(manifest.stack.spec, request.models, known);
  if (read) return known;
  complain(streams, manifest.file + ": " + read.error().text);
  return std::nullopt;
}

// What is the same for all stacks of a command.
struct Given {
  std::map<std::string, planner::Measured> measured;
  planner::CapabilityTable capabilities;
};

std::optional<Given> read_given(const Request& request, Streams streams) {
  auto measured = measured_nodes(request, streams);
  auto capabilities = read_capabilities(request.capabilities);
  if (!capabilities) complain(streams, capabilities.error().text);
  if (!measured || !capabilities) return std::nullopt;
  return Given{std::move(*measured), std::move(capabilities).value()};
}

std::optional<planner::Plan> plan_of(const Request& request, const Manifest& manifest, const Given& given,
                                     Streams streams) {
  if (!tell_errors(request, manifest, streams)) return std::nullopt;
  auto models = models_of(request, manifest, streams);
  if (!models) return std::nullopt;
  planner::PlanInput input;
  input.spec = manifest.stack.spec;
  input.models = std::move(*models);
  input.measured = given.measured;
  input.learned = manifest.stack.status.learned;  // of one that came from a cluster
  input.capabilities = &given.capabilities;
  return planner::plan(input);
}

// 0: there is none; 1: told; 2: the models cannot be read.
int tell_combinations(const Request& request, const Manifest& manifest, const Given& given, Streams streams) {
  auto models = models_of(request, manifest, streams);
  if (!models) return exit_unreadable;
  auto errors = planner::combination_errors(manifest.stack.spec, *models, given.capabilities);
  for (const auto& error : errors) complain(streams, manifest.at(error.path, error.message));
  return errors.empty() ? exit_fits : exit_does_not;
}

std::string explained(const Request& request, const planner::Plan& plan) {
  switch (request.format) {
    case Format::Table:
      return planner::explain_table(plan, request.style);
    case Format::Json:
      return planner::explain_json(plan) + "\n";
    case Format::Yaml:
      return planner::explain_yaml(plan);
    case Format::Svg:
      return planner::explain_svg(plan);
  }
  return "";
}

// What stands between two stacks.
std::string heading(const Request& request, const Manifest& manifest, size_t index, size_t count) {
  if (count < 2 || request.format == Format::Json) return "";
  if (request.format == Format::Yaml) return index == 0 ? "" : "---\n";
  return fmt::format("{}{} ({})\n\n", index == 0 ? "" : "\n", manifest.stack.metadata.key().text(),
                     manifest.file);
}

void print_object(const Request& request, const std::string& body, Streams streams) {
  if (request.format == Format::Json) {
    streams.out << body << "\n";
    return;
  }
  auto document = json::Document::parse(body);
  if (document) streams.out << "---\n" << yaml::write(document->root());
}

void render_stack(const Request& request, const Manifest& manifest, const planner::Plan& plan,
                  Streams streams) {
  for (const planner::TierPlan& planned : plan.tiers) {
    if (planned.state != planner::TierState::Resident) {
      complain(streams, fmt::format("{}: tier {} is {} and has no pod", manifest.file, planned.name,
                                    planner::to_string(planned.state)));
      continue;
    }
    const api::StackSpec& spec = manifest.stack.spec;
    auto tier = std::find_if(spec.tiers.begin(), spec.tiers.end(),
                             [&](const api::Tier& t) { return t.name == planned.name; });
    const api::StackNode* node = planner::find_node(spec, planned.node);
    if (tier == spec.tiers.end() || !node) continue;
    engines::PodInput input;
    input.stack = &manifest.stack;
    input.tier = &*tier;
    input.node = node;
    auto hostname = node->selector.find("kubernetes.io/hostname");
    input.kubernetes_hostname = hostname == node->selector.end() ? "" : hostname->second;
    input.kubernetes_node = input.kubernetes_hostname.empty() ? node->name : input.kubernetes_hostname;
    input.claim = planned.claim;
    input.effective = planned.effective;
    print_object(request, engines::render_pod(input).body, streams);
    print_object(request, engines::render_service(manifest.stack, *tier).body, streams);
  }
}

}  // namespace

int plan(const Request& request, Streams streams) {
  auto manifests = read_all(request, streams);
  auto given = read_given(request, streams);
  if (!manifests || !given) return exit_unreadable;
  if (request.format == Format::Svg && manifests->stacks.size() > 1) {
    complain(streams,
             fmt::format("{} stacks, and a picture is of one: name its file", manifests->stacks.size()));
    return exit_unreadable;
  }
  int code = exit_fits;
  for (size_t i = 0; i < manifests->stacks.size(); ++i) {
    const Manifest& manifest = manifests->stacks[i];
    auto planned = plan_of(request, manifest, *given, streams);
    if (!planned) {
      code = exit_unreadable;
      continue;
    }
    streams.out << heading(request, manifest, i, manifests->stacks.size()) << explained(request, *planned);
    if (!planned->fits) code = std::max(code, exit_does_not);
  }
  return code;
}

int render(const Request& request, Streams streams) {
  auto manifests = read_all(request, streams);
  auto given = read_given(request, streams);
  if (!manifests || !given) return exit_unreadable;
  int code = exit_fits;
  for (const Manifest& manifest : manifests->stacks) {
    auto planned = plan_of(request, manifest, *given, streams);
    if (!planned) {
      code = exit_unreadable;
      continue;
    }
    render_stack(request, manifest, *planned, streams);
    if (!planned->fits) code = std::max(code, exit_does_not);
  }
  return code;
}

int validate(const Request& request, Streams streams) {
  auto manifests = read_all(request, streams);
  auto given = read_given(request, streams);
  if (!manifests || !given) return exit_unreadable;
  int code = exit_fits;
  for (const Manifest& manifest : manifests->stacks) {
    int found = tell_errors(request, manifest, streams)
                    ? tell_combinations(request, manifest, *given, streams)
                    : exit_does_not;
    code = std::max(code, found);
    if (found != exit_fits) continue;
    streams.out << fmt::format("{}: {} is valid\n", manifest.file, manifest.stack.metadata.key().text());
  }
  return code;
}

}  // namespace strix::offline
