#include "serve/webhook.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "api/codec.h"
#include "api/names.h"
#include "base/yaml.h"
#include "catch.h"
#include "source_dir.h"

using namespace strix;
using namespace strix::serve;

namespace {

// Of the processor, for the worst body that is read at all; the API server waits for three.
#if defined(__SANITIZE_THREAD__)
constexpr double review_seconds_most = 20;  // an instrumented run is that much slower
#else
constexpr double review_seconds_most = 2;
#endif

Admission open_admission() {
  Admission admission;
  admission.policy.allow_privileged_tiers = true;
  admission.policy.model_roots = {"/"};
  return admission;
}

std::string stack_json(const std::string& tier = R"("contextLength":8192)", const std::string& meta = "",
                       const std::string& spec = "") {
  return R"({"apiVersion":"inference.strix.dev/v1alpha1","kind":"InferenceStack","metadata":{"name":"strix",)"
         R"("namespace":"llm")" +
         meta + R"(},"spec":{)" + spec +
         R"("nodes":[{"name":"halo","selector":{"kubernetes.io/hostname":"box"},"modelStore":{"hostPath":)"
         R"({"path":"/models"}},"profile":{"unifiedMemory":"128Gi","gpuMemory":"124Gi"}}],)"
         R"("engines":{"llamacpp":{"image":"example/llama"}},"tiers":[{"name":"one","engine":"llamacpp",)"
         R"("accelerator":"None","model":{"file":"one.gguf"},"port":8001,)" +
         tier + "}]}}";
}

const std::string good = stack_json(), bad = stack_json(R"("contextLength":1)");

struct Asked {
  std::string operation = "CREATE", object = good, old_object = "null", sub_resource = "";
  std::string text() const {
    return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",)"
           R"("kind":{"group":"inference.strix.dev","version":"v1alpha1","kind":"InferenceStack"},)"
           R"("resource":{"group":"inference.strix.dev","version":"v1alpha1","resource":"inferencestacks"},)"
           R"("subResource":")" +
           sub_resource + R"(","name":"strix","namespace":"llm","operation":")" + operation +
           R"(","userInfo":{"username":"somebody"},"dryRun":true,"object":)" + object + R"(,"oldObject":)" +
           old_object + "}}";
  }
};

struct Response {
  Verdict verdict = Verdict::Unreadable;
  bool allowed = false;
  int64_t code = 0;
  std::string message, reason;
  std::vector<std::string> causes, warnings;
};

Response ask(const std::string& body, const Admission& admission = open_admission()) {
  Answer answer = review(admission, body);
  Response response;
  response.verdict = answer.verdict;
  REQUIRE(answer.reply.status == 200);
  REQUIRE(answer.reply.content_type == "application/json");
  auto document = json::Document::parse(answer.reply.body);
  REQUIRE(document.ok());
  json::Value root = document->root(), said = root["response"], status = said["status"];
  REQUIRE(root["apiVersion"].string() == "admission.k8s.io/v1");
  REQUIRE(root["kind"].string() == "AdmissionReview");
  REQUIRE(said["uid"].string() == "u-1");
  response.allowed = said["allowed"].boolean_or(false);
  response.code = status["code"].integer_or(0);
  response.message = status["message"].string_or("");
  response.reason = status["reason"].string_or("");
  status["details"]["causes"].for_each([&](json::Value cause) {
    response.causes.push_back(cause["field"].string_or("") + ": " + cause["message"].string_or(""));
  });
  said["warnings"].for_each([&](json::Value text) { response.warnings.push_back(text.string_or("")); });
  return response;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a valid stack is admitted, and an invalid one is refused with the sentences of validate") {
  Response admitted = ask(Asked{}.text());
  REQUIRE((admitted.allowed && admitted.verdict == Verdict::Admitted && admitted.message.empty()));
  Response refused = ask(Asked{.object = bad}.text());
  REQUIRE_FALSE(refused.allowed);
  REQUIRE(refused.verdict == Verdict::Refused);
  REQUIRE(refused.code == 422);
  REQUIRE(refused.reason == "Invalid");
  auto stack = api::decode_stack(json::Document::parse(bad)->root());
  auto errors = api::validate(*stack, open_admission().policy);
  REQUIRE(errors.size() == 1);
  REQUIRE(refused.message == errors[0].text());
  REQUIRE(refused.causes == std::vector<std::string>{errors[0].text()});
}

