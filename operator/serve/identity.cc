#include "serve/identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <vector>

#include "base/freed.h"

namespace strix::serve {

namespace {

using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_vfree>>;

constexpr size_t chain_max = 8;

int no_password(char*, int, int, void*) {
  return -1;
}

std::vector<Certificate> chain_of(const std::string& text) {
  std::vector<Certificate> chain;  // the first is ours
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  while (memory && chain.size() < chain_max) {
    Certificate next(PEM_read_bio_X509(memory.get(), nullptr, no_password, nullptr));
    if (!next) break;
    chain.push_back(std::move(next));
  }
  return chain;
}

Key key_of(const std::string& text) {
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  return Key(memory ? PEM_read_bio_PrivateKey(memory.get(), nullptr, no_password, nullptr) : nullptr);
}

// No sessions: who comes back shakes hands again, and nothing is kept of who left. Without AUTO_RETRY a
// client that sends nothing but TLS's own messages does not hold the thread.
void set_up(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
}

}  // namespace

void TlsFreed::operator()(ssl_st* session) const {
  SSL_free(session);
}

Status Identity::use(const KeyPair& identity) {
  std::vector<Certificate> chain = chain_of(identity.certificate);
  Key key = key_of(identity.key);
  bool fits = !chain.empty() && key && X509_check_private_key(chain.front().get(), key.get()) == 1;
  std::shared_ptr<SSL_CTX> context(fits ? SSL_CTX_new(TLS_server_method()) : nullptr, SSL_CTX_free);
  fits = context && SSL_CTX_use_certificate(context.get(), chain.front().get()) == 1 &&
         SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1;
  for (size_t i = 1; fits && i < chain.size(); ++i)
    fits = SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) == 1;
  ERR_clear_error();
  if (!fits) return Error{ErrorKind::Invalid, "no certificate in PEM with a key that fits it", 0};
  set_up(context.get());
  std::lock_guard lock(mutex_);
  context_.swap(context);
  return success();
}

std::shared_ptr<SSL_CTX> Identity::context() const {
  std::lock_guard lock(mutex_);
  return context_;
}

bool Identity::loaded() const {
  return context() != nullptr;
}

TlsSession Identity::session(int descriptor) const {
  auto shown = context();
  TlsSession made(shown ? SSL_new(shown.get()) : nullptr);
  if (!made || SSL_set_fd(made.get(), descriptor) != 1) return nullptr;
  SSL_set_accept_state(made.get());
  return made;
}

}  // namespace strix::serve
