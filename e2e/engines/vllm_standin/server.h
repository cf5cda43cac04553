// Why this file exists: the product sees an engine through its port only: refused while it loads, then
// vLLM's answers, byte by byte where a client parses them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "engine.h"

namespace standin {

// One thread per connection, at most 256; bodies up to 16 MiB, heads up to 64 KiB; a connection that
// idles for 5 s is closed, as uvicorn does. Nothing is ever joined: the process leaves by _exit.
class Server {
 public:
  explicit Server(Engine& engine) : engine_(engine) {}

  // Reserves the port without listening on it, so that a client is refused. False where it is taken.
  bool Bind();
  // From now on clients are answered. Returns at once.
  void Listen();
  // A deadly word that only a request sets off.
  std::function<void(const std::string&)> on_fault;

 private:
  struct Message {
    std::string method, path, body;
    std::string authorization;
    bool keep_alive = true, http11 = true;
  };
  struct Connection {
    int socket;
    std::string peer, buffer;
    bool streaming = false;
  };
  struct Job;

  void Accept();
  void Serve(Connection connection);
  // 1: read, 0: closed or idle, otherwise an HTTP status to refuse with.
  int Read(Connection& connection, Message* message);
  bool Fill(Connection& connection, int milliseconds);
  bool Send(Connection& connection, const std::string& bytes);
  bool Respond(Connection& connection, const Message& message, int status, const std::string& type, const std::string& body);
  bool Handle(Connection& connection, const Message& message, int* status);
  bool Complete(Connection& connection, const Message& message, bool chat, int* status);
  bool Error(Connection& connection, const Message& message, int status, const std::string& type, const std::string& param, const std::string& text, int* out);
  static bool Gone(const Connection& connection);

  Engine& engine_;
  int listener_ = -1;
  std::atomic<int> connections_{0}, load_{0};
  std::atomic<uint64_t> ids_{0};
  std::mutex prompts_mutex_;
  std::set<size_t> prompts_;  // hashes of prompts seen, for the prefix cache
};

}  // namespace standin