TEST_CASE("what is judged, and what passes though its spec is wrong") {
  std::string gone = stack_json(R"("contextLength":1)", R"(,"deletionTimestamp":"2026-02-09T10:00:00Z")");
  std::string labelled = stack_json(R"("contextLength":1)", R"(,"labels":{"a":"b"},"finalizers":["x"])");
  std::string spaced = bad;
  spaced.insert(spaced.find("\"spec\":") + 7, "  ");
  struct Case {
    const char* name;
    Asked asked;
    Verdict verdict;
  };
  const std::vector<Case> cases = {
      {"create", {.object = bad}, Verdict::Refused},
      {"an update of the spec", {.operation = "UPDATE", .object = bad, .old_object = good}, Verdict::Refused},
      {"an update of a spec that was wrong and is",
       {.operation = "UPDATE", .object = stack_json(R"("contextLength":2)"), .old_object = bad},
       Verdict::Refused},
      {"an update to what is right",
       {.operation = "UPDATE", .object = good, .old_object = bad},
       Verdict::Admitted},
      {"an update without an old object", {.operation = "UPDATE", .object = bad}, Verdict::Refused},
      {"an update of labels and finalizers",
       {.operation = "UPDATE", .object = labelled, .old_object = bad},
       Verdict::PassedOver},
      {"an update of nothing but blanks",
       {.operation = "UPDATE", .object = spaced, .old_object = bad},
       Verdict::PassedOver},
      {"status",
       {.operation = "UPDATE", .object = bad, .old_object = good, .sub_resource = "status"},
       Verdict::PassedOver},
      {"an update of a spec in deletion",
       {.operation = "UPDATE", .object = gone, .old_object = good},
       Verdict::PassedOver},
      {"delete", {.operation = "DELETE", .object = "null", .old_object = bad}, Verdict::PassedOver},
      {"connect", {.operation = "CONNECT", .object = "null"}, Verdict::PassedOver},
      {"another kind",
       {.object = R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}})"},
       Verdict::PassedOver},
      {"another version",
       {.object = R"({"apiVersion":"inference.strix.dev/v2","kind":"InferenceStack"})"},
       Verdict::PassedOver},
      {"no spec at all",
       {.object = R"({"apiVersion":"inference.strix.dev/v1alpha1","kind":"InferenceStack","metadata":)"
                  R"({"name":"a","namespace":"llm"}})"},
       Verdict::Refused},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    Response response = ask(c.asked.text());
    CHECK(response.verdict == c.verdict);
    CHECK(response.allowed == (c.verdict != Verdict::Refused));
  }
}

TEST_CASE("an operator of one namespace says nothing of others") {
  Admission admission = open_admission();
  admission.namespace_ = "elsewhere";
  REQUIRE(ask(Asked{.object = bad}.text(), admission).verdict == Verdict::PassedOver);
  admission.namespace_ = "llm";
  REQUIRE(ask(Asked{.object = bad}.text(), admission).verdict == Verdict::Refused);
}

