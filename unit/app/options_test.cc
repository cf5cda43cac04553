#include "app/options.h"

#include <iostream>
#include <sstream>

#include "catch.h"

using namespace strix;
using namespace strix::app;

namespace {

struct Read {
  ParsedOptions parsed;
  std::string complaint;
};

Read read(std::vector<std::string> words) {
  std::vector<const char*> argv = {"strix-operator", "run"};
  for (const auto& word : words) argv.push_back(word.c_str());
  std::ostringstream told;
  std::streambuf* before = std::cerr.rdbuf(told.rdbuf());
  Read read{parse_options(static_cast<int>(argv.size()), argv.data()), ""};
  std::cerr.rdbuf(before);
  read.complaint = told.str();
  return read;
}

}  // namespace

TEST_CASE("without a word there are probes on 8080 and no webhook") {
  RunOptions options = read({}).parsed.options.run;
  REQUIRE(options.listen.host == "0.0.0.0");
  REQUIRE(options.listen.port == 8080);
  REQUIRE(options.webhook.listen.host.empty());
  REQUIRE(options.webhook.names == std::vector<std::string>{"strix-operator-webhook.strix-system.svc"});
  REQUIRE(read({"--listen", ""}).parsed.options.run.listen.host.empty());
}

TEST_CASE("the webhook's flags are read") {
  RunOptions options =
      read({"--webhook-listen", "127.0.0.1:9443", "--webhook-names", "a.b,0:0::1", "--lease-namespace", "x"})
          .parsed.options.run;
  REQUIRE(options.webhook.listen.host == "127.0.0.1");
  REQUIRE(options.webhook.listen.port == 9443);
  REQUIRE(options.webhook.names == std::vector<std::string>{"a.b", "::1"});
  REQUIRE(options.webhook.certificate_folder.empty());
  options = read({"--lease-namespace", "x"}).parsed.options.run;
  REQUIRE(options.webhook.names == std::vector<std::string>{"strix-operator-webhook.x.svc"});
  options = read({"--webhook-certificates=provided", "--webhook-cert-dir=/certs"}).parsed.options.run;
  REQUIRE(options.webhook.certificate_folder == "/certs");
}

TEST_CASE("what cannot be listened on, and flags that do not go together, are said before anything starts") {
  struct Case {
    std::vector<std::string> words;
    const char* complaint;
  };
  const std::string together =
      "--webhook-cert-dir goes with --webhook-certificates=provided, and with nothing else";
  const std::vector<Case> cases = {
      {{"--listen", "8080"}, "--listen: 8080 is not address:port"},
      {{"--listen", ":8080"}, "--listen: :8080 is not address:port"},
      {{"--listen", "0.0.0.0:0"}, "--listen: 0.0.0.0:0 is not address:port"},
      {{"--listen", "0.0.0.0:80x"}, "--listen: 0.0.0.0:80x is not address:port"},
      {{"--webhook-listen", "0.0.0.0:65536"}, "--webhook-listen: 0.0.0.0:65536 is not address:port"},
      {{"--webhook-certificates=provided"}, together.c_str()},
      {{"--webhook-cert-dir=/certs"}, together.c_str()},
      {{"--webhook-names", "A B"}, "--webhook-names: A B is neither a DNS name nor an IP address"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.complaint));
    Read wrong = read(c.words);
    CHECK(wrong.parsed.exit_code == 2);
    CHECK(wrong.complaint.find(c.complaint) != std::string::npos);
  }
}
