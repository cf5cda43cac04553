// Why: the certificates of the webhook, made and read: a CA of the operator's own, and what it signs.
// May not: decide when one is due (certificates.h does), keep anything, or let a key into an error's text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace strix::serve {

// PEM. The key is a secret.
struct KeyPair {
  std::string certificate, key;
};

struct Validity {
  WallMillis not_before = 0, not_after = 0;
  bool operator==(const Validity&) const = default;
};

// The first certificate of a PEM, as far as anybody here decides by it.
struct CertificateFacts {
  Validity validity;
  std::vector<std::string> names;  // DNS names and addresses that it is for, sorted
};

// A P-256 CA that signs itself. Times are cut to seconds. Errors: Internal.
Result<KeyPair> make_authority(Validity validity);

// For these DNS names and IP addresses; Invalid when one is neither, or when the authority is unreadable.
Result<KeyPair> make_leaf(const KeyPair& authority, const std::vector<std::string>& names, Validity validity);

// Errors: Invalid.
Result<CertificateFacts> read_certificate(std::string_view pem);

// Each certificate of a bundle as a PEM of its own, at most 16. Errors: Invalid when one is unreadable.
Result<std::vector<std::string>> split_bundle(std::string_view pem);

bool key_fits(std::string_view certificate, std::string_view key);
// Whether this authority's key signed it.
bool issued_by(std::string_view certificate, std::string_view authority);

// An IP address in its one spelling, or a DNS name; empty when it is neither.
std::string canonical_name(std::string_view name);

}  // namespace strix::serve