TEST_CASE("further checks refuse and warn in order, and are not asked about an invalid spec") {
  int asked = 0;
  Admission admission = open_admission();
  admission.checks = {
      [&](const api::InferenceStack& stack) {
        ++asked;
        return Opinion{{}, {"first of " + stack.metadata.name}};
      },
      [&](const api::InferenceStack&) {
        ++asked;
        return Opinion{{{"spec.tiers[one].model", "hangs"}, {"spec", "b"}, {"spec", "c"}}, {"second"}};
      },
      [&](const api::InferenceStack&) {
        asked += 100;
        return Opinion{};
      }};
  Response refused = ask(Asked{}.text(), admission);
  REQUIRE(asked == 2);
  REQUIRE_FALSE(refused.allowed);
  REQUIRE(refused.message == "spec.tiers[one].model: hangs (and 2 more)");
  REQUIRE(refused.causes.size() == 3);
  REQUIRE(refused.warnings == std::vector<std::string>{"first of strix", "second"});
  REQUIRE(ask(Asked{.object = bad}.text(), admission).warnings.empty());
  REQUIRE(asked == 2);
  admission.checks.pop_back();
  admission.checks.pop_back();
  Response warned = ask(Asked{}.text(), admission);
  REQUIRE((warned.allowed && warned.verdict == Verdict::Admitted));
  REQUIRE(warned.warnings == std::vector<std::string>{"first of strix"});
  admission.checks = {[](const auto&) { return Opinion{{}, std::vector<std::string>(100, "w")}; }};
  REQUIRE(ask(Asked{}.text(), admission).warnings.size() == 32);
}

TEST_CASE("every hostile manifest that validate refuses is refused here in the same words") {
  Admission admission;
  admission.policy.model_roots = {"/var/lib/models"};
  int refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fake::source_dir() + "/unit/api/hostile")) {
    auto documents = yaml::parse_all(read(entry.path()));
    if (!documents || documents->empty()) continue;
    std::string object = documents->front().root().dump();
    CAPTURE(entry.path().filename().string());
    auto stack = api::decode_stack(documents->front().root());
    REQUIRE(stack.ok());
    auto errors = api::validate(*stack, admission.policy);
    Response response = ask(Asked{.object = object}.text(), admission);
    REQUIRE(response.allowed == errors.empty());
    if (errors.empty()) continue;
    ++refused;
    REQUIRE(response.message == api::summary_of(errors));
    std::vector<std::string> sentences;
    for (const auto& error : errors) sentences.push_back(error.text());
    REQUIRE(response.causes == sentences);
  }
  REQUIRE(refused > 90);
}

TEST_CASE("what is no AdmissionReview is a 400 that says so and repeats nothing") {
  for (std::string body :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), std::string("secret words"),
        std::string(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})"),
        std::string(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":7}})"),
        std::string(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}})"),
        R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":")" +
            std::string(129, 'u') + "\"}}",
        std::string(R"({"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"})"),
        Asked{.object = R"({"apiVersion":"inference.strix.dev/v1alpha1","kind":"InferenceStack"})"}.text(),
        Asked{}.text() + "x", Asked{}.text().substr(0, 300), std::string(200, '['),
        R"({"a":1,"a":2})" + std::string(), std::string("\"\xff\""),
        std::string(review_bytes_max + 1, ' ')}) {
    CAPTURE(body.substr(0, 60));
    Answer answer = review(open_admission(), body);
    REQUIRE(answer.verdict == Verdict::Unreadable);
    REQUIRE(answer.reply.status == 400);
    REQUIRE(answer.reply.body.starts_with("no AdmissionReview of admission.k8s.io/v1: "));
    REQUIRE(answer.reply.body.find("secret") == std::string::npos);
    REQUIRE(answer.reply.body.size() < 200);
  }
}

