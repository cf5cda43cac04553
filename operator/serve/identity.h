// Why: the webhook's port shows a certificate that changes while it is open.
// May not: log a key, or do I/O.
#pragma once

#include <memory>
#include <mutex>

#include "base/result.h"
#include "serve/x509.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX and SSL
struct ssl_st;

namespace strix::serve {

struct TlsFreed {
  void operator()(ssl_st* session) const;
};
using TlsSession = std::unique_ptr<ssl_st, TlsFreed>;

// Thread-safe.
class Identity {
 public:
  Identity() = default;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  // New connections show this from now on: a certificate with what it needs of its chain, and its key.
  // Errors: Invalid, and what was there stays.
  Status use(const KeyPair& identity);
  bool loaded() const;

  // The server's side of a connection. Absent: there is no certificate yet.
  TlsSession session(int descriptor) const;

 private:
  std::shared_ptr<ssl_ctx_st> context() const;

  mutable std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace strix::serve
