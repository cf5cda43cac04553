#include "serve/certificates.h"

#include <algorithm>

namespace strix::serve {

namespace {

constexpr size_t authorities_max = 4;

bool is_valid(const Validity& validity, WallMillis now) {
  return validity.not_before <= now && now < validity.not_after;
}

// Two thirds of its life are over.
bool is_old(const Validity& validity, WallMillis now) {
  return now - validity.not_before >= (validity.not_after - validity.not_before) / 3 * 2;
}

std::vector<std::string> sorted(const std::vector<std::string>& names) {
  std::vector<std::string> canonical;
  for (const std::string& name : names) canonical.push_back(canonical_name(name));
  std::sort(canonical.begin(), canonical.end());
  return canonical;
}

std::string leaf_due(const Held& held, const std::vector<std::string>& names, WallMillis now) {
  if (!held.has_leaf) return "there is no certificate";
  if (held.leaf_names != sorted(names)) return "the certificate is for other names";
  if (!held.leaf_is_trusted) return "the certificate is not of this CA";
  if (!is_valid(held.leaf, now)) return "the certificate is not valid now";
  return is_old(held.leaf, now) ? "two thirds of the certificate's life are over" : "";
}

}  // namespace

std::string_view value_in(const SecretData& data, std::string_view key) {
  auto found = data.find(key);
  return found == data.end() ? std::string_view() : found->second;
}

Held held_in(const SecretData& data) {
  Held held;
  auto bundle = split_bundle(value_in(data, secret_authorities));
  if (!bundle) return held;
  std::string_view certificate = value_in(data, secret_certificate);
  for (const std::string& pem : *bundle) {
    auto facts = read_certificate(pem);
    if (!facts || held.authorities.size() == authorities_max) continue;
    held.authorities.push_back({pem, facts->validity});
    held.leaf_is_trusted = held.leaf_is_trusted || issued_by(certificate, pem);
  }
  held.may_sign = !held.authorities.empty() &&
                  key_fits(held.authorities.front().certificate, value_in(data, secret_authority_key));
  auto leaf = read_certificate(certificate);
  if (!leaf || !key_fits(certificate, value_in(data, secret_key))) return held;
  held.has_leaf = true;
  held.leaf = leaf->validity;
  held.leaf_names = leaf->names;
  return held;
}

Due due(const Held& held, const std::vector<std::string>& names, WallMillis now) {
  Due due;
  for (const Authority& authority : held.authorities)
    if (is_valid(authority.validity, now)) due.authorities_kept.push_back(authority.certificate);
  due.why = leaf_due(held, names, now);
  due.leaf = !due.why.empty();
  bool usable = held.may_sign && is_valid(held.authorities.front().validity, now);
  if (!usable) {
    due.authority = true;
    due.why = "there is no CA that may sign";
  } else if (!due.leaf && is_old(held.authorities.front().validity, now)) {
    due.authority = true;
    due.why = "two thirds of the CA's life are over";
  }
  return due;
}

Validity authority_validity(WallMillis now) {
  return {now - backdated_millis, now - backdated_millis + authority_life_millis};
}

Validity leaf_validity(WallMillis now, Validity authority) {
  WallMillis begin = std::max(now - backdated_millis, authority.not_before);
  return {begin, std::min(begin + leaf_life_millis, authority.not_after)};
}

Result<SecretData> renewed(const SecretData& data, const std::vector<std::string>& names, WallMillis now) {
  Held held = held_in(data);
  Due what = due(held, names, now);
  SecretData made = data;
  if (what.authority) {
    auto authority = make_authority(authority_validity(now));
    if (!authority) return authority.error();
    what.authorities_kept.insert(what.authorities_kept.begin(), authority->certificate);
    made[std::string(secret_authority_key)] = authority->key;
  }
  if (what.authorities_kept.size() > authorities_max) what.authorities_kept.resize(authorities_max);
  std::string bundle;
  for (const std::string& pem : what.authorities_kept) bundle += pem;
  made[std::string(secret_authorities)] = bundle;
  if (!what.leaf) return made;
  const std::string& signer = what.authorities_kept.front();
  auto facts = read_certificate(signer);
  if (!facts) return facts.error();
  auto leaf = make_leaf({signer, made[std::string(secret_authority_key)]}, names,
                        leaf_validity(now, facts->validity));
  if (!leaf) return leaf.error();
  made[std::string(secret_certificate)] = leaf->certificate;
  made[std::string(secret_key)] = leaf->key;
  return made;
}

}  // namespace strix::serve
