#include "base/check.h"
#include "base/json.h"
#include "fuzz/target.h"
#include "serve/webhook.h"

namespace {

// A create, and an update, of a stack that is short and wrong.
std::string review_of(const std::string& operation, const std::string& old_object) {
  std::string object =
      R"({"apiVersion":"inference.strix.dev/v1alpha1","kind":"InferenceStack","metadata":{"name":"a"},)"
      R"("spec":{"nodes":[{"name":"halo","selector":{"a":"b"},"profile":{"unifiedMemory":"128Gi"},)"
      R"("modelStore":{"hostPath":{"path":"/m"}}}],"tiers":[{"name":"one","engine":"vllm","port":1,)"
      R"("model":{"repository":"a/b"},"contextLength":"auto","memory":{"gpuFraction":0.5}}]}})";
  return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",)"
         R"("operation":")" +
         operation + R"(","object":)" + object + R"(,"oldObject":)" + old_object + "}}";
}

}  // namespace

std::vector<std::string> strix::fuzz::seeds() {
  return {review_of("CREATE", "null"), review_of("UPDATE", R"({"spec":{"tiers":[]}})")};
}

// Whatever comes to the webhook's port, what goes back is a review or a 400.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto answer = strix::serve::review({}, {reinterpret_cast<const char*>(data), size});
  bool unreadable = answer.verdict == strix::serve::Verdict::Unreadable;
  INVARIANT(answer.reply.status == (unreadable ? 400 : 200));
  if (unreadable) return 0;
  auto document = strix::json::Document::parse(answer.reply.body);
  INVARIANT(document.ok() && document->root()["response"]["allowed"].is_bool());
  return 0;
}
