#include "serve/x509.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "api/text.h"
#include "base/freed.h"

namespace strix::serve {

namespace {

constexpr size_t certificates_max = 16;
constexpr int serial_bytes = 16;

using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_vfree>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

Memory reader(std::string_view text) {
  return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(std::min<size_t>(text.size(), 1u << 20))));
}

// Never asks a terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) {
  return -1;
}

Certificate next_certificate(BIO* from) {
  Certificate certificate(PEM_read_bio_X509(from, nullptr, no_password, nullptr));
  ERR_clear_error();  // what stays in the thread's queue would be taken for the next call's
  return certificate;
}

Certificate certificate_of(std::string_view pem) {
  Memory from = reader(pem);
  return from ? next_certificate(from.get()) : nullptr;
}

Key key_of(std::string_view pem) {
  Memory from = reader(pem);
  Key key(from ? PEM_read_bio_PrivateKey(from.get(), nullptr, no_password, nullptr) : nullptr);
  ERR_clear_error();
  return key;
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  long size = BIO_get_mem_data(memory, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

std::string pem_of(X509* certificate) {
  Memory to(BIO_new(BIO_s_mem()));
  return to && PEM_write_bio_X509(to.get(), certificate) == 1 ? text_of(to.get()) : "";
}

std::string pem_of(EVP_PKEY* key) {
  Memory to(BIO_new(BIO_s_mem()));
  bool written = to && PEM_write_bio_PrivateKey(to.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1;
  return written ? text_of(to.get()) : "";
}

bool set_times(X509* certificate, Validity validity) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), static_cast<time_t>(validity.not_before / 1000)) &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), static_cast<time_t>(validity.not_after / 1000));
}

