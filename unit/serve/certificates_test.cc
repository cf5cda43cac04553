#include "serve/certificates.h"

#include <algorithm>
#include <functional>

#include "catch.h"

using namespace strix;
using namespace strix::serve;

namespace {

constexpr int64_t hour_millis = 3600 * 1000;
constexpr WallMillis start = 1'800'000'000'000;
const std::vector<std::string> names = {"strix-operator-webhook.strix-system.svc", "172.30.0.1"};

Authority authority(int64_t age_days) {
  WallMillis made = start - age_days * day_millis;
  return {"ca of day " + std::to_string(-age_days), {made, made + authority_life_millis}};
}

// Two CAs' worth of a settled Secret: a CA of 10 days, a leaf of one.
Held settled() {
  Held held;
  held.authorities = {authority(10)};
  held.may_sign = held.has_leaf = held.leaf_is_trusted = true;
  held.leaf = {start - day_millis, start + 6 * day_millis};
  held.leaf_names = names;
  std::sort(held.leaf_names.begin(), held.leaf_names.end());
  return held;
}

SecretData first(WallMillis now) {
  return renewed({}, names, now).value();
}

bool chains(const SecretData& data, std::string_view leaf) {
  auto bundle = split_bundle(value_in(data, secret_authorities));
  for (const auto& pem : *bundle)
    if (issued_by(leaf, pem)) return true;
  return false;
}

}  // namespace

TEST_CASE("what is due, and when") {
  struct Case {
    const char* name;
    std::function<void(Held&)> change;
    bool authority, leaf;
    size_t kept;
    const char* why;
  };
  const std::vector<Case> cases = {
      {"nothing, in the first days", [](Held&) {}, false, false, 1, ""},
      {"everything, of an empty Secret", [](Held& h) { h = {}; }, true, true, 0,
       "there is no CA that may sign"},
      {"the leaf, when two thirds are over",
       [](Held& h) {
         h.leaf = {start - 14 * day_millis / 3, start + 7 * day_millis / 3};
       },
       false, true, 1, "two thirds of the certificate's life are over"},
      {"nothing a moment before",
       [](Held& h) {
         h.leaf = {start - 14 * day_millis / 3 + 1, start + 7 * day_millis / 3 + 1};
       },
       false, false, 1, ""},
      {"the leaf, when it is over",
       [](Held& h) {
         h.leaf = {start - 7 * day_millis, start};
       },
       false, true, 1, "the certificate is not valid now"},
      {"the leaf, when the clock was set back",
       [](Held& h) {
         h.leaf = {start + 1, start + 7 * day_millis};
       },
       false, true, 1, "the certificate is not valid now"},
      {"the leaf, for another name", [](Held& h) { h.leaf_names = {"172.30.0.1"}; }, false, true, 1,
       "the certificate is for other names"},
      {"the leaf, without one or with another's key", [](Held& h) { h.has_leaf = false; }, false, true, 1,
       "there is no certificate"},
      {"the leaf, of a CA that is not there", [](Held& h) { h.leaf_is_trusted = false; }, false, true, 1,
       "the certificate is not of this CA"},
      {"the CA alone, when two thirds of it are over", [](Held& h) { h.authorities = {authority(244)}; },
       true, false, 1, "two thirds of the CA's life are over"},
      {"nothing a day before", [](Held& h) { h.authorities = {authority(243)}; }, false, false, 1, ""},
      {"the leaf first, when both are due",
       [](Held& h) {
         h.authorities = {authority(300)};
         h.leaf = {start - 6 * day_millis, start + day_millis};
       },
       false, true, 1, "two thirds of the certificate's life are over"},
      {"the CA alone, when its key is gone", [](Held& h) { h.may_sign = false; }, true, false, 1,
       "there is no CA that may sign"},
      {"both, when the CA is over",
       [](Held& h) {
         h.authorities = {authority(400)};
         h.leaf = {start - 40 * day_millis, start - 33 * day_millis};
       },
       true, true, 0, "there is no CA that may sign"},
      {"nothing, and an old CA is published beside the new one while it lives",
       [](Held& h) {
         h.authorities = {authority(1), authority(250)};
       },
       false, false, 2, ""},
      {"nothing, and an old CA that is over is dropped",
       [](Held& h) {
         h.authorities = {authority(130), authority(380)};
       },
       false, false, 1, ""},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    Held held = settled();
    c.change(held);
    Due found = due(held, names, start);
    CHECK(found.authority == c.authority);
    CHECK(found.leaf == c.leaf);
    CHECK(found.authorities_kept.size() == c.kept);
    CHECK(found.why == c.why);
  }
}

