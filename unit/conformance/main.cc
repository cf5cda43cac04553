// strix-conformance: the simulation's API server against a real one, on random sequences of requests.
#include <curl/curl.h>

#include <cstdio>
#include <string>

#include "conformance/kube_side.h"
#include "conformance/play.h"
#include "conformance/sim_side.h"

using namespace strix;
using namespace strix::conformance;

namespace {

struct Options {
  std::string kubeconfig;
  uint64_t from = 1, to = 300;
};

int usage() {
  fputs("strix-conformance --kubeconfig FILE [--seeds FROM:TO]\n", stderr);
  return 2;
}

int fail(const Error& error) {
  fprintf(stderr, "strix-conformance: %s\n", error.text.c_str());
  return 1;
}

int tell(uint64_t seed, const std::vector<Step>& steps, Side& left, Side& right) {
  auto fewer = shrink(steps, left, right, {3'000});
  if (!fewer) return fail(fewer.error());
  Tally unused;
  auto found = play(*fewer, left, right, {}, unused);
  if (!found) return fail(found.error());
  printf("seed %lu: the two differ after\n", seed);
  for (const auto& step : *fewer) printf("  %s\n", describe(step).c_str());
  printf("%s\n", *found ? (*found)->what.c_str() : "(not again when it was told)");
  return 1;
}

int compare(const Options& options) {
  auto config = kube::load_kubeconfig(options.kubeconfig, "");
  if (!config) return fail(config.error());
  KubeSide real(std::move(config).value());
  if (auto ready = real.prepare(); !ready) return fail(ready.error());
  SimSide simulated;
  Tally tally;
  size_t count = 0;
  int bad = 0;
  for (uint64_t seed = options.from; seed <= options.to; ++seed) {
    auto steps = script_of(seed);
    count += steps.size();
    auto found = play(steps, real, simulated, {}, tally);
    if (!found) return fail(found.error());
    if (!*found) continue;
    steps.resize((*found)->step + 1);
    printf("seed %lu, step %s: %s\n", seed, describe(steps.back()).c_str(), (*found)->what.c_str());
    tell(seed, steps, real, simulated);
    fflush(stdout);
    constexpr int told_max = 5;
    if (++bad == told_max) break;
  }
  for (const auto& [answer, times] : tally) printf("%7ld  %s\n", times, answer.c_str());
  printf("%lu sequences of %lu requests, %d differ\n", options.to - options.from + 1, count, bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    std::string name = arguments[i];
    if (name == "--kubeconfig") {
      options.kubeconfig = arguments[i + 1];
    } else if (name != "--seeds" || sscanf(arguments[i + 1], "%lu:%lu", &options.from, &options.to) != 2) {
      return usage();
    }
  }
  if (options.kubeconfig.empty() || count % 2 == 0) return usage();
  curl_global_init(CURL_GLOBAL_DEFAULT);
  int code = compare(options);
  curl_global_cleanup();
  return code;
}
