#include <curl/curl.h>

#include <future>

#include "catch.h"
#include "fake/scripted_server.h"
#include "http/loop.h"

using namespace strix;
using namespace strix::http;
using strix::fake::Identity;
using strix::fake::make_identity;
using strix::fake::Peer;
using strix::fake::ScriptedServer;
using strix::fake::Seen;
using strix::fake::ServerTls;

namespace {

const bool curl_is_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;

void answer(Peer& peer, const Seen& seen) {
  peer.reply(200, seen.headers.contains("host") ? seen.headers.at("host") : "");
}

Request get(const std::string& url, Tls tls) {
  Request request;
  request.url = url;
  request.deadline_millis = 5'000;
  request.tls = std::make_shared<const Tls>(std::move(tls));
  return request;
}

Tls trusting(const std::string& ca_pem) {
  Tls tls;
  tls.ca_pem = ca_pem;
  return tls;
}

Tls unverified() {
  Tls tls;
  tls.insecure = true;
  return tls;
}

ServerTls shown_by(const Identity& identity, const std::string& client_ca_pem = "") {
  return {identity.certificate_pem(), identity.key_pem(), client_ca_pem};
}

}  // namespace

TEST_CASE("a server is trusted by the CA that was given, and by no other") {
  REQUIRE(curl_is_ready);
  Identity ca = make_identity("ours", "", nullptr), other = make_identity("other", "", nullptr);
  ScriptedServer server(answer, shown_by(make_identity("server", "IP:127.0.0.1", &ca)));
  Loop loop;
  auto trusted = loop.perform(get(server.origin(), trusting(ca.certificate_pem())));
  REQUIRE(trusted.ok());
  CHECK(trusted->status == 200);

  auto refused = loop.perform(get(server.origin(), trusting(other.certificate_pem())));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::Unreachable);
  CHECK(refused.error().text.find("certificate") != std::string::npos);
  // Neither the system's CAs nor a connection that another request made help.
  CHECK_FALSE(loop.perform(get(server.origin(), Tls{})).ok());
  CHECK(loop.perform(get(server.origin(), unverified())).ok());
  CHECK_FALSE(loop.perform(get(server.origin(), trusting(other.certificate_pem()))).ok());
}

TEST_CASE("a rotated CA is used by the next connection, and the same CA keeps the connection") {
  Identity old_ca = make_identity("old", "", nullptr), new_ca = make_identity("new", "", nullptr);
  ScriptedServer server(answer, shown_by(make_identity("server", "IP:127.0.0.1", &new_ca)));
  Loop loop;
  CHECK_FALSE(loop.perform(get(server.origin(), trusting(old_ca.certificate_pem()))).ok());
  std::string both = old_ca.certificate_pem() + new_ca.certificate_pem();
  int before = server.connections();
  for (int i = 0; i < 3; ++i) CHECK(loop.perform(get(server.origin(), trusting(both))).ok());
  CHECK(server.connections() == before + 1);
}

TEST_CASE("a certificate for another name is refused, unless that name is the one to check") {
  Identity ca = make_identity("ours", "", nullptr);
  ScriptedServer server(answer, shown_by(make_identity("server", "DNS:kubernetes.default.svc", &ca)));
  Loop loop;
  Tls tls = trusting(ca.certificate_pem());
  CHECK_FALSE(loop.perform(get(server.origin(), tls)).ok());
  tls.server_name = "kubernetes.default.svc";
  for (int i = 0; i < 3; ++i) {
    auto result = loop.perform(get(server.origin() + "/path?query=1", tls));
    REQUIRE(result.ok());
    CHECK("https://" + result->body == server.origin());  // the Host header stays with the address
  }
  CHECK(server.seen().front().target == "/path?query=1");
  CHECK(server.connections() == 2);
  tls.server_name = "elsewhere";
  CHECK_FALSE(loop.perform(get(server.origin(), tls)).ok());
}

TEST_CASE("a client certificate is shown, and a server that asks for one refuses without") {
  Identity ca = make_identity("ours", "", nullptr);
  Identity client = make_identity("client", "", &ca);
  ScriptedServer server(answer, shown_by(make_identity("server", "IP:127.0.0.1", &ca), ca.certificate_pem()));
  Loop loop;
  Tls tls = trusting(ca.certificate_pem());
  CHECK_FALSE(loop.perform(get(server.origin(), tls)).ok());
  tls.client_cert_pem = client.certificate_pem();
  tls.client_key_pem = client.key_pem();
  CHECK(loop.perform(get(server.origin(), tls)).ok());
}

TEST_CASE("certificates and keys of ours that cannot be read are Invalid") {
  Identity ca = make_identity("ours", "", nullptr);
  ScriptedServer server(answer, shown_by(make_identity("server", "IP:127.0.0.1", &ca)));
  Loop loop;
  Tls tls = trusting(ca.certificate_pem());
  SECTION("the certificate") {
    tls.client_cert_pem = "-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n";
    tls.client_key_pem = ca.key_pem();
  }
  SECTION("the key of another certificate") {
    tls.client_cert_pem = ca.certificate_pem();
    tls.client_key_pem = make_identity("other", "", nullptr).key_pem();
  }
  SECTION("the CA") {
    tls.ca_pem = "-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n";
  }
  auto result = loop.perform(get(server.origin(), tls));
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Invalid);
  CHECK(result.error().text.find("secret") == std::string::npos);
}

TEST_CASE("a server that never finishes the handshake costs the time to connect") {
  // A plain server, from the client's side: it waits for a ServerHello that does not come.
  ScriptedServer server([](Peer&, const Seen&) {});
  Loop loop;
  Request request = get("https://127.0.0.1:" + std::to_string(server.port()), Tls{});
  request.connect_timeout_millis = 200;
  BootMillis before = boot_now();
  auto result = loop.perform(request);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().kind == ErrorKind::Unreachable);
  CHECK(boot_now() - before < 3'000);
}

TEST_CASE("a stream over TLS hands over its bytes as they come") {
  Identity ca = make_identity("ours", "", nullptr);
  ScriptedServer server(
      [](Peer& peer, const Seen&) {
        peer.begin_chunked();
        for (int i = 0; i < 20; ++i) peer.chunk(std::string(1'000, 'x'));
        peer.end_chunked();
      },
      shown_by(make_identity("server", "IP:127.0.0.1", &ca)));
  Loop loop;
  std::promise<Result<Response>> ended;
  size_t bytes = 0;
  loop.open_stream(get(server.origin(), trusting(ca.certificate_pem())),
                   {[](int) {}, [&](std::string_view slice) { bytes += slice.size(); },
                    [&](Result<Response> result) { ended.set_value(std::move(result)); }});
  auto end = ended.get_future();
  REQUIRE(end.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
  CHECK(end.get().ok());
  CHECK(bytes == 20'000);
}
