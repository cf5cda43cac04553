// Why: the webhook's port shows a certificate that changes while it is open, to strangers: whoever
// reaches the port may open connections, and send what they like and as slowly as they like. The
// library behind listener.h knows no limits; OpenSSL's hooks see every connection and every record, so
// the limits stand here.
// May not: block (it runs under a lock of the library's), throw, or log a key.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "base/result.h"
#include "base/time.h"
#include "serve/x509.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX and SSL
struct ssl_st;

namespace strix::serve {

struct TlsLimits {
  int connections_max = 64;       // more are closed at once
  int64_t request_bytes_max = 0;  // of TLS records between two answers; a connection over it is cut
  int64_t bytes_max = 0;          // the same, of all connections together; who goes over it is cut
  int64_t handshake_millis = 5'000;
  int64_t request_millis = 10'000;  // from its first byte to the answer
  int64_t idle_millis = 120'000;    // longer than API servers keep a connection, so that they close it first
};

// Thread-safe. Shared, since the library lets go of the last connections after its listener is closed.
// Connections that are overdue are closed when they send something, and when somebody else connects: until
// then they cost little.
class TlsPort : public std::enable_shared_from_this<TlsPort> {
 public:
  static std::shared_ptr<TlsPort> make(int port, TlsLimits limits);
  TlsPort(const TlsPort&) = delete;
  TlsPort& operator=(const TlsPort&) = delete;

  // New connections show this from now on: a certificate with what it needs of its chain, and its key.
  // Errors: Invalid, and what was there stays.
  Status use(const KeyPair& identity);
  bool loaded() const;

  // Makes the context of the connection that was just accepted ready. False: it is to be closed, there is no
  // certificate yet or there are too many connections.
  bool prepare(ssl_ctx_st* context);

  int connections() const;
  int64_t bytes_held() const { return bytes_.load(); }  // of requests that are not answered yet

 private:
  struct Identity;
  struct Connection;

  TlsPort(int port, TlsLimits limits) : port_(port), limits_(limits) {}
  static int index();
  static void on_record(int sent, int version, int kind, const void* bytes, size_t size, ssl_st* ssl,
                        void* connection);
  static void on_state(const ssl_st* ssl, int where, int result);
  int duplicate_of_accepted() const;
  bool make_room();
  bool may_go_on(Connection& connection, int64_t length, bool http);

  const int port_;
  const TlsLimits limits_;
  std::atomic<std::shared_ptr<const Identity>> identity_;
  std::atomic<int64_t> bytes_{0};
  mutable std::mutex mutex_;
  std::set<Connection*> connections_;
};

}  // namespace strix::serve
