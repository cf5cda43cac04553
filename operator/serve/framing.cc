#include "serve/framing.h"

#include <algorithm>
#include <charconv>

namespace strix::serve {

namespace {

constexpr size_t answer_head_bytes_max = 16 * 1024;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

// A tchar of RFC 9110.
bool is_token(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token);
}

bool same(std::string_view text, std::string_view in_lower_case) {
  return std::equal(text.begin(), text.end(), in_lower_case.begin(), in_lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

bool lists_close(std::string_view value) {
  while (!value.empty()) {
    std::string_view part = value.substr(0, value.find(','));
    if (same(trimmed(part), "close")) return true;
    value.remove_prefix(std::min(value.size(), part.size() + 1));
  }
  return false;
}

// Visible, and nowhere in a URI (RFC 3986); the space would end the target.
constexpr std::string_view no_part_of_uri = " \"<>[\\]^`{|}";

// A path on this host. With two slashes the library would read a host and a port.
bool is_good_target(std::string_view target) {
  if (!target.starts_with('/') || target.starts_with("//")) return false;
  for (size_t i = 0; i < target.size(); ++i) {
    if (no_part_of_uri.find(target[i]) != std::string_view::npos) return false;
    if (target[i] == '%' && (i + 2 >= target.size() || !is_hex(target[i + 1]) || !is_hex(target[i + 2])))
      return false;
  }
  return true;
}

bool is_version(std::string_view text) {
  return text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' &&
         is_digit(text[7]);
}

// Absent: no plain decimal number. What no size_t holds is the largest.
std::optional<size_t> number_of(std::string_view digits) {
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
  size_t number = 0;
  bool fits = std::from_chars(digits.data(), digits.data() + digits.size(), number).ec == std::errc();
  return fits ? number : SIZE_MAX;
}

}  // namespace

void RequestReader::refuse(int status) {
  if (state_ == State::Refused) return;
  state_ = State::Refused;
  status_ = status;
  std::string().swap(head_);
}

void RequestReader::next() {
  state_ = State::Head;
  line_begin_ = 0;
  head_ended_ = closes_ = head_only_ = false;
  length_.reset();
}

size_t RequestReader::take(std::string_view bytes, std::string& passed) {
  size_t taken = state_ == State::Head ? take_head(bytes, passed) : 0;
  if (state_ != State::Body) return taken;
  std::string_view piece = bytes.substr(taken, body_left_);
  passed += piece;
  body_left_ -= piece.size();
  if (body_left_ == 0) state_ = State::Whole;
  return taken + piece.size();
}

// Only what prints may stand in a head, and lines end in CR LF: at any other byte, a tab too, the library may
// take the head for done, and what follows for another request.
size_t RequestReader::take_head(std::string_view bytes, std::string& passed) {
  size_t taken = 0;
  while (state_ == State::Head && taken < bytes.size()) {
    char c = bytes[taken++];
    bool after_return = head_.ends_with('\r');
    bool good = after_return ? c == '\n' : c == '\r' || (c >= ' ' && c <= '~');
    if (!good) {
      refuse(400);
    } else if (head_.size() >= head_bytes_max_) {
      refuse(431);
    } else {
      head_ += c;
      if (c == '\n') end_line();
    }
    if (!head_ended_) continue;
    passed += head_;
    std::string().swap(head_);
    head_ended_ = false;
    body_left_ = length_.value_or(0);
    state_ = State::Body;
  }
  return taken;
}

void RequestReader::end_line() {
  std::string_view line = std::string_view(head_).substr(line_begin_, head_.size() - 2 - line_begin_);
  bool first = line_begin_ == 0;
  line_begin_ = head_.size();
  if (first) return read_request_line(line);
  if (line.empty())
    head_ended_ = true;
  else
    read_header(line);
}

void RequestReader::read_request_line(std::string_view line) {
  size_t method_end = line.find(' '), target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || method_end == target_end) return refuse(400);
  std::string_view method = line.substr(0, method_end), version = line.substr(target_end + 1);
  if (!is_name(method) || !is_version(version)) return refuse(400);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse(505);
  std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  closes_ = version == "HTTP/1.0";
  head_only_ = same(method, "head");
  if (!is_good_target(target)) refuse(400);
}

void RequestReader::read_header(std::string_view line) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_name(line.substr(0, colon))) return refuse(400);
  std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
  // The library parses lengths of chunks as signed numbers, and collects a chunk whole.
  if (same(name, "transfer-encoding")) return refuse(411);
  if (same(name, "content-length")) return read_length(value);
  if (same(name, "connection")) closes_ = closes_ || lists_close(value);
}

void RequestReader::read_length(std::string_view value) {
  auto number = number_of(value);
  if (!number || (length_ && length_ != number)) return refuse(400);
  if (*number > body_bytes_max_) return refuse(413);
  length_ = number;
}

size_t AnswerReader::take(std::string_view bytes) {
  size_t taken = 0;
  while (!whole_ && taken < bytes.size()) {
    if (!in_body_) {
      head_ += bytes[taken++];
      if (head_.ends_with("\r\n\r\n") || head_.size() >= answer_head_bytes_max) read_head();
      continue;
    }
    size_t piece = std::min(bytes.size() - taken, body_left_.value_or(SIZE_MAX));
    taken += piece;
    if (body_left_) whole_ = (*body_left_ -= piece) == 0;
  }
  return taken;
}

// "HTTP/1.1 200 OK", and headers. An interim answer (1xx) is followed by another.
void AnswerReader::read_head() {
  std::string_view head = head_;
  size_t space = std::min(head.find(' '), head.size());
  std::string_view status = head.substr(space).substr(0, 4);
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
    at += 2;
    std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same(name, "content-length")) body_left_ = number_of(value);
    if (same(name, "connection")) closes_ = closes_ || lists_close(value);
  }
  bool interim = status.starts_with(" 1");
  if (head_only_ || status == " 204" || status == " 304") body_left_ = 0;
  if (interim) {
    body_left_.reset();
  } else {
    in_body_ = true;
    whole_ = body_left_ && *body_left_ == 0;
    closes_ = closes_ || !body_left_;
  }
  std::string().swap(head_);
}

void AnswerReader::end() {
  closes_ = true;
  whole_ = whole_ || (in_body_ && !body_left_);
}

std::string refusal_text(int status) {
  struct Reason {
    int status;
    std::string_view words;
  };
  static constexpr Reason reasons[] = {{411, "Length Required"},
                                       {413, "Content Too Large"},
                                       {431, "Request Header Fields Too Large"},
                                       {505, "HTTP Version Not Supported"}};
  std::string_view words = "Bad Request";
  for (const Reason& reason : reasons)
    if (reason.status == status) words = reason.words;
  std::string body = std::string(words) + "\n", text = "HTTP/1.1 " + std::to_string(status) + " ";
  text.append(words).append("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  text += std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
  return text;
}

}  // namespace strix::serve