TEST_CASE("a Secret that was empty has all it needs, and nothing is due right after") {
  SecretData data = first(start);
  REQUIRE(data.size() == 4);
  REQUIRE(renewed(data, names, start).value() == data);
  REQUIRE(renewed(data, names, start + 24 * hour_millis).value() == data);
  REQUIRE(renewed(data, {names[1], names[0]}, start).value() == data);
  auto leaf = read_certificate(value_in(data, secret_certificate)).value();
  REQUIRE(leaf.validity.not_after - leaf.validity.not_before == leaf_life_millis);
  REQUIRE(leaf.validity.not_before == start - backdated_millis);
  REQUIRE(leaf.names == std::vector<std::string>{"172.30.0.1", "strix-operator-webhook.strix-system.svc"});
  REQUIRE(key_fits(value_in(data, secret_certificate), value_in(data, secret_key)));
  REQUIRE(chains(data, value_in(data, secret_certificate)));
}

TEST_CASE("whatever stands in the Secret, what comes of it is whole") {
  SecretData good = first(start), other = first(start);
  for (std::string key : {"ca.crt", "ca.key", "tls.crt", "tls.key"}) {
    for (std::string value : {std::string(), std::string("rubbish"), std::string(70'000, 'x'), other[key],
                              good[key].substr(0, good[key].size() / 2), "\0\xff" + good[key]}) {
      CAPTURE(key, value.substr(0, 40));
      SecretData data = good;
      data[key] = value;
      SecretData made = renewed(data, names, start).value();
      REQUIRE(renewed(made, names, start).value() == made);
      REQUIRE(key_fits(value_in(made, secret_certificate), value_in(made, secret_key)));
      REQUIRE(chains(made, value_in(made, secret_certificate)));
    }
  }
}

TEST_CASE("for three years whoever trusts what was published at the check before is served") {
  SecretData data = first(start);
  int leaves = 0, authorities = 0;
  size_t most = 0;
  // Once in 25 hours: certificates are expensive to make and read.
  for (WallMillis now = start; now < start + 3 * 365 * day_millis; now += 25 * hour_millis) {
    SecretData next = renewed(data, names, now).value();
    leaves += next["tls.crt"] != data["tls.crt"];
    authorities += next["ca.key"] != data["ca.key"];
    std::string_view leaf = value_in(next, secret_certificate);
    REQUIRE(chains(data, leaf));
    // And a replica that still shows the leaf of the last check is trusted by what is published now.
    REQUIRE(chains(next, value_in(data, secret_certificate)));
    Validity validity = read_certificate(leaf).value().validity;
    REQUIRE(validity.not_before <= now);
    REQUIRE(validity.not_after - now > day_millis);
    most = std::max(most, split_bundle(value_in(next, secret_authorities)).value().size());
    data = next;
  }
  REQUIRE(authorities == 4);
  REQUIRE(leaves > 200);
  REQUIRE(leaves < 240);
  REQUIRE(most == 2);
}

TEST_CASE("after a year switched off everything is made anew") {
  SecretData data = first(start);
  WallMillis later = start + 400 * day_millis;
  SecretData made = renewed(data, names, later).value();
  REQUIRE(split_bundle(value_in(made, secret_authorities)).value().size() == 1);
  REQUIRE(chains(made, value_in(made, secret_certificate)));
  REQUIRE(made["ca.key"] != data["ca.key"]);
}

TEST_CASE("a leaf does not outlive its CA") {
  Validity ca{start - 364 * day_millis, start + day_millis};
  REQUIRE(leaf_validity(start, ca) == Validity{start - backdated_millis, start + day_millis});
}

TEST_CASE("names are DNS names and addresses in their one spelling, and nothing that would add another") {
  REQUIRE(canonical_name("a.b-c.svc") == "a.b-c.svc");
  REQUIRE(canonical_name("172.30.0.1") == "172.30.0.1");
  REQUIRE(canonical_name("0:0:0:0:0:0:0:1") == "::1");
  for (const char* bad : {"", "a,DNS:b", "A", "a b", ".a", "a.", "*.a", "a/b", "[::1]", "a\nb"}) {
    CAPTURE(std::string(bad));
    REQUIRE(canonical_name(bad).empty());
    REQUIRE(make_leaf(make_authority(authority_validity(start)).value(), {bad}, {start, start + 1000})
                .error()
                .kind == ErrorKind::Invalid);
  }
}

TEST_CASE("an error about a key does not say the key") {
  KeyPair authority = make_authority(authority_validity(start)).value();
  authority.key.insert(authority.key.size() / 2, "?");
  auto leaf = make_leaf(authority, names, {start, start + 1000});
  REQUIRE(leaf.error().text == "the webhook's CA cannot be read");
}
