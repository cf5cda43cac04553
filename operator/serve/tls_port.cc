#include "serve/tls_port.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

namespace strix::serve {

namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_vfree>>;

constexpr size_t chain_max = 8;
constexpr size_t record_header_bytes = 5;  // type, version, and a length of two bytes

int no_password(char*, int, int, void*) {
  return -1;
}

// Whether these bytes are the head of a record with HTTP in it, or (TLS 1.3, where every head looks so) the
// type that is hidden inside of one.
bool tells_http(const SSL* ssl, int kind, const unsigned char* bytes) {
  bool hidden = SSL_version(ssl) == TLS1_3_VERSION;
  return kind == (hidden ? SSL3_RT_INNER_CONTENT_TYPE : SSL3_RT_HEADER) &&
         bytes[0] == SSL3_RT_APPLICATION_DATA;
}

int port_of(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET) return -1;
  sockaddr_in ip{};
  std::memcpy(&ip, &address, sizeof(ip));
  return ntohs(ip.sin_port);
}

bool is_accepted_at(int descriptor, int port) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  int listens = 0;
  socklen_t flag_size = sizeof(listens);
  return port_of(address) == port &&
         getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_size) == 0 && listens == 0;
}

ino_t inode_of(int descriptor) {
  struct stat about {};
  return fstat(descriptor, &about) == 0 ? about.st_ino : 0;
}

}  // namespace

struct TlsPort::Identity {
  std::vector<Certificate> chain;  // the first is ours
  Key key;
};

// Owned by its SSL_CTX. But for the deadline it is touched by one thread at a time, as the connection is.
struct TlsPort::Connection {
  const std::shared_ptr<TlsPort> port;
  const int
      socket;  // a second descriptor of it: the number of the library's own is another's once it is closed
  const ino_t inode;
  std::atomic<BootMillis> deadline;
  int64_t bytes = 0;  // since the last answer
  bool in_request = false;
  bool cut = false;
  // What the handshake had read and written when it last had to wait, and whether it then had just written:
  // the library tries again then, once, with nothing new.
  uint64_t bytes_read = 0, bytes_written = 0;
  bool wrote = true;

  Connection(std::shared_ptr<TlsPort> of, int descriptor)
      : port(std::move(of)),
        socket(descriptor),
        inode(inode_of(descriptor)),
        deadline(boot_now() + port->limits_.handshake_millis) {
    std::lock_guard lock(port->mutex_);
    port->connections_.insert(this);
  }
  ~Connection() {
    port->bytes_ -= bytes;
    std::lock_guard lock(port->mutex_);
    port->connections_.erase(this);
    close(socket);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void answered() {
    port->bytes_ -= bytes;
    bytes = 0;
    in_request = false;
    deadline = boot_now() + port->limits_.idle_millis;
  }
};

std::shared_ptr<TlsPort> TlsPort::make(int port, TlsLimits limits) {
  return std::shared_ptr<TlsPort>(new TlsPort(port, limits));
}

Status TlsPort::use(const KeyPair& identity) {
  auto made = std::make_shared<Identity>();
  Memory certificates(
      BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size())));
  while (certificates && made->chain.size() < chain_max) {
    Certificate next(PEM_read_bio_X509(certificates.get(), nullptr, no_password, nullptr));
    if (!next) break;
    made->chain.push_back(std::move(next));
  }
  Memory key(BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size())));
  if (key) made->key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, no_password, nullptr));
  bool fits = !made->chain.empty() && made->key &&
              X509_check_private_key(made->chain.front().get(), made->key.get()) == 1;
  ERR_clear_error();
  if (!fits) return Error{ErrorKind::Invalid, "no certificate in PEM with a key that fits it", 0};
  identity_.store(std::move(made));
  return success();
}

bool TlsPort::loaded() const {
  return identity_.load() != nullptr;
}

int TlsPort::connections() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(connections_.size());
}

int TlsPort::index() {
  auto gone = [](void*, void* connection, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<Connection*>(connection);
  };
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, gone);
  return index;
}