bool set_serial(X509* certificate) {
  unsigned char bytes[serial_bytes];
  if (RAND_bytes(bytes, serial_bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and of one length
  std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(bytes, serial_bytes, nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_name(X509* certificate, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                                    0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

Error not_made(std::string_view what) {
  ERR_clear_error();
  return Error{ErrorKind::Internal, "OpenSSL could not make " + std::string(what), 0};
}

// An address in its one spelling; empty when it is none.
std::string address_of(const std::string& text) {
  unsigned char bytes[16];
  char spelled[INET6_ADDRSTRLEN];
  for (int family : {AF_INET, AF_INET6})
    if (inet_pton(family, text.c_str(), bytes) == 1 && inet_ntop(family, bytes, spelled, sizeof(spelled)))
      return spelled;
  return "";
}

bool is_dns_name(std::string_view name) {
  constexpr size_t length_max = 253;
  bool well = !name.empty() && name.size() <= length_max && name.front() != '.' && name.back() != '.';
  for (char c : name)
    well = well && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.');
  return well;
}

WallMillis wall_of(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<WallMillis>(timegm(&parts)) * 1000 : 0;
}

std::string text_of(const GENERAL_NAME& name) {
  const ASN1_STRING* value = name.type == GEN_DNS     ? name.d.dNSName
                             : name.type == GEN_IPADD ? name.d.iPAddress
                                                      : nullptr;
  if (!value) return "";
  const unsigned char* data = ASN1_STRING_get0_data(value);
  int length = ASN1_STRING_length(value);
  if (name.type == GEN_DNS) return {reinterpret_cast<const char*>(data), static_cast<size_t>(length)};
  char text[INET6_ADDRSTRLEN] = "";
  if (length == 4) inet_ntop(AF_INET, data, text, sizeof(text));
  if (length == 16) inet_ntop(AF_INET6, data, text, sizeof(text));
  return text;
}

}  // namespace

std::string canonical_name(std::string_view name) {
  std::string address = address_of(std::string(name));
  return !address.empty() ? address : is_dns_name(name) ? std::string(name) : "";
}

Result<KeyPair> make_authority(Validity validity) {
  Key key(EVP_EC_gen("P-256"));
  Certificate made(X509_new());
  X509* certificate = made.get();
  // Two CAs in one bundle are told apart by their names, too.
  std::string name = "strix-operator webhook CA " + format_time(validity.not_before);
  bool done = key && made && X509_set_version(certificate, 2) == 1 && set_serial(certificate) &&
              set_times(certificate, validity) && X509_set_pubkey(certificate, key.get()) == 1 &&
              set_name(certificate, name) &&
              X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1 &&
              add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign") &&
              add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
              X509_sign(certificate, key.get(), EVP_sha256()) > 0;
  if (!done) return not_made("a CA");
  return KeyPair{pem_of(certificate), pem_of(key.get())};
}

Result<KeyPair> make_leaf(const KeyPair& authority, const std::vector<std::string>& names,
                          Validity validity) {
  Certificate issuer = certificate_of(authority.certificate);
  Key signer = key_of(authority.key);
  if (!issuer || !signer) return Error{ErrorKind::Invalid, "the webhook's CA cannot be read", 0};
  std::string alternatives;
  for (const std::string& name : names) {
    std::string spelled = canonical_name(name);
    if (spelled.empty())
      return Error{ErrorKind::Invalid, "neither a DNS name nor an IP address: " + api::clipped(name, 80), 0};
    alternatives +=
        (alternatives.empty() ? "" : ",") + std::string(address_of(spelled).empty() ? "DNS:" : "IP:");
    alternatives += spelled;
  }
  Key key(EVP_EC_gen("P-256"));
  Certificate made(X509_new());
  X509* certificate = made.get();
  bool done = key && made && X509_set_version(certificate, 2) == 1 && set_serial(certificate) &&
              set_times(certificate, validity) && X509_set_pubkey(certificate, key.get()) == 1 &&
              set_name(certificate, "strix-operator webhook") &&
              X509_set_issuer_name(certificate, X509_get_subject_name(issuer.get())) == 1 &&
              add_extension(certificate, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(certificate, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
              add_extension(certificate, issuer.get(), NID_ext_key_usage, "serverAuth") &&
              add_extension(certificate, issuer.get(), NID_authority_key_identifier, "keyid:always") &&
              add_extension(certificate, issuer.get(), NID_subject_alt_name, alternatives) &&
              X509_sign(certificate, signer.get(), EVP_sha256()) > 0;
  if (!done) return not_made("a certificate");
  return KeyPair{pem_of(certificate), pem_of(key.get())};
}

Result<CertificateFacts> read_certificate(std::string_view pem) {
  Certificate certificate = certificate_of(pem);
  if (!certificate) return Error{ErrorKind::Invalid, "no certificate in PEM", 0};
  CertificateFacts facts;
  facts.validity.not_before = wall_of(X509_get0_notBefore(certificate.get()));
  facts.validity.not_after = wall_of(X509_get0_notAfter(certificate.get()));
  Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i)
    facts.names.push_back(text_of(*sk_GENERAL_NAME_value(names.get(), i)));
  std::sort(facts.names.begin(), facts.names.end());
  return facts;
}

Result<std::vector<std::string>> split_bundle(std::string_view pem) {
  std::vector<std::string> found;
  Memory from = reader(pem);
  while (from && found.size() <= certificates_max) {
    Certificate certificate = next_certificate(from.get());
    if (!certificate) break;
    found.push_back(pem_of(certificate.get()));
  }
  bool all = from && BIO_eof(from.get());
  if (found.empty() || !all || found.size() > certificates_max)
    return Error{ErrorKind::Invalid, "no bundle of 1 to 16 certificates in PEM", 0};
  return found;
}

bool key_fits(std::string_view certificate_pem, std::string_view key_pem) {
  Certificate certificate = certificate_of(certificate_pem);
  Key key = key_of(key_pem);
  bool fits = certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return fits;
}

bool issued_by(std::string_view certificate_pem, std::string_view authority_pem) {
  Certificate certificate = certificate_of(certificate_pem), authority = certificate_of(authority_pem);
  bool so = certificate && authority && X509_check_issued(authority.get(), certificate.get()) == X509_V_OK &&
            X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  ERR_clear_error();
  return so;
}

}  // namespace strix::serve
