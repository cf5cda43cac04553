#include "serve/webhook.h"

#include "api/codec.h"
#include "api/names.h"
#include "base/json.h"

namespace strix::serve {

namespace {

constexpr std::string_view review_api_version = "admission.k8s.io/v1";
constexpr std::string_view review_kind = "AdmissionReview";
constexpr std::string_view reviews_metric = "inferencestack_admission_reviews_total";
constexpr size_t uid_bytes_max = 128;
constexpr size_t warnings_max = 32;
constexpr int unprocessable = 422;  // what the API server itself says of an object that is against its schema

Reply plain(int status, std::string text) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(text);
  return reply;
}

Answer unreadable(const std::string& why) {
  return {Verdict::Unreadable, plain(400, "no AdmissionReview of admission.k8s.io/v1: " + why + "\n")};
}

// As the API server writes it for a schema, so that kubectl lists every cause by field.
void write_refusal(json::Writer& w, const api::InferenceStack& stack,
                   const std::vector<api::FieldError>& errors) {
  w.key("status").begin_object();
  w.member("status", "Failure").member("code", unprocessable).member("reason", "Invalid");
  w.member("message", api::summary_of(errors));
  w.key("details").begin_object().member("name", stack.metadata.name);
  w.key("group").string(names::group).key("kind").string(names::kind);
  w.key("causes").begin_array();
  for (const auto& error : errors) {
    w.begin_object().member("reason", "FieldValueInvalid");
    w.member("message", error.message).member("field", error.path).end_object();
  }
  w.end_array().end_object().end_object();
}

Answer reviewed(const std::string& uid, Verdict verdict, const api::InferenceStack& stack,
                const Opinion& opinion) {
  json::Writer w;
  w.begin_object().key("apiVersion").string(review_api_version).key("kind").string(review_kind);
  w.key("response").begin_object().member("uid", uid);
  w.member("allowed", verdict != Verdict::Refused);
  if (verdict == Verdict::Refused) write_refusal(w, stack, opinion.errors);
  if (!opinion.warnings.empty()) {
    w.key("warnings").begin_array();
    for (size_t i = 0; i < opinion.warnings.size() && i < warnings_max; ++i) w.string(opinion.warnings[i]);
    w.end_array();
  }
  w.end_object().end_object();
  Reply reply;
  reply.content_type = "application/json";
  reply.body = w.take();
  return {verdict, std::move(reply)};
}

bool is_stack(json::Value object) {
  return object["apiVersion"].string() == names::api_version && object["kind"].string() == names::kind;
}

bool same_spec(json::Value before, json::Value after) {
  return before["spec"].exists() && after["spec"].exists() &&
         before["spec"].canonical() == after["spec"].canonical();
}

// Deletion has to go through, however wrong the spec is, and so has everything that leaves the spec alone.
bool is_to_be_judged(const Admission& admission, json::Value request) {
  json::Value object = request["object"];
  std::string operation = request["operation"].string_or("");
  if (operation != "CREATE" && operation != "UPDATE") return false;
  if (!request["subResource"].string_or("").empty() || !is_stack(object)) return false;
  if (!object["metadata"]["deletionTimestamp"].string_or("").empty()) return false;
  bool elsewhere =
      !admission.namespace_.empty() && object["metadata"]["namespace"].string_or("") != admission.namespace_;
  return !elsewhere && !(operation == "UPDATE" && same_spec(request["oldObject"], object));
}

Opinion opinion_of(const Admission& admission, const api::InferenceStack& stack) {
  Opinion opinion;
  opinion.errors = api::validate(stack, admission.policy);
  for (const SpecCheck& check : admission.checks) {
    if (!opinion.errors.empty()) break;
    Opinion further = check(stack);
    opinion.errors = std::move(further.errors);
    for (auto& warning : further.warnings) opinion.warnings.push_back(std::move(warning));
  }
  return opinion;
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::Admitted:
      return "admitted";
    case Verdict::Refused:
      return "refused";
    case Verdict::PassedOver:
      return "passed_over";
    case Verdict::Unreadable:
      return "unreadable";
  }
  return "unreadable";
}

Answer review(const Admission& admission, std::string_view body) {
  auto document = json::Document::parse(body, {.bytes_max = review_bytes_max, .depth_max = 64});
  if (!document) return unreadable(document.error().text);
  json::Value root = document->root(), request = root["request"];
  if (root["apiVersion"].string() != review_api_version || root["kind"].string() != review_kind)
    return unreadable("another apiVersion or kind");
  std::string uid = request["uid"].string_or("");
  if (uid.empty() || uid.size() > uid_bytes_max) return unreadable("request.uid is not there");
  if (!is_to_be_judged(admission, request)) return reviewed(uid, Verdict::PassedOver, {}, {});
  auto stack = api::decode_stack(request["object"]);
  if (!stack) return unreadable("request.object: " + stack.error().text);
  Opinion opinion = opinion_of(admission, *stack);
  return reviewed(uid, opinion.errors.empty() ? Verdict::Admitted : Verdict::Refused, *stack, opinion);
}

void describe_webhook_metrics(metrics::Registry& registry) {
  registry.describe(reviews_metric, "counter", "Admission reviews that were answered, by verdict.");
}

Reply answer_webhook(const Admission& admission, const Request& request, metrics::Registry& registry) {
  if (request.target.substr(0, request.target.find('?')) != names::webhook_path)
    return plain(404, "not found\n");
  if (request.method != "POST") {
    Reply reply = plain(405, "method not allowed\n");
    reply.allow = "POST";
    return reply;
  }
  if (request.content_type.substr(0, request.content_type.find(';')) != "application/json")
    return plain(415, "a review is application/json\n");
  Answer answer = review(admission, request.body);
  registry.add(reviews_metric, {{"verdict", std::string(to_string(answer.verdict))}});
  return answer.reply;
}

}  // namespace strix::serve