// The library keeps its sockets to itself. The one that it has just accepted is the one of this port that has
// no Connection yet. -1: there is none.
int TlsPort::duplicate_of_accepted() const {
  std::unique_ptr<DIR, Freed<closedir>> folder(opendir("/proc/self/fd"));
  std::lock_guard lock(mutex_);
  while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
    int descriptor = -1;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, descriptor).ptr != end) continue;
    if (!is_accepted_at(descriptor, port_)) continue;
    ino_t inode = inode_of(descriptor);
    bool known = std::any_of(connections_.begin(), connections_.end(),
                             [&](const Connection* other) { return other->inode == inode; });
    if (!known) return fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  }
  return -1;
}

// Closes what is overdue. Those go in a moment; whether there is room now is the answer.
bool TlsPort::make_room() {
  BootMillis now = boot_now();
  std::lock_guard lock(mutex_);
  for (Connection* connection : connections_)
    if (now > connection->deadline) shutdown(connection->socket, SHUT_RDWR);
  return static_cast<int>(connections_.size()) < limits_.connections_max;
}

bool TlsPort::prepare(SSL_CTX* context) {
  auto identity = identity_.load();
  if (!make_room() || !identity) return false;
  int socket = duplicate_of_accepted();
  if (socket < 0) return false;
  auto connection = std::make_unique<Connection>(shared_from_this(), socket);
  if (SSL_CTX_set_ex_data(context, index(), connection.get()) != 1) return false;
  SSL_CTX_set_msg_callback_arg(context, connection.release());
  SSL_CTX_set_msg_callback(context, on_record);
  SSL_CTX_set_info_callback(context, on_state);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A context lives as long as its one connection, so that a session could not be resumed.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  bool set = SSL_CTX_use_certificate(context, identity->chain.front().get()) == 1 &&
             SSL_CTX_use_PrivateKey(context, identity->key.get()) == 1;
  for (size_t i = 1; set && i < identity->chain.size(); ++i)
    set = SSL_CTX_add1_chain_cert(context, identity->chain[i].get()) == 1;
  ERR_clear_error();
  return set;
}

bool TlsPort::may_go_on(Connection& connection, int64_t length, bool http) {
  BootMillis now = boot_now();
  bool late = now > connection.deadline;
  if (http && !connection.in_request) {
    connection.in_request = true;
    connection.deadline = now + limits_.request_millis;
  }
  connection.bytes += length;
  bool full = (bytes_ += length) > limits_.bytes_max;
  if (full) make_room();
  return !full && !late && connection.bytes <= limits_.request_bytes_max;
}

void TlsPort::on_record(int sent, int, int kind, const void* bytes, size_t size, SSL* ssl, void* arg) {
  auto& connection = *static_cast<Connection*>(arg);
  const auto* head = static_cast<const unsigned char*>(bytes);
  if (size == 0) return;
  bool http = tells_http(ssl, kind, head);
  if (sent) {
    if (http) connection.answered();
    return;
  }
  bool whole_head = kind == SSL3_RT_HEADER && size >= record_header_bytes;
  int64_t length = whole_head ? head[3] << 8 | head[4] : 0;
  connection.cut = connection.cut || !connection.port->may_go_on(connection, length, http);
  // From here on reading finds the end of the connection.
  if (connection.cut) SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

// The library reads on after a handshake that failed. Where it failed because the client was gone, nothing
// would ever end that reading (of two reads at the end of a stream Boost ends one), and the connection would
// stay for ever. So a handshake that is tried again with nothing new is over.
void TlsPort::on_state(const SSL* ssl, int where, int result) {
  auto* connection = static_cast<Connection*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), index()));
  if (where == SSL_CB_HANDSHAKE_DONE && !connection->in_request)
    connection->deadline = boot_now() + connection->port->limits_.idle_millis;
  if (where != SSL_CB_ACCEPT_EXIT || result > 0 || !SSL_in_init(ssl)) return;
  uint64_t bytes_read = BIO_number_read(SSL_get_rbio(ssl));
  uint64_t bytes_written = BIO_number_written(SSL_get_wbio(ssl));
  bool wrote = bytes_written != connection->bytes_written;
  if (!wrote && bytes_read == connection->bytes_read && !connection->wrote)
    ERR_raise(ERR_LIB_SSL, SSL_R_SSL_HANDSHAKE_FAILURE);
  connection->wrote = wrote;
  connection->bytes_read = bytes_read;
  connection->bytes_written = bytes_written;
}

}  // namespace strix::serve
