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

std::optional<planner::Plan> plan_of(const Request& request, const Manifest& manifest,
                                     const std::map<std::string, planner::Measured>& measured,
                                     Streams streams) {
  if (!tell_errors(request, manifest, streams)) return std::nullopt;
  planner::PlanInput input;
  input.spec = manifest.stack.spec;
  input.models = planner::known_models(input.spec, models::built_in_catalogue());
  input.measured = measured;
  if (!request.models.empty()) {
    Status read = read_models(input.spec, request.models, input.models);
    if (!read) {
      complain(streams, manifest.file + ": " + read.error().text);
      return std::nullopt;
    }
  }
  return planner::plan(input);
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
  auto measured = measured_nodes(request, streams);
  if (!manifests || !measured) return exit_unreadable;
  if (request.format == Format::Svg && manifests->stacks.size() > 1) {
    complain(streams,
             fmt::format("{} stacks, and a picture is of one: name its file", manifests->stacks.size()));
    return exit_unreadable;
  }
  int code = exit_fits;
  for (size_t i = 0; i < manifests->stacks.size(); ++i) {
    const Manifest& manifest = manifests->stacks[i];
    auto planned = plan_of(request, manifest, *measured, streams);
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
  auto measured = measured_nodes(request, streams);
  if (!manifests || !measured) return exit_unreadable;
  int code = exit_fits;
  for (const Manifest& manifest : manifests->stacks) {
    auto planned = plan_of(request, manifest, *measured, streams);
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
  if (!manifests) return exit_unreadable;
  int code = exit_fits;
  for (const Manifest& manifest : manifests->stacks) {
    if (!tell_errors(request, manifest, streams)) {
      code = exit_does_not;
      continue;
    }
    streams.out << fmt::format("{}: {} is valid\n", manifest.file, manifest.stack.metadata.key().text());
  }
  return code;
}

}  // namespace strix::offline
