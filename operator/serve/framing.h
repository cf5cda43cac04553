// Why: the library behind listener.h cannot be trusted with every request: there are heads that end the
// process, heads that it takes for something else than it was sent, and bodies that it collects without a
// bound. What is read here first is what it is sent, and only what is plain enough for both to read alike.
// May not: do I/O, keep a body, or pass on a byte of a head before the whole of it is good.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strix::serve {

// One request after the other, in pieces of any size.
class RequestReader {
 public:
  enum class State { Head, Body, Whole, Refused };

  RequestReader(size_t head_bytes_max, size_t body_bytes_max)
      : head_bytes_max_(head_bytes_max), body_bytes_max_(body_bytes_max) {}

  // Takes bytes of this request, and appends to `passed` those that may go on: the head as soon as it is
  // there, of the body everything. How many it took: none once the request is whole or refused.
  size_t take(std::string_view bytes, std::string& passed);
  void next();  // after a whole request: the next one

  State state() const { return state_; }
  int status() const { return status_; }         // of a refusal
  bool closes() const { return closes_; }        // no request follows this one
  bool head_only() const { return head_only_; }  // its answer has no body, whatever its head says

 private:
  size_t take_head(std::string_view bytes, std::string& passed);
  void refuse(int status);
  void end_line();
  void read_request_line(std::string_view line);
  void read_header(std::string_view line);
  void read_length(std::string_view value);

  const size_t head_bytes_max_, body_bytes_max_;
  State state_ = State::Head;
  int status_ = 0;
  std::string head_;
  size_t line_begin_ = 0;
  bool head_ended_ = false, closes_ = false, head_only_ = false;
  std::optional<size_t> length_;
  size_t body_left_ = 0;
};

// Where the answer to one request ends. The library's answers are not judged: they go back as they are.
class AnswerReader {
 public:
  explicit AnswerReader(bool head_only = false) : head_only_(head_only) {}

  size_t take(std::string_view bytes);  // how many of these belong to it
  void end();                           // nothing follows: an answer without a length ends so

  bool whole() const { return whole_; }
  bool closes() const { return closes_; }

 private:
  void read_head();

  bool head_only_;
  std::string head_;
  bool in_body_ = false, whole_ = false, closes_ = false;
  std::optional<size_t> body_left_;  // absent: up to the end
};

// "HTTP/1.1 400 Bad Request" with a short body, after which the connection is closed.
std::string refusal_text(int status);

}  // namespace strix::serve
