// Why: TLS tests need a CA, a server and a client that are valid today; made here, nothing expires in the
// tree.
// May not: be used outside tests: the keys live for an hour and nobody keeps them secret.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/check.h"
#include "base/freed.h"

namespace strix::fake {

using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_vfree>>;

inline std::string text_of(BIO* memory) {
  char* data = nullptr;
  long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

struct Identity {
  Key key;
  Certificate certificate;

  std::string certificate_pem() const {
    Memory memory(BIO_new(BIO_s_mem()));
    INVARIANT(PEM_write_bio_X509(memory.get(), certificate.get()) == 1);
    return text_of(memory.get());
  }
  std::string key_pem() const {
    Memory memory(BIO_new(BIO_s_mem()));
    INVARIANT(PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return text_of(memory.get());
  }
};

inline void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  INVARIANT(extension);
  INVARIANT(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// `names`: a subjectAltName, "IP:127.0.0.1,DNS:localhost". Without an issuer it is a CA that signs itself.
inline Identity make_identity(const std::string& common_name, const std::string& names,
                              const Identity* issuer) {
  Identity made{Key(EVP_EC_gen("P-256")), Certificate(X509_new())};
  X509* certificate = made.certificate.get();
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_set_version(certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  X509* signer = issuer ? issuer->certificate.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  add_extension(certificate, signer, NID_basic_constraints,
                issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
  if (!names.empty()) add_extension(certificate, signer, NID_subject_alt_name, names);
  INVARIANT(X509_sign(certificate, issuer ? issuer->key.get() : made.key.get(), EVP_sha256()) > 0);
  return made;
}

}  // namespace strix::fake
