#include "serve/framing.h"

#include <vector>

#include "catch.h"

using namespace strix::serve;

namespace {

constexpr size_t head_max = 1024, body_max = 100;

struct Read {
  std::string passed;
  RequestReader::State state = RequestReader::State::Head;
  int status = 0;
  size_t taken = 0;
  bool operator==(const Read&) const = default;
};

// In pieces that end where `ends` says.
Read read(std::string_view text, const std::vector<size_t>& ends) {
  RequestReader reader(head_max, body_max);
  Read read;
  size_t at = 0;
  for (size_t end : ends) {
    read.taken += reader.take(text.substr(at, end - at), read.passed);
    at = end;
  }
  read.taken += reader.take(text.substr(at), read.passed);
  read.state = reader.state();
  read.status = reader.status();
  return read;
}

Read read_bytes(std::string_view text) {
  std::vector<size_t> ends;
  for (size_t i = 1; i < text.size(); ++i) ends.push_back(i);
  return read(text, ends);
}

// Whole, split at any one place, and byte by byte: it comes to the same.
Read read_every_way(std::string_view text) {
  Read whole = read(text, {});
  for (size_t i = 0; i <= text.size(); ++i) {
    CAPTURE(i);
    REQUIRE(read(text, {i}) == whole);
  }
  REQUIRE(read_bytes(text) == whole);
  return whole;
}

std::string head(const std::string& lines) {
  return "POST / HTTP/1.1\r\n" + lines + "\r\n";
}

std::string line(const std::string& request_line) {
  return request_line + "\r\nHost: a\r\n\r\n";
}

}  // namespace

TEST_CASE("a request is passed on to its last byte as it came, and what follows it is not touched") {
  const std::string requests[] = {
      "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "BREW /a%2Fb?x=%00&y#z HTTP/1.1\r\nA:\r\nB: \r\nContent-Length: 0\r\n\r\n",
      "GET /a:b//c HTTP/1.1\r\nUser-Agent: a (b; c) \"d\" ~\r\nAccept: */*\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
      "POST / HTTP/1.1\r\ncontent-length:003 \r\nCONTENT-LENGTH: 3\r\n\r\n\r\n\x01",
      "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + std::string(100, '\0'),
  };
  for (const std::string& request : requests) {
    for (const char* after : {"", "G", "\r\n\r\n", "POST /%zz HTTP/1.1\r\n"}) {
      CAPTURE(request, after);
      Read read = read_every_way(request + after);
      REQUIRE(read == Read{request, RequestReader::State::Whole, 0, request.size()});
    }
  }
}

TEST_CASE("nothing of a request is passed on before its head is whole") {
  std::string text = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
  for (size_t i = 0; i < text.size(); ++i) {
    CAPTURE(i);
    REQUIRE(read_every_way(text.substr(0, i)) == Read{"", RequestReader::State::Head, 0, i});
  }
  REQUIRE(read_every_way(text) == Read{text, RequestReader::State::Body, 0, text.size()});
  REQUIRE(read_every_way(text + "ab") == Read{text + "ab", RequestReader::State::Body, 0, text.size() + 2});
}

TEST_CASE("what the library cannot be trusted with is refused, and nothing of it passed on") {
  struct Case {
    std::string text;
    int status;
  };
  const Case cases[] = {
      // The one that ended the process.
      {"POST /%zz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nxx\r\n", 400},
      {head("Transfer-Encoding: chunked\r\n") + "-1\r\nxx\r\n", 411},
      {head("TRANSFER-encoding: identity\r\n"), 411},
      {head("Content-Length: 3\r\nTransfer-Encoding:\r\n"), 411},
      {head("Transfer-Encoding : chunked\r\n"), 400},
      {head("Content-Length: 101\r\n"), 413},
      {head("Content-Length: 99999999999\r\n"), 413},
      {head("Content-Length: 99999999999999999999999999999\r\n"), 413},
      {head("Content-Length: 18446744073709551616\r\n"), 413},
      {head("Content-Length:\r\n"), 400},
      {head("Content-Length: -1\r\n"), 400},
      {head("Content-Length: +1\r\n"), 400},
      {head("Content-Length: 0x1\r\n"), 400},
      {head("Content-Length: 1 1\r\n"), 400},
      {head("Content-Length: 1, 1\r\n"), 400},
      {head("Content-Length: 1.0\r\n"), 400},
      {head("Content-Length: 1\r\nContent-Length: 2\r\n"), 400},
      {line("GET /%zz HTTP/1.1"), 400},
      {line("GET /% HTTP/1.1"), 400},
      {line("GET /a%2 HTTP/1.1"), 400},
      {line("GET /?a=%g0 HTTP/1.1"), 400},
      {line("GET /\x01 HTTP/1.1"), 400},
      {line("GET /{ HTTP/1.1"), 400},
      {line("GET /a?b=[c] HTTP/1.1"), 400},
      {line("GET /\\ HTTP/1.1"), 400},
      {line("GET /\t HTTP/1.1"), 400},
      {line("GET /\x7f HTTP/1.1"), 400},
      {line("GET /\xc3\xa9 HTTP/1.1"), 400},
      {line("GET //a:99999999999999/ HTTP/1.1"), 400},
      {line("GET http://a/ HTTP/1.1"), 400},
      {line("OPTIONS * HTTP/1.1"), 400},
      {line("CONNECT a:1 HTTP/1.1"), 400},
      {line("GET HTTP/1.1"), 400},
      {line("GET  HTTP/1.1"), 400},
      {line("GET  / HTTP/1.1"), 400},
      {line("GET /a b HTTP/1.1"), 400},
      {line("GET / HTTP/1.1 "), 400},
      {line(" GET / HTTP/1.1"), 400},
      {line("G(T / HTTP/1.1"), 400},
      {line("GET /"), 400},
      {line("GET / HTTP/1.10"), 400},
      {line("GET / http/1.1"), 400},
      {line("GET / HTTP/x.1"), 400},
      {line("GET / HTTP/9.9"), 505},
      {line("GET / HTTP/1.2"), 505},
      {line("GET / HTTP/2.0"), 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"\r\nGET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"GET / HTTP/1.1\r\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: \rb\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 22), 400},
      {"\x16\x03\x01\x02", 400},
      {head("A\r\n"), 400},
      {head(": a\r\n"), 400},
      {head("A b: c\r\n"), 400},
      {head("A: b\r\n c: d\r\n"), 400},
      // After a tab, or a letter that is not of ASCII, the library takes the head for done.
      {head("A: \tb\r\nContent-Length: 3\r\n"), 400},
      {head("A: \xc3\xa9\r\nContent-Length: 3\r\n"), 400},
      {head("A: " + std::string(head_max, 'a') + "\r\n"), 431},
      {std::string(head_max + 1, 'G'), 431},
  };
  for (const Case& refused : cases) {
    CAPTURE(refused.text);
    Read read = read_every_way(refused.text);
    REQUIRE(read.state == RequestReader::State::Refused);
    REQUIRE(read.status == refused.status);
    REQUIRE(read.passed.empty());
  }
}