TEST_CASE("reviews that are made to take long are answered in time") {
  auto many = [](const std::string& element, size_t bytes) {
    std::string list;
    while (list.size() + element.size() + 1 < bytes) list += (list.empty() ? "" : ",") + element;
    return "[" + list + "]";
  };
  size_t room = review_bytes_max - 4096;
  std::string tier = R"({"name":"a","engine":"vllm","startAfter":["a"]})";
  std::vector<std::string> specs = {
      R"("x":)" + std::string(40, '[') + std::string(40, ']') + ",",
      R"("extra":)" + many("{}", room) + ",",
      R"("suspend":)" + many("1", room) + ",",
  };
  std::vector<std::string> objects;
  for (const std::string& spec : specs) objects.push_back(stack_json(R"("contextLength":8192)", "", spec));
  for (const auto& [list, element] : std::vector<std::pair<std::string, std::string>>{
           {"tiers", tier},
           {"tiers", "{}"},
           {"nodes", R"({"name":"a"})"},
           {"tiers", R"({"name":"a","extraArgs":)" + many("\"\"", 100'000) + "}"},
           {"tiers", R"({"name":"a","env":)" + many(R"({"name":"A"})", room - 100) + "}"}})
    objects.push_back(R"({"apiVersion":"inference.strix.dev/v1alpha1","kind":"InferenceStack","metadata":)"
                      R"({"name":"a","namespace":"llm"},"spec":{")" +
                      list + "\":" + many(element, room) + "}}");
  for (const std::string& object : objects) {
    CAPTURE(object.substr(0, 200), object.size());
    std::string body = Asked{.object = object}.text();
    REQUIRE(body.size() <= review_bytes_max);
    std::clock_t begun = std::clock();  // of the processor: the machine may have other work
    Answer answer = review(open_admission(), body);
    double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
    CAPTURE(seconds);
    CHECK(seconds < review_seconds_most);
    CHECK(answer.reply.body.size() < 64 * 1024);
  }
}

TEST_CASE("whatever becomes of a review on its way, what comes back is a review or a 400") {
  std::mt19937 random(7);
  const std::string text = Asked{.operation = "UPDATE", .object = bad, .old_object = good}.text();
  for (int i = 0; i < 5'000; ++i) {
    std::string body = text;
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
      size_t at = random() % body.size();
      switch (random() % 4) {
        case 0:
          body[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          body.erase(at, 1 + random() % 20);
          break;
        case 2:
          body.insert(at, body.substr(random() % body.size(), random() % 40));
          break;
        default:
          body[at] = "{}[]\",:0-"[random() % 9];
      }
    }
    Answer answer = review(open_admission(), body);
    bool refused = answer.reply.status == 400 && answer.verdict == Verdict::Unreadable;
    REQUIRE((refused || (answer.reply.status == 200 && json::Document::parse(answer.reply.body).ok())));
  }
}

TEST_CASE("only a POST of JSON to the path is a review, and each is counted by its verdict") {
  metrics::Registry registry;
  describe_webhook_metrics(registry);
  Admission admission = open_admission();
  std::string body = Asked{}.text(), wrong = Asked{.object = bad}.text();
  auto status = [&](Request request) { return answer_webhook(admission, request, registry).status; };
  REQUIRE(status({"POST", "/validate?timeout=3s", "application/json", body}) == 200);
  REQUIRE(status({"POST", "/validate", "application/json; charset=utf-8", wrong}) == 200);
  REQUIRE(status({"POST", "/validate", "application/json", "{"}) == 400);
  REQUIRE(status({"POST", "/validate", "text/plain", body}) == 415);
  REQUIRE(status({"POST", "/validate", "", body}) == 415);
  REQUIRE(status({"GET", "/validate", "", ""}) == 405);
  REQUIRE(answer_webhook(admission, {"PUT", "/validate", "", ""}, registry).allow == "POST");
  for (const char* path : {"/", "", "/validate/", "/validatex", "/healthz"})
    REQUIRE(status({"POST", path, "application/json", body}) == 404);
  std::string exposed = registry.expose();
  for (const char* line :
       {"{verdict=\"admitted\"} 1\n", "{verdict=\"refused\"} 1\n", "{verdict=\"unreadable\"} 1\n"})
    REQUIRE(exposed.find("inferencestack_admission_reviews_total" + std::string(line)) != std::string::npos);
}
