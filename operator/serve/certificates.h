// Why: when the webhook's CA and certificate are renewed, and which CAs the API server is to trust, as a
// function of what the Secret holds and of the time.
// May not: do I/O, read a clock, or make a certificate.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "serve/x509.h"

namespace strix::serve {

// Keys of the Secret.
inline constexpr std::string_view secret_authorities = "ca.crt";    // PEM, newest first
inline constexpr std::string_view secret_authority_key = "ca.key";  // of the newest
inline constexpr std::string_view secret_certificate = "tls.crt";
inline constexpr std::string_view secret_key = "tls.key";

inline constexpr int64_t day_millis = 24LL * 3600 * 1000;
inline constexpr int64_t authority_life_millis = 365 * day_millis;
inline constexpr int64_t leaf_life_millis = 7 * day_millis;
inline constexpr int64_t backdated_millis = 3600 * 1000;  // for machines whose clocks are behind

using SecretData = std::map<std::string, std::string, std::less<>>;       // key to bytes
std::string_view value_in(const SecretData& data, std::string_view key);  // empty where there is none

struct Authority {
  std::string certificate;
  Validity validity;
};

// What a Secret holds. What cannot be read counts as not there.
struct Held {
  std::vector<Authority> authorities;  // newest first
  bool may_sign = false;               // the key of the newest is there
  bool has_leaf = false;               // and its key fits
  Validity leaf;
  std::vector<std::string> leaf_names;  // sorted
  bool leaf_is_trusted = false;         // one of the authorities issued it
};
Held held_in(const SecretData& data);

// What is due. A CA that is renewed in time signs nothing before the next leaf is due, months before the old
// one ends: by then whoever asks has long trusted both.
struct Due {
  bool authority = false;
  bool leaf = false;
  std::vector<std::string> authorities_kept;  // certificates of `held` to publish, beside a new one
  std::string why;                            // for the log; empty when nothing is due
};
Due due(const Held& held, const std::vector<std::string>& names, WallMillis now);

Validity authority_validity(WallMillis now);
// Within that of the authority which signs it.
Validity leaf_validity(WallMillis now, Validity authority);

// The data that the Secret should hold: as it is when nothing is due. Errors: what OpenSSL could not do.
Result<SecretData> renewed(const SecretData& data, const std::vector<std::string>& names, WallMillis now);

}  // namespace strix::serve
