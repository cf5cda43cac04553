#include <algorithm>

#include "base/check.h"
#include "fuzz/target.h"
#include "serve/framing.h"

namespace {

using strix::serve::RequestReader;

struct Read {
  std::string passed;
  int status = 0;
  bool operator==(const Read&) const = default;
};

// All requests that the bytes hold, in pieces of `piece` bytes.
Read read(std::string_view bytes, size_t piece) {
  RequestReader reader(256, 64);
  Read read;
  for (size_t at = 0, end = 0; at < bytes.size() && reader.state() != RequestReader::State::Refused;) {
    if (at == end) end = std::min(bytes.size(), end + piece);
    size_t taken = reader.take(bytes.substr(at, end - at), read.passed);
    INVARIANT(taken <= end - at);
    at += taken;
    if (reader.state() == RequestReader::State::Whole) reader.next();
  }
  read.status = reader.status();
  return read;
}

}  // namespace

std::vector<std::string> strix::fuzz::seeds() {
  return {"GET /metrics?a=%2F HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
          "POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: a, close\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
          "POST /%zz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nxx\r\n"};
}

// Whatever comes, and however it is split: what passes is what came, up to a request that is refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Read whole = read(bytes, size);
  INVARIANT(bytes.starts_with(whole.passed));
  for (size_t piece : {size_t{1}, size_t{2}, size_t{7}}) INVARIANT(read(bytes, piece) == whole);
  strix::serve::AnswerReader answer, by_byte;
  size_t taken = answer.take(bytes), taken_by_byte = 0;
  for (size_t i = 0; i < size; ++i) taken_by_byte += by_byte.take(bytes.substr(i, 1));
  INVARIANT(taken == taken_by_byte && answer.whole() == by_byte.whole());
  return 0;
}
