#include "conformance/manifest.h"

#include <fmt/format.h>

#include "api/names.h"
#include "conformance/side.h"
#include "engines/engine.h"

namespace strix::conformance {

std::string stack_manifest(const std::string& name) {
  std::string tiers;
  for (int tier = 0; tier < tier_count; ++tier)
    tiers += fmt::format(R"({}{{"name":"{}","engine":"llamacpp","accelerator":"None","model":{{)"
                         R"("file":"example-Q4_K_M.gguf"}},)"
                         R"("port":{},"contextLength":4096,"resources":{{"requests":{{"memory":"2Gi"}}}}}})",
                         tier == 0 ? "" : ",", tier_name(tier), 8001 + tier);
  return fmt::format(
      R"({{"apiVersion":"{}","kind":"{}","metadata":{{"name":"{}","namespace":"{}"}},"spec":{{)"
      R"("nodes":[{{"name":"n0","selector":{{"kubernetes.io/hostname":"box0"}},"profile":{{)"
      R"("gfxTarget":"gfx1151",)"
      R"("unifiedMemory":"128Gi","gpuMemory":"124Gi","systemReserve":"6Gi","maxGpuFraction":0.95}},)"
      R"("modelStore":{{"hostPath":{{"path":"/var/lib/models"}}}}}}],)"
      R"("engines":{{"llamacpp":{{"image":"ghcr.io/ggml-org/llama.cpp:server"}}}},"tiers":[{}]}}}})",
      names::api_version, names::kind, name, ns, tiers);
}

std::string pod_body(const api::InferenceStack& stack, int tier) {
  engines::PodInput input;
  input.stack = &stack;
  input.tier = &stack.spec.tiers[static_cast<size_t>(tier)];
  input.node = &stack.spec.nodes.front();
  input.kubernetes_node = input.kubernetes_hostname = "box0";
  input.claim = planner::declared_claim(*input.tier, input.node->profile);
  input.leader = "first";
  return engines::render_pod(input).body;
}

}  // namespace strix::conformance
