// Why this file exists: see server.h.
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "json.h"
#include "log.h"

namespace standin {
namespace {

constexpr int kMaxConnections = 256;
constexpr size_t kMaxHead = 64 << 10, kMaxBody = 16 << 20;
constexpr int kIdleMilliseconds = 5000, kReadMilliseconds = 30000;

using Clock = std::chrono::steady_clock;
double Since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

const char* Reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Request Entity Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    default: return "Service Unavailable";
  }
}

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// No tokenizer: a word is a token, a long one a token per started 16 bytes. A test that needs a prompt
// of N tokens sends N short words.
int64_t Tokens(const std::string& text) {
  int64_t count = 0;
  size_t word = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      word = 0;
    } else if (word++ % 16 == 0) {
      ++count;
    }
  }
  return count;
}

const char* const kWords[] = {"the", "window", "opens", "once", "a", "neighbour", "has", "loaded", "and", "memory", "that", "was", "claimed", "stays", "claimed", "until", "it", "is", "given", "back",
                              "so", "we", "wait", "for", "an", "answer", "before", "next", "tier", "starts", "to", "measure"};

std::string Token(size_t seed, int64_t index) {
  const size_t pick = (seed ^ (static_cast<size_t>(index) * 0x9E3779B97F4A7C15ull)) * 0xBF58476D1CE4E5B9ull;
  return std::string(" ") + kWords[(pick >> 40) % std::size(kWords)];
}

}  // namespace

struct Server::Job {
  std::string id, model, prompt;
  size_t seed = 0;
  int64_t prompt_tokens = 0, max_tokens = 0, cached = 0;
  bool max_tokens_given = false, chat = false, stream = false, usage = false;
  int64_t created = 0;
};

bool Server::Bind() {
  const std::string& host = engine_.options.host;
  sockaddr_in6 six{};
  sockaddr_in four{};
  const bool v6 = host.find(':') != std::string::npos;
  listener_ = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) return false;
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto port = htons(static_cast<uint16_t>(engine_.options.port));
  if (v6) {
    six.sin6_family = AF_INET6;
    six.sin6_port = port;
    return inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1 && bind(listener_, reinterpret_cast<sockaddr*>(&six), sizeof six) == 0;
  }
  four.sin_family = AF_INET;
  four.sin_port = port;
  return inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &four.sin_addr) == 1 && bind(listener_, reinterpret_cast<sockaddr*>(&four), sizeof four) == 0;
}

void Server::Listen() {
  listen(listener_, 128);
  engine_.pool.Event("listening");
  std::thread([this] { Accept(); }).detach();
}

