#include "serve/endpoints.h"

#include <algorithm>

namespace strix::serve {

namespace {

bool has_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    std::string_view part = query.substr(0, query.find('&'));
    if (part.substr(0, part.find('=')) == name) return true;
    query.remove_prefix(std::min(query.size(), part.size() + 1));
  }
  return false;
}

Reply plain(int status, std::string body) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(body);
  return reply;
}

}  // namespace

void Health::add(std::string name, Check check) {
  std::lock_guard lock(mutex_);
  checks_.emplace_back(std::move(name), std::move(check));
}

Reply Health::answer(std::string_view endpoint, bool verbose) const {
  std::vector<std::pair<std::string, Check>> checks;
  {
    std::lock_guard lock(mutex_);
    checks = checks_;
  }
  std::string report;
  bool well = true;
  for (const auto& [name, check] : checks) {
    auto wrong = check();
    well = well && !wrong;
    report += wrong ? "[-]" + name + ": " + *wrong + "\n" : "[+]" + name + " ok\n";
  }
  if (well && !verbose) return plain(200, "ok");
  report.append(endpoint).append(well ? " check passed\n" : " check failed\n");
  return plain(well ? 200 : 503, std::move(report));
}

Reply Endpoints::answer(std::string_view method, std::string_view target) const {
  std::string_view path = target.substr(0, target.find('?'));
  std::string_view query = path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view();
  bool known = path == "/healthz" || path == "/readyz" || path == "/metrics";
  if (!known) return plain(404, "not found\n");
  if (method != "GET") {
    Reply reply = plain(405, "method not allowed\n");
    reply.allow = "GET";
    return reply;
  }
  bool verbose = has_parameter(query, "verbose");
  if (path == "/readyz") return ready_.answer("readyz", verbose);
  if (path == "/healthz") return alive_.answer("healthz", verbose);
  Reply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = registry_.expose();
  return reply;
}

}  // namespace strix::serve