TEST_CASE("a head of just the most bytes passes, and one more is refused") {
  std::string text = head("A: " + std::string(head_max - 24, 'a') + "\r\n");
  REQUIRE(text.size() == head_max);
  REQUIRE(read_every_way(text).state == RequestReader::State::Whole);
  text.insert(text.size() - 4, "a");
  REQUIRE(read_every_way(text).status == 431);
}

TEST_CASE("after a request the next one is read in the same way, and nothing of the last one counts") {
  RequestReader reader(head_max, body_max);
  std::string first = head("Connection: close\r\nContent-Length: 3\r\n") + "abc", second = head("");
  std::string passed;
  REQUIRE(reader.take(first + second, passed) == first.size());
  REQUIRE(reader.closes());
  REQUIRE(reader.take(second, passed) == 0);
  reader.next();
  REQUIRE(reader.take(second, passed) == second.size());
  REQUIRE(reader.state() == RequestReader::State::Whole);
  REQUIRE_FALSE(reader.closes());
  REQUIRE(passed == first + second);
  reader.next();
  reader.take(line("GET /%zz HTTP/1.1"), passed);
  REQUIRE(reader.status() == 400);
  REQUIRE(passed == first + second);
}

TEST_CASE("a client that says so, or speaks HTTP 1.0, is closed on after its answer") {
  auto closes = [](const std::string& text) {
    RequestReader reader(head_max, body_max);
    std::string passed;
    reader.take(text, passed);
    REQUIRE(reader.state() == RequestReader::State::Whole);
    return reader.closes();
  };
  REQUIRE(closes(head("Connection: close\r\n")));
  REQUIRE(closes(head("connection: keep-alive, Close\r\n")));
  REQUIRE(closes("GET / HTTP/1.0\r\n\r\n"));
  REQUIRE_FALSE(closes(head("Connection: keep-alive\r\n")));
  REQUIRE_FALSE(closes(head("Connection: closed\r\n")));
}

TEST_CASE("an answer ends where its head says, at any split, and what follows is not its own") {
  struct Case {
    std::string text;
    bool head_only, closes;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\nabc", false, false},
      {"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, false},
      {"HTTP/1.1 413 Too\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", false, true},
      {"HTTP/1.1 204 No Content\r\n\r\n", false, false},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false, false},
      {"HTTP/1.1 405 No\r\nContent-Length: 10\r\n\r\n", true, false},
  };
  for (const Case& answer : cases) {
    CAPTURE(answer.text);
    std::string text = answer.text + "HTTP/1.1 200 OK";
    for (size_t i = 0; i <= text.size(); ++i) {
      AnswerReader reader(answer.head_only);
      size_t taken = reader.take(std::string_view(text).substr(0, i));
      REQUIRE(reader.whole() == (i >= answer.text.size()));
      taken += reader.take(std::string_view(text).substr(i));
      REQUIRE(taken == answer.text.size());
      REQUIRE(reader.closes() == answer.closes);
    }
  }
}

TEST_CASE("an answer without a length ends with its connection, one that breaks off is not whole") {
  AnswerReader endless, broken, silent;
  endless.take("HTTP/1.1 200 OK\r\n\r\nabc");
  REQUIRE_FALSE(endless.whole());
  endless.end();
  REQUIRE(endless.whole());
  REQUIRE(endless.closes());
  broken.take("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
  broken.end();
  REQUIRE_FALSE(broken.whole());
  silent.end();
  REQUIRE_FALSE(silent.whole());
}

TEST_CASE("a refusal is an answer that closes") {
  for (int status : {400, 411, 413, 431, 505}) {
    std::string text = refusal_text(status);
    AnswerReader reader;
    REQUIRE(text.starts_with("HTTP/1.1 " + std::to_string(status) + " "));
    REQUIRE(reader.take(text) == text.size());
    REQUIRE(reader.whole());
    REQUIRE(reader.closes());
  }
}