void Server::Accept() {
  for (;;) {
    if (engine_.faults.hang) {
      // The kernel still completes handshakes for us: the socket is open and nobody answers.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, 50) <= 0 || engine_.faults.hang) continue;
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const int socket = accept4(listener_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC);
    if (socket < 0) continue;
    if (connections_ >= kMaxConnections) {
      close(socket);
      continue;
    }
    char address[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    if (from.ss_family == AF_INET) {
      const auto* four = reinterpret_cast<const sockaddr_in*>(&from);
      inet_ntop(AF_INET, &four->sin_addr, address, sizeof address);
      port = ntohs(four->sin_port);
    } else {
      const auto* six = reinterpret_cast<const sockaddr_in6*>(&from);
      inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof address);
      port = ntohs(six->sin6_port);
    }
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval limit{10, 0};  // a client that does not read must not hold a thread
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ++connections_;
    try {
      std::thread([this, connection = Connection{socket, std::string(address) + ":" + std::to_string(port), "", false}] {
        Serve(connection);
        close(connection.socket);
        --connections_;
      }).detach();
    } catch (const std::system_error&) {
      close(socket);
      --connections_;
    }
  }
}

bool Server::Gone(const Connection& connection) {
  pollfd state{connection.socket, POLLRDHUP, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool Server::Fill(Connection& connection, int milliseconds) {
  pollfd ready{connection.socket, POLLIN, 0};
  if (poll(&ready, 1, milliseconds) <= 0) return false;
  char bytes[16384];
  const ssize_t n = recv(connection.socket, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  connection.buffer.append(bytes, static_cast<size_t>(n));
  return true;
}

bool Server::Send(Connection& connection, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = send(connection.socket, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

int Server::Read(Connection& connection, Message* message) {
  std::string& in = connection.buffer;
  const auto started = Clock::now();
  const auto left = [&] { return std::max(0, kReadMilliseconds - static_cast<int>(Since(started) * 1000)); };
  size_t end;
  while ((end = in.find("\r\n\r\n")) == std::string::npos) {
    if (in.size() > kMaxHead) return 431;
    if (!Fill(connection, in.empty() ? kIdleMilliseconds : left())) return 0;
  }
  if (end > kMaxHead) return 431;
  const std::string head = in.substr(0, end + 2);
  in.erase(0, end + 4);

  size_t line = head.find("\r\n");
  const std::string first = head.substr(0, line);
  const size_t a = first.find(' '), b = first.rfind(' ');
  if (a == std::string::npos || b <= a || first.compare(b + 1, 5, "HTTP/") != 0) return 400;
  message->method = first.substr(0, a);
  message->path = first.substr(a + 1, b - a - 1);
  if (const size_t query = message->path.find('?'); query != std::string::npos) message->path.resize(query);
  message->http11 = first.substr(b + 1) == "HTTP/1.1";
  message->keep_alive = message->http11;
  size_t length = 0;
  bool chunked = false, expects = false;
  for (line += 2; line < head.size();) {
    const size_t next = head.find("\r\n", line);
    const std::string field = head.substr(line, next - line);
    line = next + 2;
    const size_t colon = field.find(':');
    if (colon == std::string::npos) return 400;
    const std::string name = Lower(field.substr(0, colon));
    const size_t value_at = field.find_first_not_of(" \t", colon + 1);
    const std::string value = value_at == std::string::npos ? "" : field.substr(value_at);
    if (name == "content-length") {
      if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos || value.size() > 12) return 400;
      length = std::stoull(value);
    } else if (name == "transfer-encoding") {
      chunked = Lower(value).find("chunked") != std::string::npos;
    } else if (name == "connection") {
      if (Lower(value).find("close") != std::string::npos) message->keep_alive = false;
      if (Lower(value).find("keep-alive") != std::string::npos) message->keep_alive = true;
    } else if (name == "authorization") {
      message->authorization = value;
    } else if (name == "expect") {
      expects = true;
    }
  }
  if (length > kMaxBody) return 413;
  if (expects && !Send(connection, "HTTP/1.1 100 Continue\r\n\r\n")) return 0;
  if (!chunked) {
    while (in.size() < length)
      if (!Fill(connection, left())) return 0;
    message->body = in.substr(0, length);
    in.erase(0, length);
    return 1;
  }
  for (;;) {
    size_t line_end;
    while ((line_end = in.find("\r\n")) == std::string::npos)
      if (in.size() > 1024 || !Fill(connection, left())) return 0;
    const size_t size = std::strtoul(in.substr(0, line_end).c_str(), nullptr, 16);
    if (size > kMaxBody || message->body.size() + size > kMaxBody) return 413;
    while (in.size() < line_end + 2 + size + 2)
      if (!Fill(connection, left())) return 0;
    message->body += in.substr(line_end + 2, size);
    in.erase(0, line_end + 2 + size + 2);
    if (size == 0) return 1;
  }
}

bool Server::Respond(Connection& connection, const Message& message, int status, const std::string& type, const std::string& body) {
  time_t now = time(nullptr);
  tm parts{};
  char date[40];
  gmtime_r(&now, &parts);
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  std::string out = "HTTP/1.1 " + std::to_string(status) + " " + Reason(status) + "\r\ndate: " + date + "\r\nserver: uvicorn\r\ncontent-length: " + std::to_string(body.size()) + "\r\n";
  if (!type.empty()) out += "content-type: " + type + "\r\n";
  if (!message.keep_alive) out += "connection: close\r\n";
  return Send(connection, out + "\r\n" + (message.method == "HEAD" ? "" : body)) && message.keep_alive;
}

bool Server::Error(Connection& connection, const Message& message, int status, const std::string& type, const std::string& param, const std::string& text, int* out) {
  *out = status;
  return Respond(connection, message, status, "application/json",
                 "{\"error\":{\"message\":" + Quote(text) + ",\"type\":" + Quote(type) + ",\"param\":" + (param.empty() ? "null" : Quote(param)) + ",\"code\":" + std::to_string(status) + "}}");
}

void Server::Serve(Connection connection) {
  for (;;) {
    Message message;
    const int read = Read(connection, &message);
    if (read == 0) return;
    if (read != 1) {
      message.keep_alive = false;
      Respond(connection, message, read, "text/plain; charset=utf-8", Reason(read));
      return;
    }
    while (engine_.faults.hang) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto started = Clock::now();
    int status = 200;
    ++load_;
    const bool more = Handle(connection, message, &status);
    --load_;
    Raw("INFO:     " + connection.peer + " - \"" + message.method + " " + message.path + " HTTP/1.1\" " + std::to_string(status) + " " + Reason(status));
    static const std::set<std::string> kUncounted = {"/health", "/metrics", "/load", "/ping", "/version"};
    if (message.path.rfind("/v1/", 0) == 0 && status != 404 && !kUncounted.count(message.path)) engine_.metrics->CountHttp(message.path, message.method, status, Since(started));
    if (!more) return;
  }
}

bool Server::Handle(Connection& connection, const Message& message, int* status) {
  const std::string& path = message.path;
  const bool get = message.method == "GET", post = message.method == "POST";
  const std::string json = "application/json";
  const auto answer = [&](int code, const std::string& type, const std::string& body) {
    *status = code;
    return Respond(connection, message, code, type, body);
  };
  static const std::set<std::string> kGet = {"/health", "/ping", "/version", "/load", "/metrics", "/v1/models"};
  static const std::set<std::string> kPost = {"/ping", "/v1/completions", "/v1/chat/completions"};
  if (path.rfind("/v1", 0) == 0 && !engine_.options.api_keys.empty()) {
    const auto& keys = engine_.options.api_keys;
    const bool known = std::any_of(keys.begin(), keys.end(), [&](const std::string& key) { return message.authorization == "Bearer " + key; });
    if (!known) return answer(401, json, "{\"error\":\"Unauthorized\"}");
  }
  if (!kGet.count(path) && !kPost.count(path)) return answer(404, json, "{\"detail\":\"Not Found\"}");
  if (!(get && kGet.count(path)) && !(post && kPost.count(path))) return answer(405, json, "{\"detail\":\"Method Not Allowed\"}");

  if (path == "/health" || path == "/ping") {
    if (engine_.core_dead || engine_.faults.unhealthy) return answer(503, "", "");
    const bool more = answer(200, "", "");
    if (path == "/health") engine_.FirstHealthAnswer();
    return more;
  }
  if (path == "/version") return answer(200, json, "{\"version\":" + Quote(engine_.knobs.version) + "}");
  if (path == "/load") return answer(200, json, "{\"server_load\":" + std::to_string(load_ - 1) + "}");
  if (path == "/metrics") return answer(200, "text/plain; version=1.0.0; charset=utf-8", engine_.metrics->Render(engine_.scheduler->Now()));
  if (path == "/v1/models") {
    std::string data;
    const std::string now = std::to_string(time(nullptr));
    for (const std::string& name : engine_.options.served_names) {
      data += (data.empty() ? "" : ",") + std::string("{\"id\":") + Quote(name) + ",\"object\":\"model\",\"created\":" + now + ",\"owned_by\":\"vllm\",\"root\":" + Quote(engine_.options.model) +
              ",\"parent\":null,\"max_model_len\":" + std::to_string(engine_.max_model_len) + ",\"permission\":[{\"id\":\"modelperm-" + std::to_string(engine_.options.port) +
              "\",\"object\":\"model_permission\",\"created\":" + now + ",\"allow_create_engine\":false,\"allow_sampling\":true,\"allow_logprobs\":true,\"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\",\"group\":null,\"is_blocking\":false}]}";
    }
    return answer(200, json, "{\"object\":\"list\",\"data\":[" + data + "]}");
  }
  return Complete(connection, message, path == "/v1/chat/completions", status);
}

bool Server::Complete(Connection& connection, const Message& message, bool chat, int* status) {
  const std::string dead = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
  if (const auto kind = engine_.faults.DueAtRequest()) on_fault(*kind);
  while (engine_.faults.wedge && !engine_.core_dead && !Gone(connection)) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (engine_.core_dead || engine_.faults.no_warmup) return Error(connection, message, 500, "InternalServerError", "", dead, status);

  const auto body = Json::Parse(message.body);
  if (!body || body->kind != Json::Kind::kObject) return Error(connection, message, 400, "Bad Request", "", "[{'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode error'}]", status);
  Job job;
  job.chat = chat;
  job.model = body->Text("model", engine_.options.served_names[0]);
  const auto& names = engine_.options.served_names;
  if (std::find(names.begin(), names.end(), job.model) == names.end()) return Error(connection, message, 404, "NotFoundError", "model", "The model `" + job.model + "` does not exist.", status);

  if (chat) {
    const Json* messages = body->Find("messages");
    if (!messages || messages->kind != Json::Kind::kArray || messages->items.empty()) return Error(connection, message, 400, "BadRequestError", "messages", "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]", status);
    job.prompt_tokens = 3;  // the template's own
    for (const Json& one : messages->items) {
      job.prompt_tokens += 4;
      std::string text = one.Text("content", "");
      if (const Json* parts = one.Find("content"); parts && parts->kind == Json::Kind::kArray)
        for (const Json& part : parts->items) text += part.Text("text", "") + " ";
      job.prompt_tokens += Tokens(text);
      job.prompt += one.Text("role", "") + "\n" + text + "\n";
    }
  } else {
    const Json* prompt = body->Find("prompt");
    if (!prompt) return Error(connection, message, 400, "BadRequestError", "prompt", "Either prompt or prompt_embeds must be provided and non-empty.", status);
    if (prompt->kind == Json::Kind::kArray) {
      for (const Json& one : prompt->items) {
        job.prompt += (one.kind == Json::Kind::kNumber ? std::to_string(static_cast<int64_t>(one.number)) : one.text) + " ";
        job.prompt_tokens += one.kind == Json::Kind::kNumber ? 1 : Tokens(one.text);
      }
    } else {
      job.prompt = prompt->text;
      job.prompt_tokens = Tokens(prompt->text);
    }
    job.prompt_tokens = std::max<int64_t>(1, job.prompt_tokens);
  }
  double asked = body->Number("max_completion_tokens", -1);
  if (asked < 0) asked = body->Number("max_tokens", -1);
  job.max_tokens_given = asked >= 0 || !chat;
  if (asked >= 0 && asked < 1) return Error(connection, message, 400, "BadRequestError", "max_tokens", "max_tokens must be at least 1, got " + std::to_string(static_cast<int64_t>(asked)) + ". (parameter=max_tokens, value=" + std::to_string(static_cast<int64_t>(asked)) + ")", status);
  job.max_tokens = asked >= 0 ? static_cast<int64_t>(asked) : chat ? 64 : 16;
  const int64_t room = engine_.max_model_len - job.prompt_tokens;
  const int64_t wanted = asked >= 0 ? job.max_tokens : 0;
  if (room < std::max<int64_t>(wanted, 1)) {
    // Such a request never reaches the engine, so it is in no histogram.
    return Error(connection, message, 400, "BadRequestError", "input_tokens",
                 "This model's maximum context length is " + std::to_string(engine_.max_model_len) + " tokens. However, you requested " + std::to_string(wanted) + " output tokens and your prompt contains at least " + std::to_string(job.prompt_tokens) +
                     " input tokens, for a total of at least " + std::to_string(job.prompt_tokens + wanted) + " tokens. Please reduce the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=" + std::to_string(job.prompt_tokens) + ")",
                 status);
  }
  job.max_tokens = std::min(job.max_tokens, room);
  job.stream = body->Bool("stream", false);
  if (const Json* options = body->Find("stream_options")) job.usage = options->Bool("include_usage", false);
  job.seed = std::hash<std::string>()(job.prompt);
  job.id = std::string(chat ? "chatcmpl-" : "cmpl-") + std::to_string(engine_.options.port) + std::to_string(++ids_);
  job.created = time(nullptr);
  if (engine_.options.prefix_caching) {
    std::lock_guard<std::mutex> guard(prompts_mutex_);
    if (prompts_.size() > 4096) prompts_.clear();
    // The last token is always computed, and only whole blocks are shared.
    if (!prompts_.insert(job.seed).second) job.cached = (job.prompt_tokens - 1) / engine_.block_size * engine_.block_size;
  }

  Scheduler::Request request;
  request.prompt = job.prompt_tokens;
  Finished finished;
  finished.prompt = job.prompt_tokens;
  finished.cached = job.cached;
  finished.max_tokens = job.max_tokens;
  finished.max_tokens_given = job.max_tokens_given;
  finished.reason = "abort";
  const auto started = Clock::now();
  const auto go_on = [&] { return !engine_.core_dead && !Gone(connection); };
  const auto pause = [&](double tokens) {
    // In slices, so that a client that leaves or an engine that dies ends it.
    const auto until = Clock::now() + std::chrono::duration<double>(engine_.knobs.token_milliseconds / 1000 * engine_.faults.slow * tokens);
    while (Clock::now() < until && go_on()) std::this_thread::sleep_for(std::min<Clock::duration>(std::chrono::milliseconds(50), std::chrono::duration_cast<Clock::duration>(until - Clock::now())));
    while (engine_.faults.hang || (engine_.faults.wedge && go_on())) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return go_on();
  };
  // What is common to all chunks and answers.
  const std::string object = chat ? (job.stream ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  const std::string head = "{\"id\":" + Quote(job.id) + ",\"object\":\"" + object + "\",\"created\":" + std::to_string(job.created) + ",\"model\":" + Quote(job.model);
  const auto usage = [&](int64_t made) {
    return "{\"prompt_tokens\":" + std::to_string(job.prompt_tokens) + ",\"total_tokens\":" + std::to_string(job.prompt_tokens + made) + ",\"completion_tokens\":" + std::to_string(made) + ",\"prompt_tokens_details\":null}";
  };
  const auto event = [&](const std::string& data) {
    const std::string text = "data: " + data + "\n\n";
    char size[24];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    return Send(connection, message.http11 ? size + text + "\r\n" : text);
  };
  const auto chunk = [&](const std::string& text, const std::string& finish) {
    const std::string end = finish.empty() ? "null" : Quote(finish);
    if (chat) return event(head + ",\"choices\":[{\"index\":0,\"delta\":{\"content\":" + Quote(text) + "},\"logprobs\":null,\"finish_reason\":" + end + "}]}");
    return event(head + ",\"choices\":[{\"index\":0,\"text\":" + Quote(text) + ",\"logprobs\":null,\"finish_reason\":" + end + ",\"stop_reason\":null}]}");
  };

  bool open = true;
  std::string text;
  const std::string finish = job.max_tokens_given || job.max_tokens < 64 ? "length" : "stop";
  const bool admitted = engine_.scheduler->Admit(request, go_on);
  if (admitted) finished.queue = Since(started);
  if (job.stream && admitted) {
    ++engine_.open_streams;
    connection.streaming = true;
    open = Send(connection, std::string("HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n") + (message.http11 ? "transfer-encoding: chunked\r\n" : "") + (message.keep_alive && message.http11 ? "\r\n" : "connection: close\r\n\r\n"));
    if (chat && open) open = event(head + ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}");
  }
  // The prompt costs a token's time, and another one for every thousand.
  bool alive = admitted && open && pause(1 + static_cast<double>(job.prompt_tokens - job.cached) / 1000);
  auto last = Clock::now();
  while (alive && finished.generated < job.max_tokens) {
    if (finished.generated > 0 && !(alive = pause(1))) break;
    if (!(alive = engine_.scheduler->Step(request, go_on))) break;
    if (finished.generated == 0) {
      finished.first = Since(started);
    } else {
      finished.gaps.push_back(Since(last));
    }
    last = Clock::now();
    const std::string token = Token(job.seed, finished.generated++);
    if (job.stream) {
      alive = open = chunk(token, finished.generated == job.max_tokens ? finish : "");
    } else {
      text += token;
    }
  }
  if (admitted) engine_.scheduler->Finish(request);
  const bool complete = alive && finished.generated == job.max_tokens;
  finished.total = Since(started);
  finished.decode = finished.total - finished.first;
  finished.preemptions = request.preemptions;
  if (complete) finished.reason = finish;
  else if (engine_.core_dead) finished.reason = "error";
  engine_.metrics->Count(finished);
  if (job.stream && admitted) --engine_.open_streams;

  bool more = false;
  if (job.stream && admitted) {
    if (!complete && engine_.core_dead) open = open && event("{\"error\":{\"message\":" + Quote(dead) + ",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}");
    if (complete && job.usage) open = open && event(head + ",\"choices\":[],\"usage\":" + usage(finished.generated) + "}");
    if (complete || engine_.core_dead) open = open && event("[DONE]") && (!message.http11 || Send(connection, "0\r\n\r\n"));
    more = open && complete && message.keep_alive && message.http11;
  } else if (complete) {
    const std::string choice = chat ? "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" + Quote(text) + ",\"refusal\":null,\"tool_calls\":[],\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"" + finish + "\",\"stop_reason\":null}"
                                    : "{\"index\":0,\"text\":" + Quote(text) + ",\"logprobs\":null,\"finish_reason\":\"" + finish + "\",\"stop_reason\":null,\"prompt_logprobs\":null}";
    more = Respond(connection, message, 200, "application/json", head + ",\"choices\":[" + choice + "],\"usage\":" + usage(finished.generated) + "}");
  } else if (engine_.core_dead) {
    return Error(connection, message, 500, "InternalServerError", "", dead, status);
  }
  if (complete) engine_.FirstCompletion();
  return more;
}

}  // namespace standin
