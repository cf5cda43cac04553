// The pods and Services of the decision log's four tiers, as files that read as a document.
// UPDATE_GOLDEN=1 rewrites them; `git diff` is then the review.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "catch.h"
#include "decision_log.h"
#include "engines/pull_pod.h"
#include "pretty.h"
#include "source_dir.h"

using namespace strix;

namespace {

std::string folder() {
  return fake::source_dir() + "/unit/golden/engines/";
}

void check_golden(const std::string& name, const std::string& text) {
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(folder() + name) << text;
  std::ifstream file(folder() + name);
  std::stringstream stored;
  stored << file.rdbuf();
  INFO(name << ": UPDATE_GOLDEN=1 rewrites it");
  CHECK(stored.str() == text);
}

}  // namespace

TEST_CASE("the decision log's pods are as their golden files say, with both device strategies") {
  for (auto strategy : {api::DeviceStrategy::ExtendedResource, api::DeviceStrategy::Privileged}) {
    auto stack = test::decision_log(strategy);
    for (size_t i = 0; i < stack.spec.tiers.size(); ++i) {
      auto pod = engines::render_pod(test::pod_input(stack, i));
      CHECK(json::Document::parse(pod.body).ok());
      bool lent = strategy == api::DeviceStrategy::ExtendedResource;
      check_golden(stack.spec.tiers[i].name + (lent ? ".extended_resource" : ".privileged") + ".pod.json",
                   test::pretty(pod.body));
    }
  }
}

TEST_CASE("the pod that pulls an image is as its golden file says") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  engines::PullInput input{stack,
                           {stack.spec.nodes[0], "strix-halo", "strix-halo"},
                           stack.spec.image_of(stack.spec.tiers[0]),
                           engines::PullPolicy::Always};
  check_golden("pull.pod.json", test::pretty(engines::render_pull_pod(input)));
}

TEST_CASE("the decision log's Services are as their golden files say") {
  auto stack = test::decision_log(api::DeviceStrategy::ExtendedResource);
  for (const auto& tier : stack.spec.tiers) {
    auto service = engines::render_service(stack, tier);
    CHECK(json::Document::parse(service.body).ok());
    check_golden(tier.name + ".service.json", test::pretty(service.body));
  }
}
